"""How long to wait before a request is tried again."""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime

_FIRST_S = 1.0


def pause_s(failures: int, retry_after: str | None, longest_s: float) -> float | None:
    """Seconds to wait after so many failures in a row (from 1); None: longer than ``longest_s``, which is too long.

    A server's Retry-After (seconds, or a date) is heeded as it stands; without one the pause doubles every time, up to
    ``longest_s``, less up to half of it by chance, so that many requests do not come back at the same moment.
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
