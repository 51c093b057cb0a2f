"""Critique-GRPO (arXiv 2506.03106): if all answers fail, criticise and refine them, and train the refinements as well.

Differences from GRPO: if all n first answers to a question fail, some of them get a critique. Each critique yields one
refinement, given the question, the answer and its critique. k < n refinements, right ones first, join the first answers
in one group: A = R - mean over the union. All of them are trained as answers to the bare question. A refinement was
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

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import PositiveInt

from igrpo.algorithms.base import Algorithm, RolloutContext
from igrpo.algorithms.plan import PlannedSamples, SamplingPlan
from igrpo.settings.importance_weights import CrossPromptConfig
from igrpo.settings.objective import ObjectiveConfig
from igrpo.types import Question, Rollout, Sample, TrainingGroup, scored


class CritiqueGRPO(Algorithm):
    """Critique-GRPO: ``answers`` (n) completions of q and, if all fail, critiques with one refinement each."""

    title = "Critique-GRPO"
    name: Literal["critique_grpo"]
    """Kind of algorithm: Critique-GRPO."""

    answers: PositiveInt
    """n, number of first answers per question. If all are wrong, the rest of the budget is spent on critiques, each
    with one refinement."""

    kept: PositiveInt
    """k, number of refinements that are trained beside the answers, right ones first; less than `answers`."""

    transfer: CrossPromptConfig
    """How these refinements are trained as answers to the bare question."""

    def critiques(self, total: int) -> int:
        """Return the maximum number of critiques per question, which is also that of refinements."""
        return max(total - self.answers, 0) // 2

    def plan(self, total: int) -> SamplingPlan:
        critiques, n = self.critiques(total), self.answers
        return SamplingPlan(
            (
                PlannedSamples("answer", 1, n, trained=(0,)),
                PlannedSamples("critique", critiques, 1, "critique", 1, always=False),
                PlannedSamples("refinement", self.kept, 1, "revision", 2, (0,), always=False),
                PlannedSamples("refinement", critiques - self.kept, 1, "revision", 2, always=False),
            ),
            frozenset({n, n + self.kept}),
        )

    async def rollout(self, question: Question, context: RolloutContext) -> Rollout:
        q = context.prompts.question_prompt(question)
        # y_1..y_n ~ pi_old(. | q)
        answers = await context.sample(question, q, self.answers, sampling_round=1, role="answer")
        known = scored(answers)
        if not known or any(answer.score is not None and answer.score.correct for answer in known):
            return Rollout(question, answers, (TrainingGroup(known),))  # as in GRPO

        samples, refinements = list(answers), []
        for i, answer in enumerate(self._criticised(question, context, known)):
            # c ~ pi_old(. | q, y_i)
            asked = context.prompts.critique_prompt(question, answer.completion)
            (critique,) = await context.sample(
                question, asked, 1, sampling_round=2 + 2 * i, role="critique", context=[answer]
            )
            # y' ~ pi_old(. | q, y_i, c)
            prompt = context.prompts.revision_prompt(question, answer.completion, critique.completion)
            (refinement,) = await context.sample(
                question, prompt, 1, sampling_round=3 + 2 * i, role="refinement", context=[answer, critique]
            )
            samples += [critique, refinement]
            refinements.append(refinement)
        # A = R - mean over the union of the first answers and the k refinements, all conditioned on q
        return Rollout(question, tuple(samples), (TrainingGroup((*known, *self._best(refinements)), q),))

    def _criticised(self, question: Question, context: RolloutContext, answers: Sequence[Sample]) -> list[Sample]:
        """Return the answers to criticise, in random order; each occurs once before any is repeated."""
        order = list(range(len(answers)))
        context.rng(question, "criticised").shuffle(order)
        return [answers[order[i % len(answers)]] for i in range(self.critiques(context.total))]

    def _best(self, refinements: Sequence[Sample]) -> list[Sample]:
        """Return the k refinements to train: right ones first, then by reward, then in sampling order."""
        ranks = [(s.score.correct is not True, -s.score.value) for s in refinements if s.score is not None]
        ranked = sorted(zip(ranks, scored(refinements), strict=True), key=lambda pair: pair[0])
        return [sample for _, sample in ranked[: self.kept]]

    @property
    def transferring(self) -> CrossPromptConfig | None:
        return self.transfer

    def problems(self, total: int) -> Iterator[str]:
        answers, kept, left = self.answers, self.kept, total - self.answers
        if answers < 2 or left < 2:
            yield (
                f"algorithm.answers={answers} leaves {max(left, 0)} of completions_per_question={total}; there must be "
                "2 answers or more, for a baseline, and 2 completions left, for a critique and a refinement: set "
                "completions_per_question to 4 or more, and algorithm.answers to at most 2 less"
            )
            return
        if left % 2:
            yield (
                f"algorithm.answers={answers} leaves {left} of completions_per_question={total}, which critiques and "
                "refinements cannot share evenly; change one of them by 1"
            )
        if kept > self.critiques(total) or kept >= answers:
            yield (
                f"algorithm.kept={kept} must be less than algorithm.answers={answers}, and at most the "
                f"{self.critiques(total)} refinements that the budget leaves to a question; lower it"
            )

    def notes(self, objective: ObjectiveConfig) -> Iterator[str]:
        yield "critiques and refinements are sampled where no answer is known to be right"
        own = objective.advantage.scale == "none" and objective.aggregation == "constant" and objective.kl_beta == 0
        if not own:
            yield (
                "the objective is not Critique-GRPO's own, which has no standard deviation, no length "
                "term and no KL term: condition=critique_grpo, or objective=dr_grpo"
            )
