"""Parser of judge replies. A valid reply is exactly one JSON object with a score."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

#: JSON schema for servers that constrain replies. It has no bounds, which some servers reject; ``parse_score`` checks
#: them.
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "score": {"type": "number"}},
    "required": ["reason", "score"],
    "additionalProperties": False,
}

_FENCE = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)
_THINKING_END = "</think>"


def parse_score(reply: str | None) -> float | None:
    """Return the score in [0, 1] of ``{"reason": "...", "score": 0.5}``; None for any other reply.

    The object may follow a reasoning model's thinking, closed by ``</think>``, and may be in a code fence. The reason
    may be missing. Other keys, a second object and a number in quotes are not allowed.
    """
    if reply is None:
        return None
    text = reply.rpartition(_THINKING_END)[2].strip() if not reply.lstrip().startswith("{") else reply.strip()
    fence = _FENCE.fullmatch(text)
    try:
        value = json.loads(fence[1] if fence else text, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not set(value) <= {"reason", "score"}:
        return None
    score = value.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float) or not isinstance(value.get("reason", ""), str):
        return None
    return float(score) if math.isfinite(score) and 0 <= score <= 1 else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("duplicate key")
    return dict(pairs)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not valid JSON")
