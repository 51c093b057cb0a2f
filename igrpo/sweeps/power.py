"""Smallest difference that a planned comparison can detect, and the settings that make the comparison too weak."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from igrpo.messages import count

#: Standard deviations of the true differences between seeds, in accuracy, for which the plan shows the detectable
#: effect.
SEED_SDS = (0.0, 0.03)

#: Accuracy of both conditions for which the detectable effect is computed. Sampling noise is largest at this value.
_ACCURACY = 0.5

#: A comparison that cannot detect smaller differences than this, in accuracy, is too weak.
_TOO_LARGE = 0.2

#: Recommended seeds, test questions and samples per question, for the warning about a weak comparison.
_SEEDS, _PROBLEMS, _SAMPLES = 5, 256, 4

_ONE_SEED = "one seed cannot tell a difference from chance: use several, as in seed=0,1,2,3,4"


@dataclass(frozen=True, slots=True)
class Design:
    """Size of a comparison, which determines the smallest detectable difference.

    Attributes:
        seeds: number of seeds per condition.
        available: number of questions in the test split; None: unknown until a run has read its data.
        asked: maximum number of evaluated questions (``evaluation.questions``).
        samples: number of answers per question.
        comparisons: number of comparisons that are corrected for.
    """

    seeds: int
    available: int | None
    asked: int
    samples: int
    comparisons: int

    @property
    def problems(self) -> int:
        """Maximum number of evaluated test questions."""
        return self.asked if self.available is None else min(self.asked, self.available)

    def detectable(self, seed_sd: float) -> float | None:
        """Return the smallest difference in accuracy that is detected with a power of 80 %; None if there is none."""
        from igrpo.report.statistics import planned_minimum_detectable_effect

        if self.seeds < 2 or self.problems < 2:
            return None
        effect = planned_minimum_detectable_effect(
            seeds=self.seeds,
            problems=self.problems,
            samples=self.samples,
            accuracy=_ACCURACY,
            seed_sd=seed_sd,
            level=1 - 0.05 / self.comparisons,
        )
        return effect if effect < 1 else None

    @property
    def is_too_weak(self) -> bool:
        """True if only differences of ``_TOO_LARGE`` or more are detected, or none."""
        effect = self.detectable(SEED_SDS[1])
        return effect is None or effect >= _TOO_LARGE


@cache
def seeds_for(design: Design, effect: float) -> int | None:
    """Return the smallest number of seeds that detects ``effect`` with a power of 80 %; None if 1,000 do not.

    Assumes the larger of ``SEED_SDS``; the seeds of ``design`` are ignored.
    """
    from igrpo.report.statistics import MOST_SEEDS

    def detects(seeds: int) -> bool:
        found = replace(design, seeds=seeds).detectable(SEED_SDS[1])
        return found is not None and found <= effect

    tried = range(2, MOST_SEEDS + 1)
    first = bisect_left(tried, True, key=detects)
    return tried[first] if first < len(tried) else None


def can_detect(design: Design) -> str:
    """Describe the smallest differences that the design detects."""
    size = f"{count(design.problems, 'test question')} x {design.samples} samples, {count(design.seeds, 'seed')}"
    alike, differing = (design.detectable(sd) for sd in SEED_SDS)
    if design.seeds < 2:
        return f"nothing: {_ONE_SEED}"
    if alike is None:
        return f"nothing ({size})"
    between = f"{100 * SEED_SDS[1]:.0f} points between seeds"
    more = f"none with {between}" if differing is None else f"of {100 * differing:.1f} with {between}"
    bound = "" if design.available is not None else "at best, as the data may hold fewer test questions: "
    return (
        f"{bound}a difference of {100 * alike:.1f} points between two combinations, were seeds alike; {more} "
        f"(power 80 %, {size}; 5 % over {count(design.comparisons, 'comparison')})"
    )


def weakness(design: Design) -> str | None:
    """Describe why the design is too weak and what to change; None if it is not, or if it has only one seed.

    For one seed, ``can_detect`` already says so.
    """
    if design.seeds < 2 or not design.is_too_weak:
        return None
    effect = design.detectable(SEED_SDS[1])
    what = "no difference" if effect is None else f"only a difference of {100 * effect:.1f} points or more"
    changes = dict(_changes(design))
    enough = [words for words, changed in changes.items() if not changed.is_too_weak]
    advice = " or ".join(enough) or " and ".join(changes) or "more seeds, or fewer combinations"
    return f"this comparison can show next to nothing: it would find {what}; give it {advice}"


def _changes(design: Design) -> Iterator[tuple[str, Design]]:
    """Yield single changes of settings, as text, with the resulting design."""
    if design.seeds < _SEEDS:
        yield "more seeds (seed=0,1,2,3,4)", replace(design, seeds=_SEEDS)
    if design.problems < _PROBLEMS:
        settings = [f"evaluation.questions={_PROBLEMS}"] if design.asked < _PROBLEMS else []
        settings += ["data.test"] if design.available is not None and design.available < _PROBLEMS else []
        more = replace(design, asked=_PROBLEMS, available=_PROBLEMS)
        yield f"more test questions ({' and '.join(settings)})", more
    if design.samples < _SAMPLES:
        yield f"evaluation.samples={_SAMPLES}", replace(design, samples=_SAMPLES)
