"""Counters of the judge's work, as metrics."""

from __future__ import annotations

import threading
from collections import Counter

from igrpo.rewards.base import Measure

#: One line per metric: unit; definition. Counts and shares are of one step's training completions.
METRIC_DOCS: dict[str, str] = {
    "judge/requests": "count; replies of the judge, readable or not",
    "judge/cached_share": "share; votes that were found in the cache",
    "judge/retries": "count; failed tries (server busy, broken or too slow) before an answer",
    "judge/unparsable": "count; replies without a valid score; each vote is requested once more, then it is missing",
    "judge/refused": "count; requests that the judge's server rejects, for example as too long",
    "judge/cut": "count; completions whose middle was left out (reward.max_solution_chars)",
    "judge/unscored": "count; completions without any vote, which are removed from their group",
    "judge/agreement": "share; same verdict by judge and rule verifier, of the completions that have both",
    "judge/input_tokens": "tokens; read by the judge since the start of the run, including evaluations and lost steps",
    "judge/output_tokens": "tokens; written by the judge since the start of the run, likewise",
    "judge/cost": "currency of reward.input_price; since the start of the run, likewise",
}


class Counts:
    """Thread-safe counters."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, number: int = 1) -> None:
        """Add ``number`` to one counter."""
        with self._lock:
            self._counts[name] += number

    def take(self) -> dict[str, Measure]:
        """Return the counts since the last call and reset them."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        names = ("requests", "retries", "unparsable", "refused", "cut", "unscored")
        return {
            **{f"judge/{name}": Measure(counts[name]) for name in names},
            "judge/cached_share": Measure(counts["cached"], counts["votes"]),
            "judge/agreement": Measure(counts["agreed"], counts["compared"]),
        }
