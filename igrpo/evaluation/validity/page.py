"""The checks of an evaluation as a page of Markdown. What a model wrote is shown in blocks, and acts on nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from igrpo.evaluation.validity import words
from igrpo.evaluation.validity.calibration import Calibration, ReliabilityBin
from igrpo.evaluation.validity.confidence import CONFIDENCES
from igrpo.evaluation.validity.contamination import Contamination, Probe, fewest_words
from igrpo.evaluation.validity.result import Checks, Validity
from igrpo.evaluation.validity.sensitivity import Sensitivity
from igrpo.evaluation.validity.shown import fenced
from igrpo.evaluation.validity.verdicts import REASONS, Disagreement, OtherVerdict, Verdicts
from igrpo.messages import count

_INTRODUCTION = """# What could be wrong with these numbers

None of this changes a number of the evaluation. Intervals are 95 %, by question."""


def page(validity: Validity) -> str:
    """Return the page."""
    parts = [_INTRODUCTION]
    for name, checks in validity.benchmarks.items():
        parts += [f"## {name}", *_benchmark(checks)]
    if validity.not_compared:
        parts += ["## Sensitivity", *(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in validity.not_compared)]
    if validity.contamination is not None:
        parts += ["## Contamination", *_contamination(validity.contamination)]
    return "\n\n".join(parts) + "\n"


def _benchmark(checks: Checks) -> Iterator[str]:
    yield f"In {words.percent(checks.without_answer)} of the samples, the reward found no answer."
    if checks.verdicts is None:
        yield "Another reward than the rule verifier gave the verdicts, so there is no stricter and no laxer one."
    else:
        yield from _verdicts(checks.verdicts)
    for name, one in checks.calibration.items():
        yield from _calibration(name, one)
    for setting, found in checks.sensitivity.items():
        yield from _sensitivity(setting, found)


def _verdicts(verdicts: Verdicts) -> Iterator[str]:
    others = {"stricter": verdicts.strict, "laxer": verdicts.lax}
    rows = [("main", words.accuracy(verdicts.main), "", "")]
    rows += [(name, words.accuracy(one.accuracy), _differs(one), _reasons(one)) for name, one in others.items()]
    yield "### Verdicts"
    yield _table(("verdict", "accuracy", "differs from the main one", "why"), rows)
    for name, one in others.items():
        if one.worst:
            yield f"Where the {name} verdict differs, most samples first:"
            yield from map(_disagreement, one.worst)


def _differs(one: OtherVerdict) -> str:
    number = round(one.differs * one.samples)
    return f"{words.percent(one.differs)} ({number:,} of {count(one.samples, 'sample')})"


def _reasons(one: OtherVerdict) -> str:
    """Give counts: a few of many samples would be 0.0 %."""
    return "; ".join(
        f"{count(round(share * one.samples), 'sample')}: {REASONS[reason]}" for reason, share in one.reasons.items()
    )


def _disagreement(one: Disagreement) -> str:
    texts = {
        "question": one.question,
        "gold answer": one.gold,
        "answer": one.answer or "none was found",
        "end": one.text_end,
    }
    what = f"{count(one.alike, 'sample')}, {REASONS[one.reason]}:"
    return f"{what}\n\n" + fenced("\n".join(f"{name}: {text}" for name, text in texts.items()))


def _calibration(name: str, one: Calibration) -> Iterator[str]:
    yield f"### Calibration: {name.replace('_', ' ')}"
    yield (
        f"Confidence of an answer: {CONFIDENCES[name]}. Mean confidence {one.confidence:.3f}, accuracy "
        f"{one.accuracy:.3f}, over {count(one.samples, 'sample')} of {count(one.questions, 'question')}."
    )
    auroc = "not defined: all answers have the same verdict" if one.auroc is None else words.number(one.auroc)
    constant = one.accuracy * (1 - one.accuracy)
    yield _table(
        ("measure", "value"),
        [
            (f"expected calibration error (by chance: up to {one.ece_by_chance:.3f})", words.number(one.ece)),
            (f"Brier score (a constant confidence: {constant:.3f})", words.number(one.brier)),
            ("AUROC of right against wrong", auroc),
        ],
    )
    yield _table(
        ("confidence", "mean", "right", "samples"),
        [
            (_range(name, row), f"{row.confidence:.3f}", words.percent(row.accuracy), f"{row.samples}")
            for row in one.table
        ],
    )


def _range(name: str, row: ReliabilityBin) -> str:
    """Return the range of confidences of a bin, and say where samples without an answer are: at an agreement of 0."""
    without = (
        "" if name != "agreement" or row.low > 0 else ", no answer" if row.high == 0 else ", with those of no answer"
    )
    return f"{row.low:.3f} to {row.high:.3f}{without}"


def _sensitivity(setting: str, found: Sensitivity) -> Iterator[str]:
    yield f"### Sensitivity: {setting}"
    yield "All variants are judged alike, also the main one: rules read every form of answer (box, tag, last line)."
    yield _table(
        ("variant", "accuracy", "difference to the main one"),
        [
            (name, words.accuracy(one.accuracy), "main" if one.difference is None else words.gap(one.difference))
            for name, one in found.variants.items()
        ],
    )
    if found.baseline is not None:
        yield baseline(found)


def baseline(found: Sensitivity) -> str:
    """Say which variant is the best, and on what it was chosen and measured."""
    one = found.baseline
    if one is None:
        return ""
    chosen = f"Best on half of the questions: `{one.variant}`"
    if one.other_choice != one.variant:
        chosen += f" (on the other half it would be `{one.other_choice}`)"
    measured = f"; on the other {one.questions} it has {words.accuracy(one.accuracy)}"
    if one.variant == found.main:
        return f"{chosen}{measured}."
    return f"{chosen}{measured}, and `{found.main}` has {words.accuracy(one.main)} ({words.gap(one.difference)})."


def _contamination(found: Contamination) -> Iterator[str]:
    if found.too_short:
        yield f"N{too_short(found)[1:]}."
    if not found.older and not found.newer:
        return
    yield (
        f"The model was shown the first {words.percent(found.shown)} of the words of each problem as plain text, and "
        "completed it by greedy decoding. Reproduced are the whole rest, or its first "
        f"{count(found.words, 'word')}, word for word; the overlap is ROUGE-L."
    )
    rows = [
        (name, age, f"{one.questions}", words.share(one.exact), words.share(one.next_words), words.number(one.overlap))
        for age, probes in (("older", found.older), ("newer", found.newer))
        for name, one in probes.items()
    ]
    yield _table(("benchmark", "than the model", "problems", "whole rest", "first words", "overlap"), rows)
    yield conclusion(found)
    for name, one in (*found.older.items(), *found.newer.items()):
        yield from _completed(name, one)


def too_short(found: Contamination) -> str:
    """Say which benchmarks could not be probed, and how many words would be enough."""
    return (
        f"no problem of {', '.join(found.too_short)} has the {fewest_words(found.shown)} words that the probe for "
        f"contamination needs at evaluation.contamination.shown={found.shown:g}"
    )


def conclusion(found: Contamination) -> str:
    """Say what the difference of older and newer benchmarks shows."""
    difference = found.difference
    if difference is None:
        return "Without both an older and a newer benchmark, nothing can be said: some text can be guessed."
    measures = {"whole rest": difference.exact, "first words": difference.next_words}
    above = [name for name, one in measures.items() if one.low is not None and one.low > 0]
    numbers = ", ".join(f"{name} {words.gap(one)}" for name, one in measures.items())
    if above:
        return f"Older minus newer: {numbers}. More of the older is reproduced: a sign that the model has seen it."
    return f"Older minus newer: {numbers}. No sign of contamination, which does not prove that there is none."


def _completed(name: str, one: Probe) -> Iterator[str]:
    if one.left_out:
        yield f"{name}: {count(one.left_out, 'problem')} of too few words left out."
    if one.completed:
        yield f"Reproduced in {name}, the longest first:"
    for example in one.completed:
        texts = {"question": example.question, "shown": example.shown_end, "hidden": example.hidden}
        yield fenced("\n".join(f"{key}: {text}" for key, text in (texts | {"completion": example.completion}).items()))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
