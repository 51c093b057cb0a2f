"""Reads tests/golden: what TRL and verl computed (see its README)."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch

from .batches import Batch

FOLDER = Path(__file__).parents[1] / "golden"


@cache
def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def batch(name: str) -> Batch:
    """One of the shared input sets."""
    fields = load("inputs")["inputs"][name]
    return Batch(
        logprobs=tensor(fields["logps"]),
        old=tensor(fields["old_logps"]),
        ref=tensor(fields["ref_logps"]),
        entropies=tensor(fields["entropies"]),
        advantages=tensor(fields["advantages"]),
        mask=tensor(fields["mask"]).bool(),
    )


def assert_matches(actual: torch.Tensor, expected: Any, atol: float = 1e-12) -> None:
    torch.testing.assert_close(actual, tensor(expected), atol=atol, rtol=0)
