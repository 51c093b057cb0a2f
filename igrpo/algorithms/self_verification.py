"""Self-Verification (arXiv 2506.01369): the policy answers, and says of earlier answers whether they are right.

How it differs from GRPO: beside each question's n answers there is a group of verifications of ONE earlier (question,
answer) pair, from a buffer of recent ones. A verification is rewarded for being right about it: 1 or 0. Both groups are
trained, each with its own baseline and given its own prompt: the loss is GRPO's, on their union. With n half of the
budget, half of the batch are verifications.

What the paper leaves open, or was not to be had (it was read in excerpts, beside a copy of the code that its authors
released), and what is done here:

- the buffer: how long a pair stays is not clear to us (a setting of the code keeps 5,000 and renews them every 60
  steps). Here it holds the newest ``buffer`` answers with a known verdict. A step reads those of the steps before it,
  never its own, so that what it asks is a function of (seed, step, question). The first step has none: its questions
  are answered and nothing is verified, and ``budget/samples_per_question`` says so.
- the reward: the code has a plain one, and one that multiplies a right verdict's by 2 (1 - p) for right answers and 2 p
  for wrong ones, p the share of right answers among its group's. All verifications of a pair share that factor, and
  dividing by the group's standard deviation (objective=grpo) takes it out again. So the plain one is used.
- balance: that factor is there because right and wrong answers are not equally frequent. Here a toss-up decides which
  of the two is verified (``balanced``), where the buffer has both.
- the verdict: the code asks for a closing phrase with Yes or No. Here it stands in a box, as answers do, and is read
  strictly: anything but the one or the other word is "unparsable", and its reward is 0.
- auxiliary penalties (short texts, program code), the KL term and the entropy bonus of the code are left out; the last
  two are the objective's business.
- the verifier does not see the gold answer; it sees the answer as refiners see drafts (``prompt.draft_thinking``, the
  budget of ``prompt.max_draft_tokens``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from igrpo.algorithms.base import RolloutContext
from igrpo.data.boxed import last_boxed
from igrpo.types import Completion, Group, Question, Score, Trace, Verified


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and an answer to it whose verdict is known."""

    question: Question
    token_ids: tuple[int, ...]
    text: str
    correct: bool
    opened: str = ""

    @property
    def answer(self) -> Completion:
        """As a prompt shows it."""
        return Completion(self.token_ids, self.text, (), None, None, "stop", 0, self.opened)


@dataclass(slots=True)
class SelfVerification:
    """``answers`` (n) completions of q, and ``verifications`` of one pair among the ``buffer`` newest."""

    answers: int
    verifications: int
    buffer: int
    balanced: bool
    pairs: list[Pair] = field(default_factory=list)

    async def __call__(self, question: Question, context: RolloutContext) -> Trace:
        # o_1..o_n ~ pi_old(. | q), as in GRPO
        prompt = context.prompts.question_prompt(question)
        answers = await context.group(question, prompt, self.answers, turn=1, stage=1, trained=True)
        pair = self._chosen(question, context)
        if pair is None:
            return Trace(question, (answers,))
        # v_1..v_m ~ pi_old(. | q', o'): is o' right? Rewarded for being right about it.
        prompt = context.prompts.verification_prompt(pair.question, pair.answer)
        verifications = await context.sample(question, prompt, self.verifications, 2)
        scores = tuple(verification_score(v.text, pair.correct, context.prompts.verdicts) for v in verifications)
        verified = Verified(pair.question.id, pair.text, pair.correct)
        return Trace(question, (answers, Group(3, prompt, verifications, scores, trained=True, verified=verified)))

    def _chosen(self, question: Question, context: RolloutContext) -> Pair | None:
        """One of the buffer's pairs; None while it is empty."""
        rng = context.rng(question, "verified")
        wanted = rng.random() < 0.5
        pairs = [pair for pair in self.pairs if pair.correct is wanted] if self.balanced else []
        pairs = pairs or self.pairs
        return rng.choice(pairs) if pairs else None

    def extract_state(self, trace: Trace) -> list[Pair]:
        """The question's answers that the reward gave a verdict on."""
        answers = trace.groups[0]
        return [
            Pair(trace.question, completion.token_ids, completion.text, score.correct, completion.opened)
            for completion, score in zip(answers.completions, answers.scores, strict=True)
            if score.correct is not None
        ]

    def update_state(self, states_S: Sequence[list[Pair]]) -> None:
        """The newest stay: of a step, the last questions'."""
        self.pairs = [*self.pairs, *(pair for extract_state in states_S for pair in extract_state)][-self.buffer :]

    def state_dict(self) -> dict[str, Any]:
        """The buffer, the oldest pair first."""
        return {"pairs": [asdict(pair) | {"token_ids": list(pair.token_ids)} for pair in self.pairs]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the buffer of a checkpoint."""
        self.pairs = [
            Pair(**(pair | {"question": Question(**pair["question"]), "token_ids": tuple(pair["token_ids"])}))
            for pair in state["pairs"]
        ]


def verification_score(text: str, correct: bool, verdicts: Mapping[str, bool]) -> Score:
    """1 for saying of a right answer that it is, or of a wrong one that it is not; 0 for the opposite, or neither.

    ``verdicts`` are the words that stand for right and wrong; one of them must be all that the last box holds. What
    stands in thinking that was never finished is no verdict.
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
