"""Reading of bundles: each is checked and unpacked into the user's cache directory.

A bundle may come from anyone. Only the regular files that its list names are written, at the sizes that the list gives
and below the bundle's own folder, and nothing in it is executed or unpickled.
"""

from __future__ import annotations

import gzip
import json
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from pydantic import ValidationError

from igrpo.disk import disk_errors, require_free
from igrpo.files import atomic_directory
from igrpo.models.cache import CACHE_DIR_VARIABLE, cache_root, locked
from igrpo.report.bundle_format import (
    MANIFEST,
    MOST_BYTES,
    MOST_FILE_BYTES,
    MOST_MANIFEST_BYTES,
    SCHEMA_VERSION,
    WEIGHTS,
    Manifest,
    copy_hashed,
    file_sha256,
)
from igrpo.runs.run_directory import check_schema_version

_ADVICE = f"free some room, or set {CACHE_DIR_VARIABLE} to a folder on another disk"


class _Reader(gzip.GzipFile):
    """Decompressing reader that refuses reads which only a forged header of an archive can ask for."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MOST_MANIFEST_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def resolve_sources(paths: Iterable[Path]) -> list[Path]:
    """Return folders with runs for paths that users give: a folder is returned as it is, a bundle is unpacked.

    Raises:
        ValueError: a file is no bundle, is damaged, or has members that a bundle may not have; the message names it.
        DiskFullError: the disk of the cache is full.
    """
    return [unpacked(path) if path.is_file() else path for path in paths]


def unpacked(bundle: Path) -> Path:
    """Return the folder with the files of a bundle, without weights. It is kept in the cache by the bundle's SHA-256.

    Raises:
        ValueError, DiskFullError: see ``resolve_sources``.
    """
    folder = cache_root().absolute() / "bundles" / file_sha256(bundle)[:32]
    with locked(folder):
        if not folder.is_dir():
            with disk_errors(folder), atomic_directory(folder, _ADVICE) as temporary:
                _unpack(bundle, temporary)
    return folder


def _unpack(bundle: Path, folder: Path) -> None:
    try:
        with _Reader(bundle) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            members = iter(archive)
            manifest = _manifest(bundle, archive, next(members, None))
            wanted = {name for name in manifest.files if not _is_weights(name)}
            _check_sizes(bundle, manifest, wanted, folder)
            for member in _checked(bundle, members, manifest, folder):
                if member.name in wanted:
                    _write(bundle, archive, member, manifest, folder)
                    wanted.remove(member.name)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{bundle} is no bundle of `igrpo publish`, or is damaged: {error}") from None
    if wanted:
        raise ValueError(f"{bundle} is damaged: {min(wanted)!r} is missing")


def _manifest(bundle: Path, archive: tarfile.TarFile, member: tarfile.TarInfo | None) -> Manifest:
    """Read the list of files, which has to be the first member."""
    if member is None or member.name != MANIFEST or not member.isreg():
        raise ValueError(f"{bundle} is no bundle of `igrpo publish`: it does not begin with {MANIFEST}")
    if member.size > MOST_MANIFEST_BYTES:
        raise ValueError(f"{bundle}: {MANIFEST} has {member.size:,} bytes, more than {MOST_MANIFEST_BYTES:,}")
    where = bundle / MANIFEST
    try:
        raw = json.loads(cast("BinaryIO", archive.extractfile(member)).read())
        check_schema_version(where, raw, SCHEMA_VERSION)
        return Manifest.model_validate(raw)
    except ValidationError as error:
        raise ValueError(f"{where} does not fit: {error}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{where} is broken: {error}") from None


def _check_sizes(bundle: Path, manifest: Manifest, wanted: Iterable[str], folder: Path) -> None:
    sizes = {name: manifest.files[name].size for name in wanted}
    large = [name for name, size in sizes.items() if size > MOST_FILE_BYTES]
    if large:
        raise ValueError(f"{bundle}: {min(large)!r} has more than {MOST_FILE_BYTES:,} bytes, which is not read")
    total = sum(sizes.values())
    if total > MOST_BYTES:
        raise ValueError(f"{bundle} has {total:,} bytes when unpacked, more than {MOST_BYTES:,}, which is not read")
    require_free(folder, total / 2**20, _ADVICE)


def _checked(
    bundle: Path, members: Iterable[tarfile.TarInfo], manifest: Manifest, folder: Path
) -> Iterator[tarfile.TarInfo]:
    """Yield the members, after checking kind, name and size of each before its contents are read."""
    seen = set[str]()
    for member in members:
        try:
            tarfile.data_filter(member, str(folder))
        except tarfile.FilterError as error:
            raise ValueError(f"{bundle} is refused: {error}") from None
        if not member.isreg():
            raise ValueError(f"{bundle} is refused: {member.name!r} is no regular file")
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or str(path) != member.name:
            raise ValueError(f"{bundle} is refused: {member.name!r} is no plain relative path")
        listed = manifest.files.get(member.name)
        if listed is None or member.name in seen:
            raise ValueError(f"{bundle} is refused: {member.name!r} is not listed in {MANIFEST}, or is there twice")
        if member.size != listed.size:
            raise ValueError(
                f"{bundle} is damaged: {member.name!r} has {member.size:,} bytes, not {listed.size:,} as listed"
            )
        seen.add(member.name)
        yield member


def _write(bundle: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, manifest: Manifest, folder: Path) -> None:
    target = folder / member.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            found = copy_hashed(cast("BinaryIO", archive.extractfile(member)), file)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise ValueError(f"{bundle} is refused: {member.name!r} is both a file and a folder") from None
    if found != manifest.files[member.name].sha256:
        raise ValueError(f"{bundle} is damaged: {member.name!r} has another SHA-256 than {MANIFEST} gives")


def _is_weights(name: str) -> bool:
    return WEIGHTS in PurePosixPath(name).parts[:-1]
