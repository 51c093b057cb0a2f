"""Counters of the judge's work, as metrics."""

from __future__ import annotations

import threading
from collections import Counter

from igrpo.rewards.base import Measure

#: One line per metric: unit; definition. Metrics cover one step's training completions, unless they say 'so far'.
METRIC_DOCS: dict[str, str] = {
    "judge/requests": "count; replies that the judge gave, readable or not",
    "judge/cached_share": "share; of the votes that were wanted, those that the cache held",
    "judge/retries": "count; tries that failed (busy, broken, too slow) before one was answered",
    "judge/unparsable": "count; replies that were no score: asked for once more, then the vote is missing",
    "judge/refused": "count; requests that the judge's server does not take, such as too long ones",
    "judge/cut": "count; completions whose middle was left out (reward.max_solution_chars)",
    "judge/unscored": "count; completions without any vote: they leave their group",
    "judge/agreement": "share; the judge's verdict is the rule verifier's, among the completions that have both",
    "judge/input_tokens": "tokens; read by the judge so far, evaluations and lost steps included",
    "judge/output_tokens": "tokens; written by the judge so far, likewise",
    "judge/cost": "currency of reward.input_price; so far, likewise",
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
