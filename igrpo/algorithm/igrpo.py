"""iGRPO (arXiv 2602.09000, Algorithm 1): draft, pick the best draft by reward, refine it; only refinements are trained.

How it differs from GRPO: the group that is trained answers q' = Concat(q, d^) in place of q, and N of the question's
N + G completions are spent on finding d^. The loss is unchanged: advantages, ratios and KL are taken within the
refinements, every log-prob conditioned on q' (Eq. 3-6). At deployment the model answers q alone.

How it differs from the paper: ties go to a correct draft first and then to a seeded random one, where the paper says
argmax; ``all_failed="skip"`` asks the bare question when no draft is right, where the paper always shows one (Eq. 2);
without drafts (N = 0, the control ``bare``) there is no Stage 1, and the whole group answers the bare question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from igrpo.algorithm.base import Toolbox
from igrpo.algorithm.selection import SelectionRule, TieRule
from igrpo.types import Completion, Group, Question, Trace


@dataclass(frozen=True, slots=True)
class IGRPO:
    """Two stages: ``drafts`` (N) completions of q, then ``group_size`` (G) completions of q'; 0 drafts: no Stage 1."""

    drafts: int
    group_size: int
    select: SelectionRule
    ties: TieRule
    all_failed: Literal["show", "skip"]

    async def __call__(self, question: Question, tools: Toolbox) -> Trace:
        if self.drafts == 0:
            return Trace(question, (await self._refine(question, tools, (), None),))

        # Stage 1, exploration: d_1..d_N ~ pi_old(. | q). No gradient flows through them.
        prompt = tools.prompts.question_prompt(question)
        drafts_N = await tools.sample(question, prompt, self.drafts, stage=1)
        scores_N = await tools.score(question, drafts_N)

        # d^ = argmax_i R(d_i)   (Eq. 1)
        shown = self.select(scores_N, drafts_N, tools.rng(question, "selection"), self.ties)
        if self.all_failed == "skip" and not any(score.correct for score in scores_N):
            shown = None

        drafts = Group(1, prompt, drafts_N, scores_N, trained=False)
        return Trace(question, (drafts, await self._refine(question, tools, drafts_N, shown)))

    async def _refine(
        self, question: Question, tools: Toolbox, drafts_N: tuple[Completion, ...], shown: int | None
    ) -> Group:
        # Stage 2, refinement: q' = Concat(q, d^)   (Eq. 2);   o_1..o_G ~ pi_old(. | q')
        prompt = tools.prompts.refinement_prompt(question, None if shown is None else drafts_N[shown])
        refinements_G = await tools.sample(question, prompt, self.group_size, stage=2)
        scores_G = await tools.score(question, refinements_G)
        return Group(2, prompt, refinements_G, scores_G, trained=True, shown=shown)
