"""Writing of an archive whose bytes depend on nothing but its files' names and contents."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Mapping
from pathlib import Path

from igrpo.files import atomic_path


def write_archive(target: Path, files: Mapping[str, Path]) -> None:
    """Write files as a tar archive, compressed by gzip, atomically and in the given order.

    Times, owners and permissions are the same for all. A file that has grown meanwhile is cut at its size at the start.

    Args:
        files: paths by the names in the archive.
    """
    with (
        atomic_path(target) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path in files.items():
            member = tarfile.TarInfo(name)
            with path.open("rb") as file:
                member.size = path.stat().st_size
                archive.addfile(member, file)
