"""Settings of evaluation on held-out questions."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.settings.base import OpenShare, Section, TopP
from igrpo.settings.data import BenchmarkConfig


class EvaluationConfig(Section):
    """Evaluation on held-out questions.

    ``interval_width`` applies to the development split: sampling stops as soon as the 95 % interval of the single-shot
    accuracy, from end to end, is narrower than this share (0.1: ten percentage points), or at ``samples`` per question
    (see `igrpo.evaluation.evaluator`). Null: always ``samples``. The test split and the benchmarks, which decide
    comparisons, always take all samples. ``benchmarks`` are evaluated before and after training, single-shot, each with
    its own number of samples. ``max_completion_tokens`` null: the value of ``sampling``. ``reuse_first``: the
    evaluations before training are kept in the user's cache directory, and used by runs that would repeat them bit by
    bit. (Runs from before ``interval_width`` and ``reuse_first`` existed have none.)
    """

    every: PositiveInt
    questions: PositiveInt
    samples: PositiveInt
    interval_width: OpenShare | None = None
    temperature: PositiveFloat
    top_p: TopP
    top_k: NonNegativeInt
    greedy: bool
    draft_conditioned: bool
    oracle_drafts: NonNegativeInt
    max_completion_tokens: PositiveInt | None
    reuse_first: bool = False
    benchmarks: dict[str, BenchmarkConfig]

    @property
    def shows_drafts(self) -> bool:
        """True if any evaluation prompt shows a draft."""
        return self.draft_conditioned or self.oracle_drafts > 0
