"""The checks of an evaluation in at most three lines."""

from __future__ import annotations

from collections.abc import Iterator

from igrpo.evaluation.validity import words
from igrpo.evaluation.validity.calibration import Calibration
from igrpo.evaluation.validity.contamination import Contamination
from igrpo.evaluation.validity.page import too_short
from igrpo.evaluation.validity.result import Validity
from igrpo.evaluation.validity.sensitivity import Sensitivity
from igrpo.evaluation.validity.verdicts import Verdicts

#: Confidences in the order in which one of them is shown.
_SHOWN = ("agreement", "token_probability")


def lines(validity: Validity) -> list[str]:
    """Return up to three lines: verdicts, confidence, and what was asked for beyond them.

    Of several benchmarks, each line is about the one where most is wrong.
    """
    several = len(validity.benchmarks) > 1
    found = [_verdicts(validity, several=several), _calibration(validity, several=several)]
    asked = [
        *_sensitivities(validity, several=several),
        *validity.not_compared,
        *_contamination(validity.contamination),
    ]
    return [line for line in (*found, "; ".join(asked)) if line]


def _verdicts(validity: Validity, *, several: bool) -> str:
    spreads: dict[str, Verdicts] = {
        name: checks.verdicts for name, checks in validity.benchmarks.items() if checks.verdicts is not None
    }
    if not spreads:
        return ""
    name = max(spreads, key=lambda one: spreads[one].strict.differs + spreads[one].lax.differs)
    one, missing = spreads[name], validity.benchmarks[name].without_answer
    where = f" ({name}, where they differ most)" if several else ""
    without = f"; {words.percent(missing)} of the samples without an answer" if missing else ""
    return (
        f"verdict: {words.percent(one.main.value)} right, {words.percent(one.strict.accuracy.value)} by a stricter "
        f"and {words.percent(one.lax.accuracy.value)} by a laxer one{without}{where}"
    )


def _calibration(validity: Validity, *, several: bool) -> str:
    for kind in _SHOWN:
        known: dict[str, Calibration] = {
            name: checks.calibration[kind] for name, checks in validity.benchmarks.items() if kind in checks.calibration
        }
        if known:
            name = max(known, key=lambda one: known[one].ece.value)
            one = known[name]
            where = f" ({name}, where it is worst)" if several else ""
            order = "" if one.auroc is None else f", AUROC of right against wrong {one.auroc.value:.2f}"
            return (
                f"confidence by {kind.replace('_', ' ')}: {one.confidence:.2f} on average, {one.accuracy:.2f} right; "
                f"calibration error {one.ece.value:.2f}{order}{where}"
            )
    return ""


def _sensitivities(validity: Validity, *, several: bool) -> Iterator[str]:
    settings = dict.fromkeys(setting for checks in validity.benchmarks.values() for setting in checks.sensitivity)
    for setting in settings:
        known: dict[str, Sensitivity] = {
            name: checks.sensitivity[setting]
            for name, checks in validity.benchmarks.items()
            if setting in checks.sensitivity
        }
        name = max(known, key=lambda one: known[one].spread)
        one = known[name]
        where = f" ({name})" if several else ""
        best = "" if one.baseline is None else f", best on half of the questions: {one.baseline.variant}"
        yield f"{setting}s differ by {100 * one.spread:.1f} points of accuracy, chance included{where}{best}"


def _contamination(found: Contamination | None) -> Iterator[str]:
    if found is None:
        return
    older = [probe.exact.value for probe in found.older.values()]
    newer = [probe.exact.value for probe in found.newer.values()]
    if older or newer:
        shares = [f"{words.percent(max(side))} of {age}" for age, side in (("older", older), ("newer", newer)) if side]
        yield f"problems completed word for word, at most per benchmark: {' and '.join(shares)}"
    if found.too_short:
        yield too_short(found)
