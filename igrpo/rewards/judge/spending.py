"""Cost of the judge, and the limit at which a run pauses.

The totals are stored in a file in the run's directory. A resumed run therefore knows what it has spent, including on
steps that were lost, and all of its processes on one machine share the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from igrpo.rewards.base import Measure, RewardPausedError
from igrpo.rewards.judge.backend import JudgeReply
from igrpo.rewards.judge.database import Database

_SCHEMA = """CREATE TABLE IF NOT EXISTS spent (
    judge TEXT, process INTEGER, input_tokens INTEGER, output_tokens INTEGER, cost REAL,
    PRIMARY KEY (judge, process))"""
_ADD = """INSERT INTO spent VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens,
    cost = cost + excluded.cost"""
_MINE = """SELECT TOTAL(input_tokens), TOTAL(output_tokens), TOTAL(cost) FROM spent
    WHERE judge = ? AND process % ? = ?"""

#: Relative rounding error of a sum of many small costs.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices per million tokens, in any currency. ``max_cost`` uses the same currency (None: no limit)."""

    input: float
    output: float
    max_cost: float | None

    def of(self, reply: JudgeReply) -> float:
        """Return the cost of a reply."""
        return (reply.input_tokens * self.input + reply.output_tokens * self.output) / 1e6


class Spending:
    """Running total of the tokens and cost of one judge.

    Args:
        ledger: the file (None: in memory).
        judge: name of the judge in the file.
        prices: prices and limit.
        process: number of this process, from 0.
        processes: number of processes.
        setting: path of the setting that holds the limit.
    """

    def __init__(
        self,
        ledger: Path | None,
        judge: str,
        prices: Prices,
        *,
        process: int,
        processes: int,
        setting: str = "reward.max_cost",
    ) -> None:
        self._database = Database(ledger, _SCHEMA, "the run's record of what the judge cost")
        self._judge, self._prices = judge, prices
        self._process, self._processes, self._setting = process, processes, setting

    def add(self, reply: JudgeReply) -> None:
        """Add the tokens and cost of a reply."""
        cost = self._prices.of(reply)
        self._database.run(_ADD, (self._judge, self._process, reply.input_tokens, reply.output_tokens, cost))

    @property
    def cost(self) -> float:
        """Cost so far, over all processes."""
        (row,) = self._database.run("SELECT TOTAL(cost) FROM spent WHERE judge = ?", (self._judge,))
        return float(row[0])

    @property
    def is_over(self) -> bool:
        """True if the limit is reached."""
        limit = self._prices.max_cost
        return limit is not None and self.cost >= limit * (1 - _ROUNDING)

    def pause(self) -> RewardPausedError:
        """Return the error to raise when the limit is reached."""
        message = f"{self._setting}={self._prices.max_cost:g} is spent: the judge has cost {self.cost:.6g} so far"
        return RewardPausedError(message, self._setting)

    def measures(self) -> Mapping[str, Measure]:
        """Return this process's part of the totals so far.

        If the run had more processes before, their totals are divided among the present ones.
        """
        (row,) = self._database.run(_MINE, (self._judge, self._processes, self._process))
        names = ("judge/input_tokens", "judge/output_tokens", "judge/cost")
        return {name: Measure(float(value)) for name, value in zip(names, row, strict=True)}

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._database.close()
