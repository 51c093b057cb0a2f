"""A hand-made batch of rollouts for the tests of the step metrics."""

from __future__ import annotations

from dataclasses import dataclass

from igrpo.types import Completion, FinishReason, Outcome, Prompt, Question, Rollout, Score
from tests.rollouts import rollout, samples

BARE = Prompt((1, 2))


def completion(
    ids: tuple[int, ...], *, entropy: float = 1.0, sampling: float = 0.5, finish: FinishReason = "length"
) -> Completion:
    n = len(ids)
    return Completion(ids, str(ids), (-1.0,) * n, (sampling,) * n, (entropy,) * n, finish, policy_version=0)


def score(
    value: float, correct: bool | None = None, answer: str | None = None, outcome: Outcome | None = None
) -> Score:
    return Score(value, correct, outcome or ("right" if correct else "wrong"), answer)


@dataclass(frozen=True)
class Drafted:
    """A question with a round of drafts and a round of refinements, which show the drafts at the indices ``shown``."""

    name: str
    drafts: tuple[Completion, ...]
    draft_scores: tuple[Score | None, ...]
    refinements: tuple[Completion, ...]
    scores: tuple[Score | None, ...]
    prompt: Prompt = BARE
    shown: tuple[int, ...] = ()

    @property
    def rollout(self) -> Rollout:
        drafts = samples("draft", self.drafts, self.draft_scores, prompt=BARE)
        shown = [drafts[i] for i in self.shown]
        refined = samples("refinement", self.refinements, self.scores, number=2, prompt=self.prompt, shows=shown)
        return rollout(drafts, refined, trained=[refined], question=Question(self.name, "?", "1"))


def drafted() -> tuple[Drafted, Drafted]:
    """Two questions, N = 2 drafts and G = 2 refinements each.

    q1 shows its draft 1, which is right, uncut. Refinement 0 repeats it; refinement 1 is wrong, another text.
    q2 shows its draft 0, which is wrong, cut. Refinement 0 repairs it; refinement 1 gives the same wrong answer.
    """
    q1 = Drafted(
        "q1",
        (completion((5, 6), entropy=2.0, sampling=1.0), completion((5, 7, 8, 2), entropy=1.0, finish="stop")),
        (score(0.0, None, None, "unparsable"), score(1.0, True, "1")),
        (completion((5, 7, 8, 2), entropy=0.5, finish="stop"), completion((9, 2), entropy=0.25, finish="stop")),
        (score(1.0, True, "1"), score(0.0, False, "3")),
        Prompt((1, 2, 5, 7, 8), draft_tokens=3),
        (1,),
    )
    q2 = Drafted(
        "q2",
        (completion((4, 4, 4, 4), entropy=0.0), completion((3, 3), entropy=4.0, sampling=0.0)),
        (score(0.5, False, "9"), score(0.25, False, "8")),
        (completion((6, 2), entropy=1.0, finish="stop"), completion((4, 4, 4, 7, 7), entropy=2.0)),
        (score(1.0, True, "1"), score(0.5, False, "9")),
        Prompt((1, 2, 4, 4), draft_tokens=2, draft_tokens_cut=2),
        (0,),
    )
    return q1, q2


def batch() -> list[Rollout]:
    return [one.rollout for one in drafted()]
