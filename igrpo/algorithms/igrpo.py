"""iGRPO (arXiv 2602.09000, Algorithm 1): draft, refine the best draft by reward, train only the refinements.

Differences from GRPO: the trained group answers q' = Concat(q, d^) instead of q. N of the N + G completions per
question are drafts, from which d^ is selected. The loss is unchanged: advantages, ratios and KL are computed within the
refinements, and every log-prob is conditioned on q' (Eq. 3-6). At deployment, the model answers q alone.

Differences from the paper: among drafts with equal rewards, a correct one is preferred, then a seeded random one; the
paper only says argmax. ``all_failed="skip"`` uses the bare question if no draft is right; the paper always shows a
draft (Eq. 2). Without drafts (N = 0, the control ``bare``) there is no Stage 1, and the whole group answers the bare
question. Extensions of the paper are off by default: several ``rounds``, several drafts to ``show``, gradients for
other completions (``train_on``), and questions without a second stage, as in GRPO (``bare_fraction``).
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Literal

from igrpo.algorithms.base import RolloutContext
from igrpo.algorithms.selection import SelectionRule, TieRule, choose
from igrpo.types import Group, Question, Trace, lessons


@dataclass(frozen=True, slots=True)
class IGRPO:
    """iGRPO algorithm: ``drafts`` (N) completions of q, then ``rounds`` times ``group_size`` (G) completions of q'.

    q' is q with the best completion of the previous round. ``train_on`` selects the trained completions: ``refine``
    (refinements, given q'), ``draft`` (drafts, given q; each stage is a separate group) and ``internalize``
    (refinements as answers to q, see `igrpo.types.Lesson` and `igrpo.training.update`). With ``joint_baseline``, drafts
    and internalized refinements form one group.
    """

    drafts: int
    group_size: int
    select: SelectionRule
    ties: TieRule
    all_failed: Literal["show", "skip"]
    rounds: int = 1
    show: int = 1
    train_on: Set[Literal["draft", "refine", "internalize"]] = frozenset({"refine"})
    joint_baseline: bool = False
    bare_fraction: float = 0.0

    async def __call__(self, question: Question, context: RolloutContext) -> Trace:
        bare = context.prompts.question_prompt(question)
        if self._answers_once(context.number):
            n = self.drafts + self.rounds * self.group_size
            return Trace(question, (await context.group(question, bare, n, turn=1, stage=1, trained=True),))

        groups: list[Group] = []
        if self.drafts:
            # Stage 1, exploration: d_1..d_N ~ pi_old(. | q). No gradient flows through them.
            trained = "draft" in self.train_on and not self.joint_baseline
            groups.append(await context.group(question, bare, self.drafts, turn=1, stage=1, trained=trained))

        for turn in range(2, 2 + self.rounds):
            # d^ = argmax_i R(d_i)   (Eq. 1)
            shown = self._best(question, context, groups[-1], turn) if groups else ()
            # Stage 2, refinement: q' = Concat(q, d^)   (Eq. 2);   o_1..o_G ~ pi_old(. | q')
            prompt = context.prompts.refinement_prompt(question, [groups[-1].completions[i] for i in shown])
            trained = "refine" in self.train_on
            groups.append(
                await context.group(question, prompt, self.group_size, turn=turn, stage=2, trained=trained, shown=shown)
            )

        internalize = "internalize" in self.train_on
        taught = [lessons(group, bare) for group in groups if internalize and (group.stage == 2 or self.joint_baseline)]
        cohorts = [tuple(chain.from_iterable(taught))] if self.joint_baseline else taught
        return Trace(question, tuple(groups), tuple(cohorts))

    def _answers_once(self, number: int) -> bool:
        """True if the question with this number in the run has no second stage.

        These questions are spread evenly: among the first n questions there are n times the fraction, rounded down. The
        fractional remainder of a step is carried over to the next step.
        """
        share = Fraction(str(self.bare_fraction))  # exact: 0.29 x 100 is 28.99... in floats
        return (number + 1) * share // 1 > number * share // 1

    def _best(self, question: Question, context: RolloutContext, drafts: Group, turn: int) -> tuple[int, ...]:
        if self.all_failed == "skip" and not any(score.correct for score in drafts.scores):
            return ()
        rng = context.rng(question, "selection" if turn == 2 else f"selection {turn}")
        return choose(self.show, self.select, drafts.scores, drafts.completions, rng=rng, ties=self.ties)
