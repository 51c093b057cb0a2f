"""A hand-made batch of traces for the tests of the step metrics."""

from __future__ import annotations

from igrpo.types import Completion, FinishReason, Group, Outcome, Prompt, Question, Score, Trace

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


def drafted(name: str, drafts: Group, refinements: Group) -> Trace:
    return Trace(Question(name, "?", "1"), (drafts, refinements))


def batch() -> list[Trace]:
    """Two questions, N = 2 drafts and G = 2 refinements each.

    q1 shows its draft 1, which is right, uncut. Refinement 0 repeats it; refinement 1 is wrong, another text.
    q2 shows its draft 0, which is wrong, cut. Refinement 0 repairs it; refinement 1 gives the same wrong answer.
    """
    q1 = drafted(
        "q1",
        Group(
            1,
            BARE,
            (completion((5, 6), entropy=2.0, sampling=1.0), completion((5, 7, 8, 2), entropy=1.0, finish="stop")),
            (score(0.0, None, None, "unparsable"), score(1.0, True, "1")),
            trained=False,
        ),
        Group(
            2,
            Prompt((1, 2, 5, 7, 8), draft_tokens=3),
            (completion((5, 7, 8, 2), entropy=0.5, finish="stop"), completion((9, 2), entropy=0.25, finish="stop")),
            (score(1.0, True, "1"), score(0.0, False, "3")),
            trained=True,
            shown=(1,),
        ),
    )
    q2 = drafted(
        "q2",
        Group(
            1,
            BARE,
            (completion((4, 4, 4, 4), entropy=0.0), completion((3, 3), entropy=4.0, sampling=0.0)),
            (score(0.5, False, "9"), score(0.25, False, "8")),
            trained=False,
        ),
        Group(
            2,
            Prompt((1, 2, 4, 4), draft_tokens=2, draft_tokens_cut=2),
            (completion((6, 2), entropy=1.0, finish="stop"), completion((4, 4, 4, 7, 7), entropy=2.0)),
            (score(1.0, True, "1"), score(0.5, False, "9")),
            trained=True,
            shown=(0,),
        ),
    )
    return [q1, q2]
