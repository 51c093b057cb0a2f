"""Small real inputs for the parts that are built: a data file, a model directory, policies without a warm start."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from igrpo.assembly import Policy
from igrpo.models.byte_level import ByteLevelShape, make_byte_level_model
from igrpo.models.load import load_policy
from igrpo.models.tiny import TinyShape, build_tiny_model
from igrpo.models.tiny_tokenizer import build_tiny_tokenizer
from igrpo.types import Completion, Question

TINY_SHAPE = ("model.hidden=16", "model.layers=1", "model.heads=2", "model.mlp=16", "model.warm_start.steps=1",
              "model.warm_start.batch_size=4")  # fmt: skip


def write_problems(path: Path, count: int = 24) -> Path:
    """A JSONL file of sums."""
    lines = [{"id": f"q{i}", "problem": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(count)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def write_model(directory: Path, *, chat_template: bool = True) -> Path:
    """A Hugging Face directory of a few thousand parameters."""
    shape = ByteLevelShape(hidden=16, layers=1, heads=2, mlp=16, max_positions=16384)
    make_byte_level_model(directory, shape, 0, chat_template=chat_template)
    return directory


@cache
def tiny_policy() -> Policy:
    tokenizer = build_tiny_tokenizer()
    return Policy(build_tiny_model(TinyShape(hidden=16, layers=1, heads=2, mlp=16), 0), tokenizer, (2,))


@cache
def byte_policy() -> Policy:
    with TemporaryDirectory() as folder:
        model, tokenizer = load_policy(str(write_model(Path(folder) / "m")), dtype="float32", attention="sdpa")
    return Policy(model, tokenizer, (tokenizer.eos_token_id,))


def completion(text: str) -> Completion:
    return Completion((1,), text, (-1.0,), (0.0,), (0.0,), "stop", 0)


def question(problem: str = "2", answer: str = "2", name: str = "q") -> Question:
    return Question(name, problem, answer)


def values(scores: Any) -> list[float]:
    return [score.value for score in scores]
