"""The test-time curve as a table and in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from igrpo.evaluation.test_time.curve import Curve, Gain, ModesResult, Point

#: Headings of `table_rows`.
COLUMNS = ("mode", "step", "samples", "tokens", "right", "against a vote")


def table_rows(result: ModesResult) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table, with the headings COLUMNS: single-shot first, then each mode by step."""
    single = result.single_shot
    yield ("single-shot", "", "1", f"{single.tokens:,.0f}", _accuracy(single), "")
    for curve in result.curves:
        gains = {gain.step: gain for gain in curve.gains}
        for i, point in enumerate(curve.points):
            gain = gains.get(point.step)
            yield (
                "" if i else named(curve),
                point.step,
                f"{point.samples:g}",
                f"{point.tokens:,.0f}",
                _accuracy(point),
                "" if gain is None else _points(gain).replace(" points", ""),
            )


def sentences(result: ModesResult) -> Iterator[str]:
    """Yield a sentence per mode: does it beat a majority vote of as many samples? Oracles are left out."""
    for curve, gain in result.compared:
        yield (
            f"{named(curve)}: {_verdict(gain)}. With {gain.samples} samples per question it is right on "
            f"{_percent(gain.accuracy)}, a majority vote on {_percent(gain.baseline_accuracy)}: {_points(gain)}, "
            f"paired by question ({result.questions} questions; {gain.tokens:,.0f} against {gain.baseline_tokens:,.0f} "
            "generated tokens)"
        )


def named(curve: Curve) -> str:
    """Return the name of a mode in tables; an oracle is marked."""
    return f"{curve.name} (oracle)" if curve.oracle else curve.name


def _verdict(gain: Gain) -> str:
    if gain.low is None or gain.high is None:
        return "as good as a majority vote on every question" if gain.value == 0 else "not known, for want of spread"
    if gain.low > 0:
        return "beats a majority vote"
    if gain.high < 0:
        return "a majority vote beats it"
    return "no difference to a majority vote beyond the sampling error"


def _accuracy(point: Point) -> str:
    estimate = point.accuracy
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _points(gain: Gain) -> str:
    bounds = "" if gain.low is None or gain.high is None else f" [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
    return f"{100 * gain.value:+.1f} points{bounds}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
