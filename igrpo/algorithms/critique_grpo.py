"""Critique-GRPO (arXiv 2506.03106): where all answers fail, criticise them, refine them, and learn the refinement too.

How it differs from GRPO: a question whose n first answers all fail gets critiques of some of them, and one refinement
for each critique, given the question, the answer and its critique. k < n refinements, right ones first, join the first
answers in one cohort: A = R - mean over the union. All of it is trained as answers to the bare question. A refinement
was sampled from another prompt, so that its per-token term is A * pi / (pi + gamma), pi given the question ALONE and
the gradient through it (`igrpo.losses.shaping`). No std, no length term, no KL: that is the objective's business
(objective=dr_grpo, which condition=critique_grpo chooses).

What the paper leaves open, or was not to be had (it was read in excerpts, beside the code that its authors released),
and what is done here:

- who criticises: the paper compares critiques of another model, critiques that hold the gold answer, and the policy's
  own. Here the policy criticises itself and never sees the gold answer, as iGRPO's refiner never does; a critique has
  no reward and is not trained.
- when: the released code refines the answers to every question. Here, as this project's specification has it, only
  questions without one answer known to be right are refined, so that an easy question costs n completions alone.
- how many: the code refines each answer; that critiques and refinements are paid for out of a budget was not found.
  Here the two cost two of ``completions_per_question``; what n leaves buys such pairs, for distinct answers, drawn by
  chance, as long as there are enough. ``budget/samples_per_question`` is what a step really took.
- the pool: whether answers and refinements are averaged apart (1/n and 1/k) or together could not be checked in the
  text; the code sums all tokens over one constant. Here it is one constant as well, each row with the same weight.
- clipping: the released code clips no answer. With one update a step no clip acts; with several, the objective's does.
- gamma: 0.1 in the released code; pi is the probability at the sampling temperature, as everywhere here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from igrpo.algorithms.base import RolloutContext
from igrpo.types import Cohort, Group, Lesson, Question, Trace, lessons


@dataclass(frozen=True, slots=True)
class CritiqueGRPO:
    """``answers`` (n) completions of q; where all fail, ``critiques`` pairs of a critique and a refinement, of which
    ``kept`` (k) are trained."""

    answers: int
    critiques: int
    kept: int

    async def __call__(self, question: Question, context: RolloutContext) -> Trace:
        bare = context.prompts.question_prompt(question)
        # y_1..y_n ~ pi_old(. | q)
        first = await context.group(question, bare, self.answers, turn=1, stage=1, trained=True)
        if not first.completions or any(score.correct for score in first.scores):
            return Trace(question, (first,))  # GRPO

        groups: list[Group] = [replace(first, trained=False)]  # it has no baseline of its own
        for turn, index in enumerate(self._criticised(question, context, len(first.completions))):
            answer = first.completions[index]
            # c ~ pi_old(. | q, y_i)
            asked = context.prompts.critique_prompt(question, answer)
            (critique,) = await context.sample(question, asked, 1, 2 + 2 * turn)
            groups.append(
                Group(3, asked, (), (), trained=False, shown=(index,), shown_from=len(groups), unscored=(critique,))
            )
            # y' ~ pi_old(. | q, y_i, c)
            prompt = context.prompts.revision_prompt(question, answer, critique)
            back, shown = len(groups), (index,)
            refined = await context.group(
                question, prompt, 1, turn=3 + 2 * turn, stage=2, trained=False, shown=shown, shown_from=back
            )
            groups.append(refined)
        refinements = [one for group in groups if group.stage == 2 for one in lessons(group, bare)]
        # A = R - mean over the union of the first answers and the k refinements, all conditioned on q
        return Trace(question, tuple(groups), ((*lessons(first, bare), *self._best(refinements)),))

    def _criticised(self, question: Question, context: RolloutContext, answers: int) -> list[int]:
        """Return the indices of the answers to criticise: each once, in random order, before any is repeated."""
        order = list(range(answers))
        context.rng(question, "criticised").shuffle(order)
        return [order[i % answers] for i in range(self.critiques)]

    def _best(self, refinements: Sequence[Lesson]) -> Cohort:
        """Return the k refinements to train: right ones first, then by reward, then in sampling order."""
        ranked = sorted(refinements, key=lambda one: (one.score.correct is not True, -one.score.value))
        return tuple(ranked[: self.kept])
