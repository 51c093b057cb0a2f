"""Metrics of the test-time modes, and their definitions."""

from __future__ import annotations

from igrpo.evaluation.test_time.curve import Curve, ModesResult, Point

_OF_POINT = {
    "accuracy": "share; right, mean over questions and repeats: the answer that the mode NAME gives after STEP",
    "low": "share; lower end of the accuracy's 95 % interval over questions",
    "high": "share; upper end of the accuracy's 95 % interval over questions",
    "mean_accuracy": "share; right among the samples from which that answer is picked, mean over questions",
    "samples": "samples per answer; drawn up to the step",
    "tokens": "tokens per answer; generated up to the step",
    "cut_share": "share; of answers with a shown draft whose middle was cut out to fit the draft budget",
}
#: Those that only knowledge of the gold answer reaches if the verdicts pick.
_BY_VERDICTS = ("accuracy", "low", "high", "mean_accuracy")
_ORACLE = "share; as {}, of a mode that picks with the verdicts: an upper bound, and not a result"
_GAINS = {
    "gain": "difference of shares; accuracy after the last step with as many samples as a majority vote - accuracy of "
    "that vote, mean over questions",
    "gain_low": "difference of shares; lower end of the 95 % interval of gain, paired by question",
    "gain_high": "difference of shares; upper end of the 95 % interval of gain, paired by question",
}

#: One line per metric, without the split: unit; definition. NAME is that of a mode in evaluation.test_time, and STEP
#: a step of it: ``round_R`` after R rounds, ``at_K`` for a vote of K samples.
TEST_TIME_METRIC_DOCS: dict[str, str] = {
    **{f"test_time/NAME/STEP/{name}": text for name, text in _OF_POINT.items()},
    **{f"test_time/NAME/STEP/oracle_{name}": _ORACLE.format(name) for name in _BY_VERDICTS},
    **{f"test_time/NAME/{name}": text for name, text in _GAINS.items()},
}


def metrics_of_modes(result: ModesResult) -> dict[str, float | None]:
    """Return the metrics of all curves, without the split. None: not defined here."""
    metrics: dict[str, float | None] = {}
    for curve in result.curves:
        for point in curve.points:
            at = f"test_time/{curve.name}/{point.step}"
            metrics |= {f"{at}/{name}": value for name, value in _of_point(curve, point).items()}
        if curve.gains:
            gain = curve.gains[-1]
            values = (gain.value, gain.low, gain.high)
            metrics |= {f"test_time/{curve.name}/{name}": value for name, value in zip(_GAINS, values, strict=True)}
    return metrics


def _of_point(curve: Curve, point: Point) -> dict[str, float | None]:
    accuracy = point.accuracy
    values = (accuracy.value, accuracy.low, accuracy.high, point.mean_accuracy.value)
    prefix = "oracle_" if curve.oracle else ""
    return {
        **{f"{prefix}{name}": value for name, value in zip(_BY_VERDICTS, values, strict=True)},
        "samples": point.samples,
        "tokens": point.tokens,
        "cut_share": point.cut_share,
    }
