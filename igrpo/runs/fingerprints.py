"""The file fingerprints.json: hashes of a run's questions, prompts, reward and model.

Two runs with the same settings can still differ, if a file was edited or a data set has a new version. Therefore these
hashes are checked when a run is resumed and when runs are compared.
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

#: Schema version of fingerprints.json that this code writes, and the newest that it reads.
SCHEMA_VERSION = 1

Part = Literal["questions", "prompts", "reward", "model"]
PARTS: tuple[Part, ...] = get_args(Part)

#: Hashes by piece (a split, a layout, a reward, the model's folder) and within it by aspect (the answers, a file).
Prints = Mapping[str, Mapping[str, str]]

#: Aspects of a split whose hashes are kept in addition to its number of questions, and their names in messages.
SPLIT_ASPECTS = {"ids": "ids", "problems": "texts", "answers": "answers"}


class Change(BaseModel):
    """A part that had changed when the run was resumed after ``step``. ``what`` names the changed pieces."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    part: Part
    what: str


class Fingerprints(BaseModel):
    """Contents of fingerprints.json.

    ``date`` (YYYY-MM-DD) is passed to chat templates that ask for the time. ``changes`` are those found by later
    resumes; the new hashes have replaced the old ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    date: str
    questions: Prints
    prompts: Prints
    reward: Prints
    model: Prints
    changes: tuple[Change, ...] = ()

    def of(self, part: Part) -> Prints:
        """Return the hashes of a part."""
        prints: dict[Part, Prints] = {
            "questions": self.questions,
            "prompts": self.prompts,
            "reward": self.reward,
            "model": self.model,
        }
        return prints[part]

    def short(self) -> dict[str, str]:
        """Return a hash of twelve hexadecimal digits per part."""
        return {part: digest(json.dumps(self.of(part), sort_keys=True))[:12] for part in PARTS}


def digest(content: str | bytes) -> str:
    """Return the SHA-256 hash in hexadecimal digits."""
    return hashlib.sha256(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content).hexdigest()


def write_fingerprints(path: Path, fingerprints: Fingerprints) -> None:
    """Write fingerprints.json atomically.

    Raises:
        DiskFullError: the disk is full; an earlier file is kept.
    """
    with disk_errors(path):
        write_json_atomic(path, fingerprints.model_dump(mode="json"))


def read_fingerprints(path: Path) -> Fingerprints | None:
    """Read the fingerprints of a run; return None if it has none.

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
    """Return the date in a run's fingerprints; None if it has no fingerprints.

    Raises:
        ValueError: fingerprints.json is broken.
    """
    kept = read_fingerprints(directory.fingerprints)
    return None if kept is None else date.fromisoformat(kept.date)


def run_date(directory: RunDirectory) -> date:
    """Return the date for a run's chat template: the day (UTC) on which its sweep, or the run itself, started.

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
    """Check that the questions of a resumed run have not changed.

    Raises:
        ValueError: they have; the message names each changed split and what has changed in it.
    """
    before = read_fingerprints(directory.fingerprints)
    changed = [] if before is None else differences("questions", before.questions, now)
    if changed:
        raise ValueError(
            f"the data of {directory} have changed since it began: {'; '.join(changed)}. A run can be resumed only "
            "with its own questions: restore them where the data settings look for them, or start a new run"
        )


def keep_fingerprints(directory: RunDirectory, now: Fingerprints, step: int | None) -> Fingerprints:
    """Write the fingerprints, and warn about changes since the run began.

    Args:
        step: step of the checkpoint that a resumed run continues from, 0 if there is no checkpoint; None: a new run.
    """
    before = None if step is None else read_fingerprints(directory.fingerprints)
    if before is None and step:
        log.warning(
            "%s has no fingerprints, because an older igrpo started it: it is not known whether its data, prompts, "
            "reward and model are still the same; from now on, fingerprints are kept",
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
        # without a checkpoint (step 0) all steps are repeated with the new parts, so there is no change to record
        now = now.model_copy(update={"changes": (*before.changes, *(change for change in changes if change.step))})
    write_fingerprints(directory.fingerprints, now)
    return now


def differences(part: Part, first: Prints, second: Prints) -> list[str]:
    """Describe how ``second`` differs from ``first``: 'the test split has other answers (of 40 questions)'."""
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
    changed = [label for aspect, label in SPLIT_ASPECTS.items() if first[aspect] != second[aspect]]
    if len(changed) == len(SPLIT_ASPECTS):
        return f"the {name} split has other questions ({second['questions']}, as before), or another order of them"
    return f"the {name} split has other {' and '.join(changed)} (of {second['questions']} questions)"
