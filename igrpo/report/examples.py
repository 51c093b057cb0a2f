"""Drafts and refinements of a condition's training samples whose verdicts differ, for a reader to compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from igrpo.report.conditions import RunGroup
from igrpo.report.labels import printable, shortened
from igrpo.report.model import Example, Outcome
from igrpo.report.runs import LoadedRun
from igrpo.runs.rollout_log import read_rollouts, rollout_files
from igrpo.runs.run_directory import RunDirectory
from igrpo.types import ANSWER_ROLES

#: Number of examples of each kind per condition, and maximum number of characters per text.
MOST, LONGEST = 2, 1200

#: Kinds of examples: the outcomes of the draft and of the refinement.
_KINDS: tuple[tuple[Outcome, Outcome], ...] = (("wrong", "right"), ("right", "wrong"))


def examples_of(group: RunGroup) -> tuple[Example, ...]:
    """Return up to ``MOST`` examples of each kind, from different questions.

    They are the first in the newest file of rollouts: the lowest seed first, and within it the last step first. So the
    same runs give the same examples. Empty for a condition without refinements or without kept rollouts.
    """
    found: dict[tuple[Outcome, Outcome], dict[str, Example]] = {kind: {} for kind in _KINDS}
    for seed, run in group.runs.items():
        for example in _of_run(group.name, seed, run):
            same = found[example.draft_outcome, example.refinement_outcome]
            if len(same) < MOST:
                same.setdefault(example.question_id, example)
        if all(len(same) == MOST for same in found.values()):
            break
    return tuple(example for same in found.values() for example in same.values())


def _of_run(condition: str, seed: int, run: LoadedRun) -> Iterator[Example]:
    """Yield one example of each kind per question. Nothing if the rollouts cannot be read."""
    files = [] if run.path is None else rollout_files(RunDirectory(run.path).rollouts)
    try:
        lines = list(read_rollouts(files[-1])) if files else []
        lines.sort(key=lambda line: -int(line["step"]))  # stable: questions of a step keep their order
        for line in lines:
            yield from _of_question(condition, seed, line)
    except (OSError, ValueError, KeyError, TypeError):
        return  # a file of another version, or one that is being written: examples are no result


def _of_question(condition: str, seed: int, line: Mapping[str, Any]) -> Iterator[Example]:
    samples = {tuple(sample["id"]): sample for sample in line["samples"]}
    kinds = set(_KINDS)
    for sample in line["samples"]:
        shown = (samples.get(tuple(number)) for number in sample["context"])
        draft = next((one for one in shown if one is not None and one["role"] in ANSWER_ROLES), None)
        if draft is None or sample["role"] not in ANSWER_ROLES:
            continue
        kind = (_outcome(draft), _outcome(sample))
        if kind in kinds:
            kinds.discard(kind)
            question = line["question"]
            yield Example(
                condition=condition,
                seed=seed,
                step=line["step"],
                question_id=printable(str(question["id"])),
                question=_clean(question["problem"]),
                gold=_clean(question["answer"]),
                draft=_clean(draft["text"]),
                draft_outcome=kind[0],
                refinement=_clean(sample["text"]),
                refinement_outcome=kind[1],
            )


def _outcome(sample: Mapping[str, Any]) -> Outcome:
    """Return the verdict; ``unknown`` if the reward gave none."""
    score = sample["score"]
    return "unknown" if score is None or score["correct"] is None else "right" if score["correct"] else "wrong"


def _clean(text: Any) -> str:
    """Shorten a text and remove control characters; its lines are kept."""
    return "\n".join(printable(line) for line in shortened(str(text).strip(), LONGEST).splitlines())
