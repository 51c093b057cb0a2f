"""Comparison of two evaluations as Markdown. What a model wrote is shown in blocks, and acts on nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from igrpo.evaluation.flips import Flip
from igrpo.evaluation.samples import EvaluatedSample
from igrpo.evaluation.validity.shown import fenced, printable, tail
from igrpo.messages import count

if TYPE_CHECKING:
    from igrpo.tools.evaluating.against import BenchmarkComparison, Comparison

#: Characters of a problem and of a sample that are shown.
_LONGEST = 4000
_LONGEST_ANSWER = 200

CAPTION = (
    "Accuracies in %. The difference is first - second in percentage points, with its 95 % interval over questions; p "
    "is of a paired permutation test by question, with Holm's correction over the benchmarks. Gained are the questions "
    "on which more than half of the first model's samples are right and not of the second's; lost is the reverse. All "
    "of it is about these two models: how much another seed of the training would change is not in the interval. "
    "Methods are compared over seeds by `igrpo report`."
)
HEAD = ("benchmark", "questions", "first", "second", "difference", "p", "gained", "lost")


def page(comparison: Comparison) -> str:
    """Return the page."""
    lines = [HEAD, ("---",) * len(HEAD), *(cells(one) for one in comparison.benchmarks)]
    parts = [
        "# Two models on the same questions",
        f"first: {fenced_inline(comparison.models[0])}\n\nsecond: {fenced_inline(comparison.models[1])}",
        "\n".join(f"| {' | '.join(line)} |" for line in lines),
        CAPTION,
        *(f"- {printable(note)}" for note in comparison.notes),
    ]
    for one in comparison.benchmarks:
        parts += _flips(one)
    return "\n\n".join(parts) + "\n"


def cells(one: BenchmarkComparison) -> tuple[str, ...]:
    """Return the row of a benchmark, below `HEAD`."""
    paired = one.paired
    return (
        one.name,
        f"{paired.questions:,}",
        *(f"{100 * share:.1f}" for share in one.accuracies),
        f"{100 * paired.difference:+.1f} [{100 * paired.low:+.1f}, {100 * paired.high:+.1f}]",
        f"{one.p_holm:.3f}" if one.p_holm >= 0.001 else "<0.001",
        str(len(one.gained)),
        str(len(one.lost)),
    )


def answer(sample: EvaluatedSample) -> str:
    """Return the printable answer of a sample, on one line."""
    found = sample.score.answer
    return "no answer" if found is None else printable(" ".join(found.split()))[:_LONGEST_ANSWER]


def fenced_inline(text: str) -> str:
    """Return a text on one line as code that no backtick in it can end."""
    return f"`` {printable(' '.join(text.split())).replace('`', '´')} ``"


def _flips(one: BenchmarkComparison) -> Iterator[str]:
    for title, found in (("gained", one.gained), ("lost", one.lost)):
        if found:
            yield f"## {one.name}: {count(len(found), 'question')} {title}"
            for flip in found:
                yield from _flip(one, flip)


def _flip(one: BenchmarkComparison, flip: Flip) -> Iterator[str]:
    question = one.questions[flip.question]
    yield f"### {fenced_inline(flip.question)}"
    yield fenced(tail(question.problem, _LONGEST))
    yield f"Answer: {fenced_inline(question.answer)}"
    for which, share, sample in (("First", flip.first_right, flip.first), ("Second", flip.second_right, flip.second)):
        verdict = "right" if sample.correct else "not right"
        yield (
            f"{which} model: {100 * share:.0f} % right. A typical sample ({verdict}, "
            f"{count(len(sample.token_ids), 'token')}), with the answer {fenced_inline(answer(sample))}:"
        )
        yield fenced(tail(sample.text, _LONGEST))
