"""Checks of a model's files that import nothing heavy."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from igrpo.messages import install
from igrpo.models.cache import cached_model

#: Folder of SmolLM2-135M-Instruct in the cache; `q4`: the weights were once rounded to 4 bits.
SMOLLM2: Final = "smollm2-135m-instruct-q4"

#: Instructions for preparing models on this machine, by the names of their folders in the cache.
_PREPARED: Final = {
    SMOLLM2: "run `make smollm2` (without the repository: python -m igrpo.tools.smollm2), or use model=smollm2_135m to "
    "load it from the hub",
}


def no_directory(name_or_path: str) -> str:
    """Return the error text for a missing model directory; for a model that igrpo can prepare, it says how."""
    path = Path(name_or_path).expanduser()
    for name, advice in _PREPARED.items():
        if path == cached_model(name):
            return f"this model was not prepared yet; {advice}"
    return "there is no such directory"


def gguf_problem(name_or_path: str, gguf_file: str) -> str | None:
    """Return why a GGUF file cannot be read on this machine; None if no problem is known."""
    if find_spec("gguf") is None:
        return f"reading GGUF needs the package gguf, which is not installed: {install('gguf')}"
    folder = Path(name_or_path).expanduser()
    if folder.is_dir() and not (folder / gguf_file).is_file():
        return f"there is no such file in {folder}"
    return None
