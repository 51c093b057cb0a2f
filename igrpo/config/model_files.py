"""What can be said of a model's files before anything heavy is imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from igrpo.config.cache import cached_model

#: The folder of SmolLM2-135M-Instruct in the cache; `q4`: its weights were rounded to 4 bits once.
SMOLLM2: Final = "smollm2-135m-instruct-q4"

#: How to get the models that are prepared on this machine, by the names of their folders in the cache.
_PREPARED: Final = {
    SMOLLM2: "run `make smollm2` (without the repository: python -m igrpo.tools.smollm2), or use model=smollm2_135m to "
    "load it from the hub",
}


def no_directory(name_or_path: str) -> str:
    """What to say of a path where there is no directory; for a model that igrpo prepares, how to get it."""
    path = Path(name_or_path).expanduser()
    for name, advice in _PREPARED.items():
        if path == cached_model(name):
            return f"this model was not prepared yet; {advice}"
    return "there is no such directory"


def gguf_problem(name_or_path: str, gguf_file: str) -> str | None:
    """Why a GGUF file cannot be read, as far as this machine knows; None: nothing is known against it."""
    if find_spec("gguf") is None:
        return "reading GGUF needs the package gguf, which is not installed: pip install 'igrpo[gguf]'"
    folder = Path(name_or_path).expanduser()
    if folder.is_dir() and not (folder / gguf_file).is_file():
        return f"there is no such file in {folder}"
    return None
