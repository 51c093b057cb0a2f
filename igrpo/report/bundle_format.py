"""Format of a bundle, the archive that `igrpo publish` writes and `igrpo report` reads.

A bundle is a tar archive, compressed by gzip. Its first member is ``bundle.json``, which lists all other members. They
are regular files: run directories below folders of their sweeps, and a report.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

#: Schema version of bundle.json that this code writes, and the newest that it reads.
SCHEMA_VERSION = 1

MANIFEST = "bundle.json"

#: End of a bundle's file name.
SUFFIX = ".igrpo.tar.gz"

#: Folder of a run's exported weights, in the run's folder.
WEIGHTS = "weights"

#: Size limits in bytes: of bundle.json, of every other file that is read, and of all of these together.
MOST_MANIFEST_BYTES, MOST_FILE_BYTES, MOST_BYTES = 64 * 2**20, 4 * 2**30, 32 * 2**30

_CHUNK = 2**20


class BundledFile(BaseModel):
    """Size in bytes and SHA-256 of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: NonNegativeInt
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """Contents of bundle.json.

    ``created`` is when the last of the runs ended (ISO 8601, UTC), so that publishing the same runs again gives the
    same bytes. ``left_out`` names what the run directories have and the bundle has not. ``with_machine`` is True if
    host names, process numbers and absolute paths were kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    name: str
    igrpo_version: str
    commit: str | None
    created: str
    runs: dict[str, str]  # status by folder
    left_out: tuple[str, ...]
    with_machine: bool
    files: dict[str, BundledFile]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_hashed(source: BinaryIO, target: BinaryIO) -> str:
    """Copy a stream to its end, and return the SHA-256 of what was copied."""
    sha = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        sha.update(chunk)
        target.write(chunk)
    return sha.hexdigest()
