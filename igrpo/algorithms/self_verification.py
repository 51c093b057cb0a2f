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

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from igrpo.algorithms.base import RolloutContext
from igrpo.data.boxed import last_boxed
from igrpo.types import Completion, Group, Question, Score, Trace, Verified


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


@dataclass(slots=True)
class SelfVerification:
    """Self-Verification algorithm: ``answers`` (n) completions of q, and ``verifications`` of one earlier pair.

    The pair is drawn from the ``buffer`` newest pairs, which are kept in ``pairs``.
    """

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
        """Return a random pair of the buffer, or None if it is empty."""
        rng = context.rng(question, "verified")
        wanted = rng.random() < 0.5
        pairs = [pair for pair in self.pairs if pair.correct is wanted] if self.balanced else []
        pairs = pairs or self.pairs
        return rng.choice(pairs) if pairs else None

    def extract_state(self, trace: Trace) -> list[Pair]:
        """Return the question's answers with a known verdict."""
        answers = trace.groups[0]
        return [
            Pair(trace.question, completion.token_ids, completion.text, score.correct, completion.opened)
            for completion, score in zip(answers.completions, answers.scores, strict=True)
            if score.correct is not None
        ]

    def update_state(self, states_S: Sequence[list[Pair]]) -> None:
        """Append the pairs of a step, in the order of its questions, and keep the newest ``buffer`` pairs."""
        self.pairs = [*self.pairs, *(pair for extract_state in states_S for pair in extract_state)][-self.buffer :]

    def state_dict(self) -> dict[str, Any]:
        """Return the buffer, oldest pair first."""
        return {"pairs": [asdict(pair) | {"token_ids": list(pair.token_ids)} for pair in self.pairs]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the buffer of a checkpoint."""
        self.pairs = [
            Pair(**(pair | {"question": Question(**pair["question"]), "token_ids": tuple(pair["token_ids"])}))
            for pair in state["pairs"]
        ]


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
