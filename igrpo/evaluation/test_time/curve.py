"""The test-time curve: accuracy against samples and tokens, by mode, and the comparison with the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from igrpo.evaluation.estimators import AccuracyEstimate, clustered_interval, estimate_accuracy
from igrpo.evaluation.samples import EvaluatedSample
from igrpo.evaluation.test_time.base import Mode
from igrpo.evaluation.test_time.records import StepRecord, Trace


@dataclass(frozen=True, slots=True)
class Point:
    """Point of a curve: the answer that a mode gives after a step.

    ``accuracy`` is that of the answer, with its interval over questions. ``mean_accuracy`` is that of the samples from
    which the answer is picked: the expected accuracy of one of them. ``samples``, ``tokens`` (generated) and
    ``prompt_tokens`` (each different prompt once) are means per answer. ``cut_share`` is the share of the answers for
    which a shown draft was cut (None: no draft was shown).
    """

    step: str
    samples: float
    tokens: float
    prompt_tokens: float
    accuracy: AccuracyEstimate
    mean_accuracy: AccuracyEstimate
    cut_share: float | None


@dataclass(frozen=True, slots=True)
class Gain:
    """Accuracy of a mode minus that of the baseline with as many samples: mean over questions, paired by question.

    ``low`` and ``high`` are the ends of the 95 % interval over questions; None if it cannot be estimated, as when the
    two agree on every question. ``tokens`` and ``baseline_tokens`` are those of the two.
    """

    step: str
    baseline: str
    samples: int
    accuracy: float
    baseline_accuracy: float
    value: float
    low: float | None
    high: float | None
    tokens: float
    baseline_tokens: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a mode in the order of its steps, and its gains over the baseline where both have as many samples.

    ``oracle``: the mode picks with the verdicts, so that its accuracy is an upper bound and not a result. It has no
    gains.
    """

    name: str
    title: str
    oracle: bool
    repeats: int
    points: tuple[Point, ...]
    gains: tuple[Gain, ...]


@dataclass(frozen=True, slots=True)
class ModesResult:
    """Curves of all modes, from which a figure can be drawn as it is.

    ``single_shot`` is the point of one answer to the bare question, and ``questions`` the number of questions.
    """

    questions: int
    single_shot: Point
    curves: tuple[Curve, ...]

    @property
    def compared(self) -> tuple[tuple[Curve, Gain], ...]:
        """Each mode that is no oracle with the gain of its last step that has one."""
        return tuple((curve, curve.gains[-1]) for curve in self.curves if curve.gains)


def summarise_modes(
    modes: Mapping[str, Mode], traces: Sequence[Trace], single_shot_Q: Sequence[Sequence[EvaluatedSample]]
) -> ModesResult | None:
    """Compute the curves from the traces and the single-shot samples of all questions, in the same order.

    The result is None if no sample has a score.
    """
    if not any(step.scored for trace in traces for runs in trace.modes.values() for run in runs for step in run):
        return None
    baseline = next((name for name, mode in modes.items() if mode.is_baseline), None)
    curves = []
    for name, mode in modes.items():
        steps = _by_step(traces, name)
        others = {} if baseline in (None, name) or mode.knows_gold else _by_samples(_by_step(traces, str(baseline)))
        matched = {step: of for step, of in steps.items() if _samples(of) in others}
        gains = [_gain(step, of, str(baseline), others[_samples(of)]) for step, of in matched.items()]
        points = tuple(_point(step, of) for step, of in steps.items())
        curves.append(Curve(name, mode.title, mode.knows_gold, mode.repeats, points, tuple(gains)))
    return ModesResult(len(traces), _single_shot(single_shot_Q), tuple(curves))


def _single_shot(samples_QK: Sequence[Sequence[EvaluatedSample]]) -> Point:
    accuracy = estimate_accuracy([[sample.correct for sample in row] for row in samples_QK])
    flat = [sample for row in samples_QK for sample in row]
    return Point(
        step="single_shot",
        samples=1.0,
        tokens=fmean(len(sample.token_ids) for sample in flat),
        prompt_tokens=fmean(sample.prompt_tokens for sample in flat),
        accuracy=accuracy,
        mean_accuracy=accuracy,
        cut_share=None,
    )


#: Records of one step: by question, then by repetition.
_Records = list[list[StepRecord]]


def _by_step(traces: Sequence[Trace], name: str) -> dict[str, _Records]:
    names = [step.name for step in traces[0].modes[name][0]]
    return {step: [[run[i] for run in trace.modes[name]] for trace in traces] for i, step in enumerate(names)}


def _by_samples(steps: Mapping[str, _Records]) -> dict[int, _Records]:
    return {_samples(of): of for of in steps.values()}


def _samples(records_QK: _Records) -> int:
    return records_QK[0][0].samples


def _point(step: str, records_QK: _Records) -> Point:
    flat = [record for row in records_QK for record in row]
    shows_drafts = any(record.shown for record in flat)
    return Point(
        step=step,
        samples=fmean(record.samples for record in flat),
        tokens=fmean(record.tokens for record in flat),
        prompt_tokens=fmean(record.prompt_tokens for record in flat),
        accuracy=estimate_accuracy([[record.correct for record in row] for row in records_QK]),
        mean_accuracy=estimate_accuracy([[one for record in row for one in record.among] for row in records_QK]),
        cut_share=fmean(record.cut > 0 for record in flat) if shows_drafts else None,
    )


def _gain(step: str, records_QK: _Records, baseline: str, others_QK: _Records) -> Gain:
    own, others = _means(records_QK), _means(others_QK)
    differences = [[one - other] for one, other in zip(own, others, strict=True)]
    interval = clustered_interval(differences)
    return Gain(
        step=step,
        baseline=baseline,
        samples=_samples(records_QK),
        accuracy=fmean(own),
        baseline_accuracy=fmean(others),
        value=fmean(own) - fmean(others),
        low=None if interval is None else max(interval[0], -1.0),
        high=None if interval is None else min(interval[1], 1.0),
        tokens=fmean(record.tokens for row in records_QK for record in row),
        baseline_tokens=fmean(record.tokens for row in others_QK for record in row),
    )


def _means(records_QK: _Records) -> list[float]:
    return [fmean(record.correct for record in row) for row in records_QK]
