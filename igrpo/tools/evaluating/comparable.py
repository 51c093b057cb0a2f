"""What two evaluations have in common: whether they may be compared, and what else differs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from igrpo.messages import count
from igrpo.runs.evaluation_directory import EvaluatedQuestions, EvaluationRecord

Part = Literal["protocol", "questions", "prompts", "reward"]
PARTS: tuple[Part, ...] = get_args(Part)

#: Settings of a reward that do not change a verdict.
_NO_VERDICT = frozenset({"workers", "cache_size"})

_MISSING = "-"


@dataclass(frozen=True, slots=True)
class Common:
    """The benchmarks that both evaluations have, and what differs between them, as sentences for people."""

    benchmarks: tuple[str, ...]
    notes: tuple[str, ...]


def comparable(
    first: EvaluationRecord, second: EvaluationRecord, allowed: Collection[Part], *, alike: Collection[str] = ()
) -> Common:
    """Check that two evaluations measure the same thing.

    Args:
        first: record of an evaluation.
        second: record of the one that it is compared with.
        allowed: parts that may differ; the difference becomes a note.
        alike: benchmarks whose questions have the same content, although their hashes differ; this becomes a note.

    Raises:
        ValueError: no benchmark in common, or a part differs; the message names each such part and the option that
            allows the comparison.
    """
    names = tuple(name for name in first.benchmarks if name in second.benchmarks)
    if not names:
        raise ValueError(
            f"the evaluations have no benchmark in common: {', '.join(first.benchmarks)} and "
            f"{', '.join(second.benchmarks)}"
        )
    found = list(_different_parts(first, second, names, alike))
    refused = [(part, text) for part, text in found if part not in allowed]
    if refused:
        options = " ".join(f"--allow-different {part}" for part in dict.fromkeys(part for part, _ in refused))
        raise ValueError(
            f"the evaluations do not measure the same: {'; '.join(text for _, text in refused)}; to compare them "
            f"anyway: {options}"
        )
    notes = [text for _, text in found]
    notes += [
        f"{name} has the same questions, which are ordered or spelled differently (white space, case, LaTeX)"
        for name in names
        if name in alike
    ]
    left_out = [name for name in (*first.benchmarks, *second.benchmarks) if name not in names]
    if left_out:
        notes.append(f"only one of them has {', '.join(left_out)}")
    return Common(names, (*notes, *_other_differences(first, second, names)))


def _different_parts(
    first: EvaluationRecord, second: EvaluationRecord, names: Collection[str], alike: Collection[str]
) -> Iterator[tuple[Part, str]]:
    if first.protocol != second.protocol:
        yield "protocol", f"protocol {first.protocol} and {second.protocol}"
    for name in names:
        ours, theirs = first.benchmarks[name], second.benchmarks[name]
        pieces = [
            piece for piece in _keys(ours.digest, theirs.digest) if ours.digest.get(piece) != theirs.digest.get(piece)
        ]
        if pieces and name not in alike:
            counts = f"{count(ours.questions, 'question')} and {count(theirs.questions, 'question')}"
            yield "questions", f"{name} has other {', '.join(pieces)} ({counts})"
    settings = list(_changes(first.prompt, second.prompt))
    if settings:
        yield "prompts", f"prompt settings differ: {', '.join(settings)}"
    for name in names:
        settings = list(_changes(_verdict(first.benchmarks[name]), _verdict(second.benchmarks[name])))
        if settings:
            yield "reward", f"the reward of {name} differs: {', '.join(settings)}"


def _other_differences(first: EvaluationRecord, second: EvaluationRecord, names: Collection[str]) -> Iterator[str]:
    if first.model.weights == second.model.weights:
        yield "both have the same weights"
    for name in names:
        ours, theirs = first.benchmarks[name], second.benchmarks[name]
        changes = list(_changes(ours.sampling, theirs.sampling))
        if ours.samples != theirs.samples:
            changes.append(f"samples {ours.samples} and {theirs.samples}")
        if changes:
            yield f"{name} is sampled differently: {', '.join(changes)}"
    pairs: dict[str, tuple[Any, Any]] = {
        "precision": (first.precision, second.precision),
        "type of the weights": (first.model.dtype, second.model.dtype),
        "date in the prompts": (first.date, second.date),
    }
    yield from (f"{what}: {a} and {b}" for what, (a, b) in pairs.items() if a != b)
    engine = list(_changes(first.engine, second.engine))
    if engine:
        yield f"engine: {', '.join(engine)}"


def _verdict(questions: EvaluatedQuestions) -> dict[str, Any]:
    return {key: value for key, value in questions.reward.items() if key not in _NO_VERDICT}


def _keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys((*one, *other)))


def _changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """Yield `name a and b` of the values that differ; of texts and sections only the name."""
    for key in _keys(one, other):
        a, b = one.get(key, _MISSING), other.get(key, _MISSING)
        if a != b:
            short = all(not isinstance(value, (Mapping, list, tuple)) and len(str(value)) <= 20 for value in (a, b))
            yield f"{key} {a} and {b}" if short else key
