"""Warnings about the validity of a report's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean

from igrpo.messages import count
from igrpo.report.conditions import OTHER_SEEDS, Grouping, RunGroup, compared_settings, other_seeds
from igrpo.report.equivalence import learns_from_drafts
from igrpo.report.labels import shortlist
from igrpo.report.model import Comparison
from igrpo.report.verdict import FEW_SEEDS, spent_words

#: Settings that determine how an answer is requested and whether it counts as right, by the beginnings of their names.
_MEASURING = ("reward.", "evaluation.", "sampling.max_completion_tokens", "data.")

#: Exceptions: settings that do not affect the questions of the test split.
_NOT_MEASURING = ("data.train",)


def notes(
    grouping: Grouping, comparisons: Sequence[Comparison], families: Sequence[Sequence[RunGroup]] | None = None
) -> tuple[str, ...]:
    """Return all warnings that apply, most serious first.

    ``families``: conditions that are compared with each other, such as those of one task; None: all of them.
    """
    groups = grouping.groups
    compared = [groups] if families is None else families
    return (
        *_each(_measured_differently, compared),
        *_each(_started_differently, compared),
        *_worthless_drafts(groups),
        *_unmatched(comparisons),
        *_few_seeds(groups),
        *_one_start(groups),
        *_each(_different_seeds, compared),
        *_each(_different_problems, compared),
        *_excluded(grouping),
        *(["Only one condition: there is nothing to compare it with."] if len(groups) == 1 else []),
    )


def _each(
    warnings: Callable[[Sequence[RunGroup]], Iterator[str]], families: Sequence[Sequence[RunGroup]]
) -> Iterator[str]:
    yield from dict.fromkeys(text for family in families for text in warnings(family))


def _measured_differently(groups: Sequence[RunGroup]) -> Iterator[str]:
    settings = [
        {name: text for name, text in compared_settings(group.config).items() if _measures(name)} for group in groups
    ]
    names = sorted({name for one in settings for name in one if len({other.get(name) for other in settings}) > 1})
    if any(name.startswith("reward.") for name in names):
        yield (
            f"Conditions have different rewards ({shortlist(names)}): they count different answers as right, and their "
            "accuracies are not comparable."
        )
    elif names:
        yield f"Conditions are tested differently ({shortlist(names)}): their accuracies are not comparable."


def _started_differently(groups: Sequence[RunGroup]) -> Iterator[str]:
    """Warn if accuracies before training differ: the same weights and seeds give the same answers on the test split."""
    worst: tuple[float, str] = (0.0, "")
    for one, other in combinations(groups, 2):
        for seed in one.runs.keys() & other.runs.keys():
            first, second = one.runs[seed].before, other.runs[seed].before
            if first is None or second is None or first.samples != second.samples:
                continue
            a, b = _on_common(first.single_shot, second.single_shot)
            text = f"seed {seed}: {one.name} {100 * a:.1f} %, {other.name} {100 * b:.1f} %"
            worst = max(worst, (abs(a - b), text))
    if worst[0] > 0:
        yield (
            f"Before training the single-shot accuracy differs between conditions of the same seed ({worst[1]}): they "
            "did not start from the same weights, or their prompts or sampling differ."
        )


def _worthless_drafts(groups: Sequence[RunGroup]) -> Iterator[str]:
    """Warn if a right draft did not raise accuracy on the test split before training.

    The runs themselves give this warning for the development split.
    """
    for group in groups:
        starts = {seed: run.summary.draft_worth.before for seed, run in group.runs.items() if run.summary is not None}
        seeds = [str(seed) for seed, worth in starts.items() if worth is not None and worth.is_nothing]
        if seeds and learns_from_drafts(group.config):
            yield (
                f"Before training a right draft did not raise the accuracy of {group.name} (seed {shortlist(seeds)}): "
                "training on refinements had little to learn from."
            )


def _measures(name: str) -> bool:
    return name.startswith(_MEASURING) and name not in _NOT_MEASURING


def _on_common(first: Mapping[str, float], second: Mapping[str, float]) -> tuple[float, float]:
    common = first.keys() & second.keys()
    if not common:
        return 0.0, 0.0
    return fmean(first[problem] for problem in common), fmean(second[problem] for problem in common)


def _unmatched(comparisons: Sequence[Comparison]) -> Iterator[str]:
    ratios = {c.pair: c.budget_ratios for c in comparisons if c.matched_by == "nothing"}
    if ratios:
        texts = [spent_words(second, first, found) for (first, second), found in ratios.items()]
        yield f"Budgets are not matched on any axis: {shortlist(texts, '; ')}."


def _few_seeds(groups: Sequence[RunGroup]) -> Iterator[str]:
    for number in range(1, FEW_SEEDS):
        names = [group.name for group in groups if len(group.runs) == number]
        if names:
            what = (
                "the spread between seeds is unknown. Their differences have no interval and no p-value, and the "
                "intervals of their results cover that seed's test questions only"
                if number == 1
                else "too few to estimate how they differ, so that the intervals are unreliable"
            )
            yield f"{count(number, 'seed')} only ({shortlist(names)}): {what}."


def _one_start(groups: Sequence[RunGroup]) -> Iterator[str]:
    for name in OTHER_SEEDS:
        if not name.startswith("model."):
            continue  # the data should be the same for all seeds
        fixed = {
            group.name: seeds.pop() for group in groups if len(seeds := _values(group, name)) == 1 < len(group.runs)
        }
        if fixed:
            value = f"={next(iter(fixed.values()))}" if len(set(fixed.values())) == 1 else ""
            yield (
                f"All seeds of {shortlist(list(fixed))} start from the same weights ({name}{value}): the seeds do not "
                f"vary the warm start; {name}='${{seed}}' would."
            )


def _values(group: RunGroup, name: str) -> set[int]:
    return {seeds[name] for run in group.runs.values() if name in (seeds := other_seeds(run.config))}


def _different_seeds(groups: Sequence[RunGroup]) -> Iterator[str]:
    if len({tuple(group.runs) for group in groups}) > 1:
        texts = [f"{group.name}: {', '.join(map(str, group.runs))}" for group in groups]
        yield f"Conditions have different seeds ({shortlist(texts, '; ')}): a comparison uses those that both have."


def _different_problems(groups: Sequence[RunGroup]) -> Iterator[str]:
    tested = [run.after.single_shot.keys() for group in groups for run in group.runs.values() if run.after is not None]
    common = set(tested[0]).intersection(*tested) if tested else set()
    if any(len(problems) != len(common) for problems in tested):
        fewest, most = min(map(len, tested)), max(map(len, tested))
        sizes = str(most) if fewest == most else f"{fewest} to {most}"
        use = "those that both sides have" if common else "those that a seed has on both sides, and the seeds' means"
        yield (
            f"Runs were tested on different problems ({sizes} each, {len(common)} common to all): "
            f"comparisons use {use}."
        )


def _excluded(grouping: Grouping) -> Iterator[str]:
    texts = [f"{entry.name} ({entry.excluded})" for entry in grouping.entries if entry.excluded is not None]
    if texts:
        yield f"{len(texts)} of {count(len(grouping.entries), 'run')} are not used: {shortlist(texts, '; ')}."
