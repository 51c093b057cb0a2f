"""Settings of the verifier of mathematical answers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from igrpo.settings.base import Section


class MathVerifyConfig(Section):
    """Settings of the rule-based verifier.

    Of every reward: ``scores_all`` is True if each completion gets a score, so that none leaves its group, and
    ``repeatable`` if the same completion gets the same score in every run.
    """

    name: Literal["math_verify"]
    """Kind of reward: 1 if the answer equals the gold answer by rules and computer algebra, otherwise 0."""

    scores_all: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    answer_format: tuple[Literal["boxed", "answer_tag", "last_line"], ...] = Field(strict=False, min_length=1)
    """Where the answer is: in a box (`boxed`), in `<answer>` tags (`answer_tag`), or on the last line (`last_line`, if
    the text marks no answer). With several forms, the last answer counts."""

    percent: Literal["strict", "number", "value", "any"]
    r"""Other values that `28\%` equals: none (`strict`), 28 (`number`), 0.28 (`value`), or both (`any`)."""

    base_subscript: Literal["required", "optional"]
    """Treatment of a base that one side leaves out: `52_8` equals 52 (`optional`), or does not (`required`). Different
    bases never match."""

    unevaluated: Literal["rejected", "accepted"]
    r"""Treatment of unfinished work as an answer, such as `\gcd(12,18)`, a sum, or a formula of the problem
    itself."""

    workers: PositiveInt
    """Number of processes for ordinary comparisons; slow comparisons have as many again."""

    cpu_limit_s: PositiveFloat
    """Limit on a comparison, in seconds of CPU time, so that verdicts do not depend on other load."""

    wall_limit_s: PositiveFloat
    """Limit on a comparison in seconds of real time, in case a worker sleeps or swaps; at least twice `cpu_limit_s`."""

    memory_limit_mb: PositiveInt
    """Limit on the memory of each process, in MB."""

    max_answer_chars: PositiveInt
    """Maximum length of an answer, in characters. Longer answers are not compared."""

    cache_size: PositiveInt
    """Number of verdicts kept in memory."""
