"""Pause before a failed request is tried again."""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime

_FIRST_S = 1.0


def pause_s(failures: int, retry_after: str | None, longest_s: float) -> float | None:
    """Return the seconds to wait before the next try; None if the server asks for more than ``longest_s``.

    A Retry-After header (seconds, or a date) is followed exactly. Without one, the pause doubles with every failure, up
    to ``longest_s``, and is shortened by a random share of up to one half, so that requests do not all return at once.

    Args:
        failures: number of failures in a row, at least 1.
        retry_after: the Retry-After header, if any.
        longest_s: longest pause in seconds.
    """
    told = _told(retry_after)
    if told is not None:
        return told if told <= longest_s else None
    longest = min(_FIRST_S * 2.0 ** (failures - 1), longest_s)
    return longest * random.uniform(0.5, 1.0)


def _told(retry_after: str | None) -> float | None:
    if retry_after is None:
        return None
    text = retry_after.strip()
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except ValueError:
        return None
