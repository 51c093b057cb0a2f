"""Check that a resumed evaluation measures what it has measured so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from igrpo.runs.evaluation_directory import EvaluationRecord
from igrpo.settings.reward import NOT_SCORING

#: Parts of eval.json that say how, where or when it was measured. The engine's settings are in config.yaml, of which
#: resuming may change only those that do not matter.
_FREE = ("created", "command", "engine", "hardware", "commit", "versions")


def refuse_changes(before: EvaluationRecord, now: EvaluationRecord) -> None:
    """Check that model, questions and settings are those of the samples that were drawn so far.

    Raises:
        ValueError: some have changed; the message names them with both values.
    """
    found = list(differences(identity(before), identity(now)))
    if found:
        raise ValueError(
            f"what is measured has changed since the evaluation began: {'; '.join(found)}. Samples of both would be "
            "mixed: restore it, or start a new evaluation"
        )


def identity(record: EvaluationRecord) -> dict[str, Any]:
    """Return what decides the results, as plain values."""
    values = record.model_dump(mode="json", exclude=set(_FREE))
    del values["model"]["checkpoint"]  # its name: the weights count, and resuming asks for the step
    for benchmark in values["benchmarks"].values():
        benchmark["reward"] = _scoring(benchmark["reward"])
    return values


def _scoring(reward: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the settings of a reward, and of its parts, that do not change a score."""
    return {
        name: _scoring(value) if isinstance(value, Mapping) else value
        for name, value in reward.items()
        if name not in NOT_SCORING
    }


def differences(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the values that differ in nested mappings, such as 'model.weights was 12ab and is 34cd'."""
    for name in {**one, **other}:
        first, second = one.get(name), other.get(name)
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            yield from differences(first, second, f"{prefix}{name}.")
        elif first != second:
            yield f"{prefix}{name} was {_short(first)} and is {_short(second)}"


def _short(value: Any) -> str:
    text = "not there" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
