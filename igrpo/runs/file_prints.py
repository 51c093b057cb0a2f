"""Hashes of a model's files, and of the Python files that define a reward."""

from __future__ import annotations

import ast
import hashlib
import inspect
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

log = logging.getLogger(__name__)

#: Suffixes of the files that determine a model's output: weights, configuration, tokenizer, chat template, its code.
_MODEL_FILES = frozenset({".safetensors", ".bin", ".json", ".model", ".txt", ".jinja", ".tiktoken", ".py"})

#: Files up to ``_WHOLE_BYTES`` are hashed completely. For larger ones, the size, both ends and blocks between are.
_WHOLE_BYTES, _END_BYTES, _BLOCKS, _BLOCK_BYTES = 16 * 2**20, 2**20, 64, 2**16


def folder_prints(name_or_path: str, revision: str | None, gguf_file: str | None = None) -> dict[str, str]:
    """Return hashes of the files in a model's folder, or of its GGUF file only.

    For a model on the hub, return the commit instead: files never change within a commit.
    """
    folder = Path(name_or_path).expanduser()
    if not folder.is_dir():
        cached = try_to_load_from_cache(name_or_path, gguf_file or "config.json", revision=revision)
        if not isinstance(cached, str):
            log.warning("%s: commit not known, so the fingerprint is the name only", name_or_path)
            return {"commit": "unknown"}
        return {"commit": Path(cached).parent.name}  # .../snapshots/COMMIT/FILE
    if gguf_file is not None:
        return {gguf_file: file_print(folder / gguf_file)}
    files = (path for path in folder.iterdir() if path.suffix in _MODEL_FILES and path.is_file())
    return {path.name: file_print(path) for path in sorted(files)}


def file_print(path: Path) -> str:
    """Hash a file. Above 16 MiB, hash its size, its first and last MiB, and 64 blocks of 64 KiB between.

    Fine-tuning changes nearly every weight, so the blocks detect it. An edit of single weights may go undetected.
    """
    size = path.stat().st_size
    sha = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= _WHOLE_BYTES:
            sha.update(file.read())
            return sha.hexdigest()
        step = (size - 2 * _END_BYTES) // _BLOCKS
        between = [(_END_BYTES + number * step, _BLOCK_BYTES) for number in range(_BLOCKS)]
        for start, length in [(0, _END_BYTES), *between, (size - _END_BYTES, _END_BYTES)]:
            file.seek(start)
            sha.update(file.read(length))
    return f"sampled {sha.hexdigest()}"


def user_files(module: str) -> Iterator[tuple[str, Path]]:
    """Yield relative path and file of an imported module, and of the files next to it that it imports, recursively.

    For an installed package, only the package's own files are included. Data files that the code reads are not.
    """
    loaded = sys.modules[module]
    if not getattr(loaded, "__file__", None):
        return
    top = module.partition(".")[0]
    start = Path(inspect.getfile(loaded)).resolve()
    root = start.parents[module.count(".") + (start.stem == "__init__")]
    within = root / top if {"site-packages", "dist-packages"} & set(root.parts) else root
    waiting, seen = [(module, start)], {start}
    while waiting:
        name, path = waiting.pop()
        yield path.relative_to(root).as_posix(), path
        for other in _imported(path, name if path.stem == "__init__" else name.rpartition(".")[0]):
            base = root.joinpath(*other.split("."))
            for file in (base.with_suffix(".py") if other else base, base / "__init__.py"):
                if file.is_file() and file.is_relative_to(within) and file not in seen:
                    seen.add(file)
                    waiting.append((other, file))


def _imported(path: Path, package: str) -> Iterator[str]:
    """Yield names of modules that a Python file may import, and of their packages. ``package`` is the file's own."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
        for name in filter(None, names):
            parts = name.split(".")
            yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))
