"""What the reward tests share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from igrpo.types import Completion, Question

CASES = Path(__file__).parent / "math"


def question(answer: str) -> Question:
    return Question(id="q1", problem="?", answer=answer)


def completion(text: str) -> Completion:
    return Completion(
        token_ids=(1,),
        text=text,
        logprobs=(0.0,),
        sampling_entropies=(0.0,),
        policy_entropies=(0.0,),
        finish_reason="stop",
        policy_version=0,
    )


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CASES / name).read_text(encoding="utf-8").splitlines()]


def unrolled(text: str | list[Any]) -> str:
    """A string, or its run-length form."""
    return text if isinstance(text, str) else "".join(unit * count for unit, count in text)
