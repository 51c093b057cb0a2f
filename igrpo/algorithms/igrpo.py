"""iGRPO (arXiv 2602.09000, Algorithm 1): draft, refine the best draft by reward, train only the refinements.

Differences from GRPO: the trained group answers q' = Concat(q, d^) instead of q. N of the N + G completions per
question are drafts, from which d^ is selected. The loss is unchanged: advantages, ratios and KL are computed within the
refinements, and every log-prob is conditioned on q' (Eq. 3-6). At deployment, the model answers q alone.

Differences from the paper: among drafts with equal rewards, a correct one is preferred, then a seeded random one; the
paper only says argmax. ``all_failed="skip"`` uses the bare question if no draft is right; the paper always shows a
draft (Eq. 2). Without drafts (N = 0, the control ``bare``), the whole group answers the bare question. Extensions of
the paper are off by default: several ``rounds``, several drafts to ``show``, gradients for other completions
(``train_on``), and questions that are only answered, as in GRPO (``bare_fraction``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from igrpo.algorithms.base import Algorithm, RolloutContext
from igrpo.algorithms.plan import PlannedSamples, SamplingPlan
from igrpo.algorithms.selection import RULES, Selection, TieRule, choose
from igrpo.settings.base import UnitShare
from igrpo.settings.importance_weights import CrossPromptConfig
from igrpo.types import Prompt, Question, Rollout, Sample, TrainingGroup, scored, scores


class IGRPO(Algorithm):
    """iGRPO: ``drafts`` (N) completions of q, then ``rounds`` times G completions of q', with the rest of the budget.

    q' is q with the best completion of the previous round. In each step, the number of questions that are only answered
    is ``bare_fraction`` of the step's questions, rounded up or down.
    """

    title = "iGRPO"
    name: Literal["igrpo"]
    """Kind of algorithm: iGRPO."""

    drafts: NonNegativeInt
    """N, number of drafts per question; refinements get the rest of the budget. 0: no drafts, as in the control
    `condition=bare`."""

    rounds: PositiveInt
    """Number of refinement rounds, which share the rest of the budget evenly. Each refines the best completion of the
    round before."""

    show: PositiveInt
    """Number of drafts in the refinement prompt."""

    selection: Selection
    """Draft that is shown: the best or worst by reward, a random one, the first, the best of the wrong ones, or none,
    which asks the bare question."""

    ties: TieRule
    """Choice among drafts of equal reward, of which right ones come first."""

    all_failed: Literal["show", "skip"]
    """If no draft is right: show one all the same (the paper, Eq. 2), or ask the bare question (`skip`)."""

    train_on: tuple[Literal["draft", "refine", "internalize"], ...] = Field(strict=False, min_length=1)
    """Trained groups: drafts given q, as a group of their own (`draft`), refinements given q' (`refine`, the paper),
    refinements as answers to q, using `transfer` (`internalize`)."""

    joint_baseline: bool
    """True: drafts and internalized refinements are one group with one baseline. It needs
    `train_on=[draft,internalize]`."""

    transfer: CrossPromptConfig
    """How refinements are trained as answers to q, for `internalize`."""

    bare_fraction: UnitShare
    """Share of the questions that are only answered, as in GRPO, with the whole budget. Fractions of a question are
    carried over to later steps."""

    def group_size(self, total: int) -> int:
        """Return G, the number of refinements per round."""
        return (total - self.drafts) // self.rounds

    def plan(self, total: int) -> SamplingPlan:
        answers = PlannedSamples("answer", 1, total, trained=(0,))
        if not self.drafts:
            return SamplingPlan((answers,), frozenset({total}))
        size, shown = self.group_size(total), 0 if self.selection == "none" else self.show
        layout = "refinement" if shown else "question"
        given = {"refine": shown, "internalize": 0}
        refined = tuple(given[way] for way in dict.fromkeys(self.train_on) if way != "draft")
        drafts = PlannedSamples("draft", 1, self.drafts, trained=(0,) if "draft" in self.train_on else ())
        refinements = PlannedSamples("refinement", self.rounds, size, layout, shown, refined)
        sizes = {total} if self.joint_baseline else {part.per_prompt for part in (drafts, refinements) if part.trained}
        if not self.bare_fraction:
            return SamplingPlan((drafts, refinements), frozenset(sizes))
        share = Fraction(str(self.bare_fraction))  # exact: 0.29 x 100 is 28.99... in floats
        return SamplingPlan((drafts, refinements), frozenset({*sizes, total}), (answers,), share)

    def plain_answers(self, total: int) -> int | None:
        return self.plan(total).plain_answers  # without drafts, or if no prompt shows one

    async def rollout(self, question: Question, context: RolloutContext) -> Rollout:
        q = context.prompts.question_prompt(question)
        if not self.drafts or self._only_answers(context):
            first = 1 if self.drafts else 2  # other seeds than GRPO's, to show the size of chance
            answers = await context.sample(question, q, context.total, sampling_round=first, role="answer")
            return Rollout(question, answers, (TrainingGroup(scored(answers)),))

        # Stage 1, exploration: d_1..d_N ~ pi_old(. | q)
        rounds = [await context.sample(question, q, self.drafts, sampling_round=1, role="draft")]
        for number in range(2, 2 + self.rounds):
            # d^ = argmax_i R(d_i)   (Eq. 1)
            best = self._best(question, context, scored(rounds[-1]), number)
            # Stage 2, refinement: q' = Concat(q, d^)   (Eq. 2);   o_1..o_G ~ pi_old(. | q')
            refining = context.prompts.refinement_prompt(question, [draft.completion for draft in best])
            size = self.group_size(context.total)
            rounds.append(
                await context.sample(question, refining, size, sampling_round=number, role="refinement", context=best)
            )
        return Rollout(question, tuple(chain(*rounds)), self._groups(q, rounds))

    def _groups(self, q: Prompt, rounds: Sequence[Sequence[Sample]]) -> tuple[TrainingGroup, ...]:
        """Return the groups to train: in the paper the refinements, given q'."""
        drafts, *refined = map(scored, rounds)
        if self.joint_baseline:
            return (TrainingGroup((*drafts, *chain(*refined)), q),)
        groups = [TrainingGroup(drafts)] if "draft" in self.train_on else []
        groups += [TrainingGroup(samples) for samples in refined if "refine" in self.train_on]
        groups += [TrainingGroup(samples, q) for samples in refined if "internalize" in self.train_on]
        return tuple(groups)

    def _best(
        self, question: Question, context: RolloutContext, drafts: Sequence[Sample], number: int
    ) -> tuple[Sample, ...]:
        """Return the drafts that the prompt of round ``number`` shows."""
        if self.all_failed == "skip" and not any(score.correct for score in scores(drafts)):
            return ()
        rng = context.rng(question, "selection" if number == 2 else f"selection {number}")
        completions = [draft.completion for draft in drafts]
        rule = RULES[self.selection]
        chosen = choose(self.show, rule, scores(drafts), completions, rng=rng, ties=self.ties)
        return tuple(drafts[i] for i in chosen)

    def _only_answers(self, context: RolloutContext) -> bool:
        """True if the question is one of the ``bare_fraction``.

        These questions are spread evenly: among the first n questions there are n times the fraction, rounded down. The
        fractional remainder of a step is carried over to the next step.
        """
        share, number = Fraction(str(self.bare_fraction)), context.number
        return (number + 1) * share // 1 > number * share // 1

    @property
    def transferring(self) -> CrossPromptConfig | None:
        return self.transfer if "internalize" in self.train_on else None

    @property
    def best_is_shown(self) -> bool:
        return self.selection == "best"

    def problems(self, total: int) -> Iterator[str]:
        yield from self._budget_problems(total)
        yield from self._draft_problems(total)
        yield from self._training_problems()

    def _budget_problems(self, total: int) -> Iterator[str]:
        drafts, rounds, size = self.drafts, self.rounds, self.group_size(total)
        left = f"after algorithm.drafts={drafts} " if drafts else ""
        if size < 2:
            among = f" for each of algorithm.rounds={rounds}" if rounds > 1 else ""
            yield (
                f"completions_per_question={total} leaves {left}a group of {max(size, 0)}{among}; a baseline within "
                f"the group needs at least 2: set completions_per_question to {drafts + 2 * rounds} or more"
                + (" or algorithm.drafts lower" if drafts else "")
            )
        elif (total - drafts) % rounds:
            yield (
                f"completions_per_question={total} leaves {left}{total - drafts} refinements, which algorithm.rounds="
                f"{rounds} cannot share evenly; change one of them"
            )

    def _draft_problems(self, total: int) -> Iterator[str]:
        if not self.drafts:
            for key, value in (("rounds", self.rounds), ("show", self.show)):
                if value != 1:
                    yield f"algorithm.{key}={value} needs drafts, and algorithm.drafts=0; set it to 1"
            if set(self.train_on) != {"refine"}:
                yield (
                    f"algorithm.train_on={list(self.train_on)} needs drafts, and algorithm.drafts=0; set it to [refine]"
                )
            if self.bare_fraction:
                yield (
                    "algorithm.bare_fraction needs drafts, and algorithm.drafts=0 asks the bare question always; set "
                    "it to 0"
                )
            return
        least = min(self.drafts, self.group_size(total)) if self.rounds > 1 else self.drafts
        if self.show > least:
            yield f"algorithm.show={self.show} is more than the {least} drafts there are to choose from; lower it"

    def _training_problems(self) -> Iterator[str]:
        named = list(self.train_on)
        twice = sorted({way for way in named if named.count(way) > 1})
        if twice:
            yield f"algorithm.train_on={named} names {twice[0]} twice; once is enough"
        if self.joint_baseline and set(named) != {"draft", "internalize"}:
            yield (
                f"algorithm.joint_baseline=true cannot go with algorithm.train_on={named}: one baseline needs one "
                "prompt; set algorithm.train_on=[draft,internalize]"
            )
        if "draft" in named and self.drafts == 1:
            yield (
                f"algorithm.train_on={named} and algorithm.drafts=1 make a group of one draft; a baseline within the "
                "group needs at least 2: raise algorithm.drafts"
            )
