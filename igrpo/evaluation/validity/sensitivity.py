"""Sensitivity: how much of an accuracy is the prompt's, or the temperature's?

The same questions are answered under several variants, which differ in one setting. An untrained model may look weak
only because it was asked in a way that it does not know, and training then repairs the form and not the mathematics:
the baseline for a trained model is the best of the variants. The best of several measured accuracies is too high on
average, so it is chosen on one half of the questions and measured on the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from igrpo.evaluation.estimators import AccuracyEstimate, clustered_interval, estimate_accuracy
from igrpo.evaluation.validity.intervals import Interval
from igrpo.seeding import derive_seed

#: Verdicts of the samples of each question, by question.
VerdictsOf = Mapping[str, Sequence[bool]]


@dataclass(frozen=True, slots=True)
class VariantResult:
    """Accuracy of a variant on all questions, and its paired difference to the main one (None: it is the main one)."""

    accuracy: AccuracyEstimate
    difference: Interval | None


@dataclass(frozen=True, slots=True)
class Baseline:
    """The best variant of one half of the questions, measured on the other half of ``questions``.

    ``difference`` is the paired difference to the main variant on that half, and ``other_choice`` the best variant of
    the half on which it is measured: if that is another one, the choice is uncertain.
    """

    variant: str
    other_choice: str
    questions: int
    accuracy: AccuracyEstimate
    main: AccuracyEstimate
    difference: Interval


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Results of all variants of a setting by name, the main one first; ``baseline`` is None for a single question."""

    main: str
    variants: Mapping[str, VariantResult]
    baseline: Baseline | None

    @property
    def spread(self) -> float:
        """Largest minus smallest accuracy."""
        values = [one.accuracy.value for one in self.variants.values()]
        return max(values) - min(values)


def sensitivity(verdicts: Mapping[str, VerdictsOf]) -> Sensitivity:
    """Compare variants. The first one is the main one; all have the same questions.

    Raises:
        ValueError: there is no variant, or their questions differ.
    """
    if not verdicts or len({frozenset(one) for one in verdicts.values()}) != 1:
        raise ValueError("variants can be compared on the same questions only")
    main = next(iter(verdicts))
    names = sorted(verdicts[main], key=lambda name: derive_seed("half", name))
    half = len(names) // 2
    return Sensitivity(
        main=main,
        variants={
            variant: VariantResult(
                estimate_accuracy(list(one.values())),
                None if variant == main else paired_difference(one, verdicts[main], names),
            )
            for variant, one in verdicts.items()
        },
        baseline=_baseline(verdicts, main, names[:half], names[half:]) if half else None,
    )


def paired_difference(first: VerdictsOf, second: VerdictsOf, names: Sequence[str]) -> Interval:
    """Return the mean over questions of the difference (first - second) of their shares of right samples."""
    differences = [fmean(first[name]) - fmean(second[name]) for name in names]
    bounds = clustered_interval([[one] for one in differences])
    if bounds is None:
        return Interval(fmean(differences), None, None)
    return Interval(fmean(differences), max(bounds[0], -1.0), min(bounds[1], 1.0))


def _baseline(
    verdicts: Mapping[str, VerdictsOf], main: str, chosen_on: Sequence[str], measured_on: Sequence[str]
) -> Baseline:
    best = _best(verdicts, chosen_on)
    return Baseline(
        variant=best,
        other_choice=_best(verdicts, measured_on),
        questions=len(measured_on),
        accuracy=estimate_accuracy([verdicts[best][name] for name in measured_on]),
        main=estimate_accuracy([verdicts[main][name] for name in measured_on]),
        difference=paired_difference(verdicts[best], verdicts[main], measured_on),
    )


def _best(verdicts: Mapping[str, VerdictsOf], names: Sequence[str]) -> str:
    """Return the variant with the highest accuracy; of equal ones the first."""
    return max(verdicts, key=lambda variant: fmean(fmean(verdicts[variant][name]) for name in names))
