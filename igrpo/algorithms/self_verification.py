"""Self-Verification (arXiv 2506.01369): the policy answers questions and judges whether earlier answers are right.

Differences from GRPO: in addition to n answers per question, there is a group of verifications of ONE earlier
(question, answer) pair from a buffer of recent pairs. The reward of a verification is 1 if its verdict is right, else
0. Both groups are trained, each with its own baseline and prompt. The loss is GRPO's, over their union. If n is half of
the budget, half of the batch are verifications.

The paper was read in excerpts, together with a copy of the code that its authors released. The following points were
unclear or not available, and are resolved here as stated:

- buffer: it is unclear how long a pair is kept (a setting of the code keeps 5,000 pairs and renews them every 60
  steps). Here the buffer holds the newest ``buffer`` answers with a known verdict. A step reads only answers of earlier
  steps, so that its prompts are a function of (seed, step, question). In the first step the buffer is empty: its
  questions are answered and nothing is verified, which ``budget/samples_per_question`` shows.
- reward: the code has a plain reward, and one that multiplies the reward of a right verdict by 2 (1 - p) for right
  answers and by 2 p for wrong ones, where p is the share of right answers in the answer's group. All verifications of a
  pair have the same factor, and division by the group's standard deviation (objective=grpo) cancels it. The plain
  reward is therefore used.
- balance: the factor exists because right and wrong answers are not equally frequent. Here a fair coin decides which of
  the two is verified (``balanced``), if the buffer has both.
- verdict: the code asks for a closing phrase with Yes or No. Here the verdict is in a box, like answers, and is parsed
  strictly: anything but one of the two words is "unparsable", with reward 0.
- the code's auxiliary penalties (short texts, program code), KL term and entropy bonus are left out. The objective sets
  the last two.
- the verifier does not see the gold answer. It sees the answer in the same form as refiners see drafts
  (``prompt.draft_thinking``, the budget of ``prompt.max_draft_tokens``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pydantic import PositiveInt

from igrpo.algorithms.base import Algorithm, AlgorithmState, RolloutContext
from igrpo.algorithms.plan import PlannedSamples, SamplingPlan
from igrpo.data.boxed import last_boxed
from igrpo.settings.objective import ObjectiveConfig
from igrpo.types import Completion, Question, Rollout, Score, TrainingGroup, Verified, scored


@dataclass(frozen=True, slots=True)
class Pair:
    """Question and an answer to it with a known verdict."""

    question: Question
    token_ids: tuple[int, ...]
    text: str
    correct: bool
    opened: str = ""

    @property
    def answer(self) -> Completion:
        """Answer as a completion, to be shown in a prompt."""
        return Completion(self.token_ids, self.text, (), None, None, "stop", 0, self.opened)


class AnswerBuffer(AlgorithmState):
    """The newest ``capacity`` answers with a known verdict, oldest first."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.pairs: list[Pair] = []

    def extract_state(self, rollout: Rollout) -> list[Pair]:
        """Return the question's answers with a known verdict."""
        return [
            Pair(rollout.question, c.token_ids, c.text, score.correct, c.opened)
            for c, score in ((sample.completion, sample.score) for sample in rollout.of("answer"))
            if score is not None and score.correct is not None
        ]

    def update_state(self, states_S: Sequence[list[Pair]]) -> None:
        """Append the pairs of a step, in the order of its questions, and keep the newest."""
        self.pairs = [*self.pairs, *(pair for pairs in states_S for pair in pairs)][-self.capacity :]

    def state_dict(self) -> dict[str, Any]:
        return {"pairs": [asdict(pair) | {"token_ids": list(pair.token_ids)} for pair in self.pairs]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.pairs = [
            Pair(**(pair | {"question": Question(**pair["question"]), "token_ids": tuple(pair["token_ids"])}))
            for pair in state["pairs"]
        ]


class SelfVerification(Algorithm):
    """Self-Verification: ``answers`` (n) completions of q, and with the rest of the budget verifications.

    They verify one earlier answer, drawn from the ``buffer`` newest ones.
    """

    title = "Self-Verification"
    name: Literal["self_verification"]
    """Kind of algorithm: Self-Verification."""

    answers: PositiveInt
    """n, number of answers per question. The rest of the budget verifies one earlier answer."""

    buffer: PositiveInt
    """Number of newest answers with a known verdict that are kept for verification."""

    balanced: bool
    """True: right and wrong answers are verified equally often, if the buffer has both. False: as often as they occur.
    """

    def verifications(self, total: int) -> int:
        """Return the number of verifications of one earlier answer, per question."""
        return max(total - self.answers, 0)

    def plan(self, total: int) -> SamplingPlan:
        answers, verifications = self.answers, self.verifications(total)
        return SamplingPlan(
            (
                PlannedSamples("answer", 1, answers, trained=(0,)),
                PlannedSamples("verification", 1, verifications, "verification", 1, (1,), always=False),
            ),
            frozenset({answers, verifications}),
        )

    def new_state(self) -> AnswerBuffer:
        return AnswerBuffer(self.buffer)

    async def rollout(self, question: Question, context: RolloutContext) -> Rollout:
        # o_1..o_n ~ pi_old(. | q), as in GRPO
        q = context.prompts.question_prompt(question)
        answers = await context.sample(question, q, self.answers, sampling_round=1, role="answer")
        group, pair = TrainingGroup(scored(answers)), self._chosen(question, context)
        if pair is None:
            return Rollout(question, answers, (group,))
        # v_1..v_m ~ pi_old(. | q', o'): is o' right? Rewarded for being right about it.
        prompt = context.prompts.verification_prompt(pair.question, pair.answer)
        about = Verified(pair.question.id, pair.text, pair.correct)
        sampled = await context.sample(
            question, prompt, self.verifications(context.total), sampling_round=2, role="verification"
        )
        verifications = tuple(
            replace(
                sample,
                score=verification_score(sample.completion.text, pair.correct, context.prompts.verdicts),
                verified=about,
            )
            for sample in sampled
        )
        return Rollout(question, (*answers, *verifications), (group, TrainingGroup(verifications)))

    def _chosen(self, question: Question, context: RolloutContext) -> Pair | None:
        """Return a random pair of the buffer, or None if it is empty."""
        assert isinstance(context.state, AnswerBuffer)
        rng = context.rng(question, "verified")
        wanted = rng.random() < 0.5
        pairs = [pair for pair in context.state.pairs if pair.correct is wanted] if self.balanced else []
        pairs = pairs or context.state.pairs
        return rng.choice(pairs) if pairs else None

    def problems(self, total: int) -> Iterator[str]:
        verifications = self.verifications(total)
        if self.answers < 2 or verifications < 2:
            yield (
                f"algorithm.answers={self.answers} leaves {verifications} verifications of completions_per_question="
                f"{total}; a baseline within the group needs at least 2 of each: set completions_per_question to 4 or "
                "more, and algorithm.answers to at most 2 less"
            )

    def notes(self, objective: ObjectiveConfig) -> Iterator[str]:
        yield "verifications are of one earlier answer per question; there is none in the first step"


def verification_score(text: str, correct: bool, verdicts: Mapping[str, bool]) -> Score:
    """Score a verification: 1 if its verdict agrees with ``correct``, 0 if it does not or if there is no verdict.

    ``verdicts`` maps the two verdict words to their meaning (right: True). The last box must contain exactly one of
    these words. A verdict inside unfinished thinking does not count.
    """
    unfinished = "<think>" in text and "</think>" not in text.rpartition("<think>")[2]
    word = "" if unfinished else (last_boxed(text) or "").strip().casefold()
    said = next((meaning for verdict, meaning in verdicts.items() if verdict.casefold() == word), None)
    if said is None:
        return Score(0.0, correct=False, outcome="unparsable")
    agrees = said is correct
    return Score(
        float(agrees), correct=agrees, outcome="right" if agrees else "wrong", answer="right" if said else "wrong"
    )
