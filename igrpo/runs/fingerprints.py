"""fingerprints.json: what a run was made of, as hashes: its questions, prompts, reward and model.

Two runs whose settings are the same can still differ: a file was edited, a data set has a new version. Resuming a run
and comparing runs therefore look at these hashes, too.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from igrpo.disk import disk_errors
from igrpo.files import write_json_atomic
from igrpo.runs.run_directory import RunDirectory, read_versioned
from igrpo.runs.sweep_directory import sweep_of

log = logging.getLogger(__name__)

#: The version of fingerprints.json that this code writes, and the newest that it reads.
SCHEMA_VERSION = 1

Part = Literal["questions", "prompts", "reward", "model"]
PARTS: tuple[Part, ...] = get_args(Part)

#: Hashes by piece (a split, a layout, a reward, the model's folder) and within it by aspect (the answers, a file).
Prints = Mapping[str, Mapping[str, str]]

#: The aspects of a split whose hashes are kept beside its number of questions.
SPLIT_ASPECTS = {"ids": "ids", "problems": "texts", "answers": "answers"}


class Change(BaseModel):
    """A part that was not the same any more when the run was resumed after ``step``; ``what`` names its pieces."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    part: Part
    what: str


class Fingerprints(BaseModel):
    """The contents of fingerprints.json. ``date`` (YYYY-MM-DD) is what a chat template that asks for the time is given;
    ``changes`` are those that later resumes found, whose hashes have replaced the first ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    date: str
    questions: Prints
    prompts: Prints
    reward: Prints
    model: Prints
    changes: tuple[Change, ...] = ()

    def of(self, part: Part) -> Prints:
        """The hashes of a part."""
        prints: dict[Part, Prints] = {
            "questions": self.questions,
            "prompts": self.prompts,
            "reward": self.reward,
            "model": self.model,
        }
        return prints[part]

    def short(self) -> dict[str, str]:
        """Twelve hexadecimal digits per part."""
        return {part: digest(json.dumps(self.of(part), sort_keys=True))[:12] for part in PARTS}


def digest(content: str | bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content).hexdigest()


def write_fingerprints(path: Path, fingerprints: Fingerprints) -> None:
    """Write it atomically.

    Raises:
        DiskFullError: no room; an earlier file stays.
    """
    with disk_errors(path):
        write_json_atomic(path, fingerprints.model_dump(mode="json"))


def read_fingerprints(path: Path) -> Fingerprints | None:
    """Return the fingerprints of a run; None for a run that keeps no fingerprints.

    Raises:
        ValueError: the file is broken, or a newer igrpo wrote it; the message names it.
    """
    if not path.exists():
        return None
    raw = read_versioned(path, SCHEMA_VERSION, missing=f"there is no {path}")
    try:
        return Fingerprints.model_validate(raw)
    except ValidationError as error:
        raise ValueError(f"{path} does not fit: {error}") from None


def kept_date(directory: RunDirectory) -> date | None:
    """The date in a run's fingerprints; None where it keeps none.

    Raises:
        ValueError: fingerprints.json is broken.
    """
    kept = read_fingerprints(directory.fingerprints)
    return None if kept is None else date.fromisoformat(kept.date)


def run_date(directory: RunDirectory) -> date:
    """The date that a run's chat template is given: the day (UTC) on which its sweep, or the run itself, was started.

    Raises:
        ValueError: run.json or fingerprints.json is missing or broken.
    """
    kept = kept_date(directory)
    if kept is not None:
        return kept
    sweep = sweep_of(directory.path)
    started = directory.read_record().created if sweep is None else sweep[0].created
    return date.fromisoformat(started[:10])


def refuse_changed_questions(directory: RunDirectory, now: Prints) -> None:
    """Refuse to go on with a run whose questions are not those that it began with.

    Raises:
        ValueError: naming each split and what has changed in it.
    """
    before = read_fingerprints(directory.fingerprints)
    changed = [] if before is None else differences("questions", before.questions, now)
    if changed:
        raise ValueError(
            f"the data of {directory} have changed since it began: {'; '.join(changed)}. A run goes on with its own "
            "questions alone: put them back where the data settings look for them, or start another run, without resume"
        )


def keep_fingerprints(directory: RunDirectory, now: Fingerprints, step: int | None) -> Fingerprints:
    """Write what the run is made of, and warn of what has changed since it began.

    Args:
        step: that of the checkpoint that a resumed run goes on from, 0 where it has none; None: a new run.
    """
    before = None if step is None else read_fingerprints(directory.fingerprints)
    if before is None and step:
        log.warning(
            "%s keeps no fingerprints, for an older igrpo began it: whether its data, prompts, reward and model are "
            "still the same is not known; from now on they are kept",
            directory,
        )
    if before is not None:
        changes = [
            Change(step=step or 0, part=part, what="; ".join(found))
            for part in PARTS
            if (found := differences(part, before.of(part), now.of(part)))
        ]
        for change in changes:
            log.warning(
                "the %s changed since the run began: %s. Measurements before and after step %d are not comparable",
                f"{change.part} {'have' if change.part == 'prompts' else 'has'}", change.what, change.step,
            )  # fmt: skip
        # without a checkpoint everything is done again, with what there is now
        now = now.model_copy(update={"changes": (*before.changes, *(change for change in changes if change.step))})
    write_fingerprints(directory.fingerprints, now)
    return now


def differences(part: Part, first: Prints, second: Prints) -> list[str]:
    """How ``second`` differs from ``first``, in words, such as 'the test split has other answers (of 40 questions)'."""
    found = []
    for piece in dict.fromkeys([*first, *second]):
        one, other = first.get(piece), second.get(piece)
        if one == other:
            continue
        if part == "questions":
            found.append(_split_difference(piece, one, other))
            continue
        aspects = [
            name for name in {**(one or {}), **(other or {})} if (one or {}).get(name) != (other or {}).get(name)
        ]
        found.append(f"{piece} ({', '.join(aspects)})")
    return found


def _split_difference(name: str, first: Mapping[str, str] | None, second: Mapping[str, str] | None) -> str:
    if first is None or second is None:
        return f"the {name} split is {'new' if first is None else 'gone'}"
    if first["questions"] != second["questions"]:
        return f"the {name} split has {second['questions']} questions, not {first['questions']}"
    changed = [words for aspect, words in SPLIT_ASPECTS.items() if first[aspect] != second[aspect]]
    if len(changed) == len(SPLIT_ASPECTS):
        return f"the {name} split has other questions ({second['questions']}, as before), or another order of them"
    return f"the {name} split has other {' and '.join(changed)} (of {second['questions']} questions)"
