"""Reading of bundles: what is unpacked, and that a forged or damaged one is refused and leaves nothing behind."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from igrpo.report import bundles
from igrpo.report.bundle_format import BundledFile, Manifest
from igrpo.report.bundles import resolve_sources
from igrpo.tools.bundle_archive import write_archive

FILES = {"s/run/run.json": b"{}", "s/run/weights/model.safetensors": b"w" * 100, "report/tables.md": b"| a |\n" * 50}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IGRPO_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def listed(files: dict[str, bytes]) -> dict[str, Any]:
    """bundle.json for these files."""
    sizes = {name: BundledFile(size=len(data), sha256=sha256(data).hexdigest()) for name, data in files.items()}
    return Manifest(
        name="n", igrpo_version="0", commit=None, created="", runs={}, left_out=(), with_machine=False, files=sizes
    ).model_dump(mode="json")


def pack(path: Path, manifest: Any, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    """A bundle with any members after its list."""
    text = json.dumps(manifest).encode()
    first = tarfile.TarInfo("bundle.json")
    with tarfile.open(path, "w:gz") as archive:
        for member, data in [(first, text), *members]:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def members(files: dict[str, bytes]) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [(member(name), data) for name, data in files.items()]


def test_a_bundle_becomes_a_folder_without_its_weights(tmp_path: Path, cache: Path) -> None:
    bundle = pack(tmp_path / "b", listed(FILES), members(FILES))
    folder, same, other = resolve_sources([bundle, bundle, tmp_path])
    assert other == tmp_path
    assert folder == same
    assert folder.parent == cache / "bundles"
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == {name: data for name, data in FILES.items() if "weights" not in name}

    (folder / "s/run/run.json").write_text("kept")
    assert resolve_sources([bundle]) == [folder]
    assert (folder / "s/run/run.json").read_text() == "kept"  # it is unpacked once


def test_what_is_written_is_read(tmp_path: Path) -> None:
    sources = {name: tmp_path / f"source{number}" for number, name in enumerate(("bundle.json", *FILES))}
    for path, data in zip(sources.values(), (json.dumps(listed(FILES)).encode(), *FILES.values()), strict=True):
        path.write_bytes(data)
    write_archive(tmp_path / "b", sources)
    (folder,) = resolve_sources([tmp_path / "b"])
    assert (folder / "report/tables.md").read_bytes() == FILES["report/tables.md"]
    with tarfile.open(tmp_path / "b") as archive:
        found = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in archive}
    assert found == {(0, 0, 0, "", "", 0o644)}
    assert (tmp_path / "b").read_bytes()[:10] == b"\x1f\x8b\x08\x00\0\0\0\0" + (tmp_path / "b").read_bytes()[8:10]


GOOD = {"a/run.json": b"{}"}
FORGED: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "absolute": ("plain relative path", lambda p: pack(p, listed({"/x": b""}), members({"/x": b""}))),
    "parent": ("outside the destination", lambda p: pack(p, listed({"../x": b""}), members({"../x": b""}))),
    "parent inside": ("plain relative path", lambda p: pack(p, listed({"a/../x": b""}), members({"a/../x": b""}))),
    "dotted": ("plain relative path", lambda p: pack(p, listed({"./x": b""}), members({"./x": b""}))),
    "symlink": ("no regular file", lambda p: pack(p, listed({"x": b""}), [(member("x", tarfile.SYMTYPE, "y"), b"")])),
    "symlink out": (
        "is a link to an absolute path",
        lambda p: pack(p, listed({"x": b""}), [(member("x", tarfile.SYMTYPE, "/etc/passwd"), b"")]),
    ),
    "hard link": ("no regular file", lambda p: pack(p, listed({"x": b""}), [(member("x", tarfile.LNKTYPE, "y"), b"")])),
    "device": ("is a special file", lambda p: pack(p, listed({"x": b""}), [(member("x", tarfile.CHRTYPE), b"")])),
    "folder": ("no regular file", lambda p: pack(p, listed({"x": b""}), [(member("x", tarfile.DIRTYPE), b"")])),
    "not listed": ("'x' is not listed", lambda p: pack(p, listed(GOOD), members({"x": b""}))),
    "twice": ("there twice", lambda p: pack(p, listed(GOOD), [*members(GOOD), *members(GOOD)])),
    "other size": ("has 3 bytes, not 2", lambda p: pack(p, listed(GOOD), members({"a/run.json": b"{ }"}))),
    "other contents": ("another SHA-256", lambda p: pack(p, listed(GOOD), members({"a/run.json": b"[]"}))),
    "missing": ("'a/run.json' is missing", lambda p: pack(p, listed(GOOD), [])),
    "file and folder": (
        "both a file and a folder",
        lambda p: pack(p, listed({"a": b"", "a/b": b""}), members({"a": b"", "a/b": b""})),
    ),
    "no list": ("does not begin with bundle.json", lambda p: _tar(p, [member("x")])),
    "list is a link": ("does not begin", lambda p: _tar(p, [member("bundle.json", tarfile.SYMTYPE, "x")])),
    "nothing": ("does not begin", lambda p: _tar(p, [])),
    "newer": ("update igrpo", lambda p: pack(p, listed(GOOD) | {"schema_version": 2}, members(GOOD))),
    "no JSON object": ("no valid schema_version", lambda p: pack(p, [1], [])),
    "other fields": ("does not fit", lambda p: pack(p, listed(GOOD) | {"x": 1}, [])),
    "huge file": (
        "'x' has more than",
        lambda p: pack(p, listed({}) | {"files": {"x": {"size": 10**15, "sha256": "0" * 64}}}, []),
    ),
    "huge together": (
        "when unpacked, more than",
        lambda p: pack(p, listed({}) | {"files": {f"x{i}": {"size": 2**32, "sha256": "0" * 64} for i in range(9)}}, []),
    ),
    "huge header": ("no bundle of `igrpo publish`, or is damaged", lambda p: _huge_header(p)),
    "no archive": ("no bundle of `igrpo publish`", lambda p: _bytes(p, b"hello")),
    "other archive": ("no bundle of `igrpo publish`", lambda p: _bytes(p, gzip.compress(b"hello" * 1000))),
    "cut": ("damaged", lambda p: _bytes(p, pack(p, listed(FILES), members(FILES)).read_bytes()[:-30])),
    "changed": ("damaged", lambda p: _changed(pack(p, listed(FILES), members(FILES)))),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_and_damaged_ones_are_refused(tmp_path: Path, cache: Path, case: str) -> None:
    message, make = FORGED[case]
    (tmp_path / "in").mkdir()
    bundle = make(tmp_path / "in" / "b")
    with pytest.raises(ValueError, match="in/b") as raised:
        resolve_sources([bundle])
    assert message in str(raised.value)
    assert not [path for path in cache.rglob("*") if path.suffix != ".lock" and path != cache / "bundles"]
    assert {path.name for path in tmp_path.iterdir()} == {"in", "cache"}


def test_a_header_does_not_make_it_read_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda file, size=-1: (asked.append(size), read(file, size))[1])
    with pytest.raises(ValueError, match="damaged"):
        resolve_sources([_huge_header(tmp_path / "b")])
    assert asked
    assert max(size or 0 for size in asked) <= bundles.MOST_MANIFEST_BYTES


def test_it_says_when_the_disk_is_too_small(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("igrpo.disk.free_mib", lambda path: 0.0)
    with pytest.raises(ValueError, match="IGRPO_CACHE_DIR"):
        resolve_sources([pack(tmp_path / "b", listed(FILES), members(FILES))])
    assert not list((cache / "bundles").glob("*[!k]"))


def _tar(path: Path, found: list[tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for one in found:
            archive.addfile(one)
    return path


def _bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _changed(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    return _bytes(path, bytes(data))


def _huge_header(path: Path) -> Path:
    """An extended header that says it has 8 GiB."""
    header = member("pax", tarfile.XHDTYPE)
    header.size = 8**11 - 1
    return _bytes(path, gzip.compress(header.tobuf() + bytes(4096)))
