"""Critique-GRPO (arXiv 2506.03106): if all answers fail, criticise and refine them, and train the refinements as well.

Differences from GRPO: if all n first answers to a question fail, some of them get a critique. Each critique yields one
refinement, given the question, the answer and its critique. k < n refinements, right ones first, join the first answers
in one cohort: A = R - mean over the union. All of them are trained as answers to the bare question. A refinement was
sampled from another prompt. Its per-token term is therefore A * pi / (pi + gamma), where pi is conditioned on the
question ALONE and carries the gradient (`igrpo.losses.surrogates`). The absence of std, length term and KL is set by
the objective (objective=dr_grpo, which condition=critique_grpo selects).

The paper was read in excerpts, together with the code that its authors released. The following points were unclear or
not available, and are resolved here as stated:

- source of critiques: the paper compares critiques by another model, critiques that contain the gold answer, and the
  policy's own critiques. Here the policy criticises itself and never sees the gold answer, like iGRPO's refiner. A
  critique has no reward and is not trained.
- refined questions: the released code refines the answers to every question. Here, by this project's specification,
  only questions without an answer known to be right are refined, so that an easy question costs only n completions.
- number of refinements: the code refines each answer. No rule was found that counts critiques and refinements against
  a budget. Here each pair of them costs two of ``completions_per_question``. The completions that remain after the n
  answers are spent on such pairs, for randomly drawn answers that are distinct as long as there are enough.
  ``budget/samples_per_question`` reports the actual cost of a step.
- normalisation: the excerpts do not show whether answers and refinements are averaged separately (1/n and 1/k) or
  together. The code divides the sum over all tokens by one constant. Here there is one constant as well, and each row
  has the same weight.
- clipping: the released code does not clip answers. With one update per step, clipping has no effect; with several,
  the objective's clipping applies.
- gamma: 0.1 in the released code; pi is the probability at the sampling temperature, as everywhere in this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from igrpo.algorithms.base import RolloutContext
from igrpo.types import Cohort, Group, Lesson, Question, Trace, lessons


@dataclass(frozen=True, slots=True)
class CritiqueGRPO:
    """Critique-GRPO algorithm: ``answers`` (n) completions of q and, if all fail, ``critiques`` pairs.

    A pair is a critique and a refinement. ``kept`` (k) of the refinements are trained.
    """

    answers: int
    critiques: int
    kept: int

    async def __call__(self, question: Question, context: RolloutContext) -> Trace:
        bare = context.prompts.question_prompt(question)
        # y_1..y_n ~ pi_old(. | q)
        first = await context.group(question, bare, self.answers, turn=1, stage=1, trained=True)
        if not first.completions or any(score.correct for score in first.scores):
            return Trace(question, (first,))  # as in GRPO

        groups: list[Group] = [replace(first, trained=False)]  # no baseline of its own: trained in the joint cohort
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
        """Return the indices of the answers to criticise, in random order; each occurs once before any is repeated."""
        order = list(range(answers))
        context.rng(question, "criticised").shuffle(order)
        return [order[i % answers] for i in range(self.critiques)]

    def _best(self, refinements: Sequence[Lesson]) -> Cohort:
        """Return the k refinements to train: right ones first, then by reward, then in sampling order."""
        ranked = sorted(refinements, key=lambda one: (one.score.correct is not True, -one.score.value))
        return tuple(ranked[: self.kept])
