"""Settings of evaluation on held-out questions."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.settings.base import OpenShare, Section, TopP
from igrpo.settings.benchmark import BenchmarkConfig
from igrpo.settings.validity import ContaminationConfig, SensitivityConfig


class HeldOutConfig(Section):
    """Settings of evaluation without those of test-time modes, which `igrpo.config.evaluation` adds.

    Runs from before ``sensitivity`` and ``contamination`` existed have none.
    """

    every: PositiveInt
    """Number of steps between evaluations of the development split. The test split and the benchmarks are evaluated
    before and after training."""

    questions: PositiveInt
    """Maximum number of questions per split."""

    samples: PositiveInt
    """Number of sampled answers per question, k of mean@k. More samples narrow the intervals and cost time."""

    interval_width: OpenShare | None = None
    """Development split only: stop sampling as soon as the 95 % interval of the single-shot accuracy, from end to end,
    is narrower than this share (0.1: ten percentage points). Null: always take all samples, as the test split and the
    benchmarks do."""

    temperature: PositiveFloat
    """Sampling temperature of evaluations; 1 leaves the model's distribution unchanged."""

    top_p: TopP
    """Sample from the smallest set of most likely tokens with this total probability. 1: from all tokens."""

    top_k: NonNegativeInt
    """Sample from this number of most likely tokens. 0: from all tokens."""

    greedy: bool
    """True: also one greedy answer per question."""

    draft_conditioned: bool
    """True: also show each sampled answer as a draft, and score one refinement of it."""

    oracle_drafts: NonNegativeInt
    """N > 0: also refine the best of N sampled answers by reward. The reward knows the gold answer, so this is an upper
    bound and not a deployable accuracy. 0: off."""

    max_completion_tokens: PositiveInt | None
    """Maximum length of a completion in evaluations, in tokens. Null: `sampling.max_completion_tokens`."""

    reuse_first: bool = False
    """True: keep the evaluations before training in the user's cache directory, for runs that would repeat them bit by
    bit. False in run directories written before this setting existed."""

    benchmarks: dict[str, BenchmarkConfig]
    """Additional test sets by name, each with its own number of samples. They are evaluated single-shot, before and
    after training. `+benchmark@evaluation.benchmarks.NAME=CHOICE` adds a file of conf/benchmark."""

    sensitivity: SensitivityConfig = Field(default_factory=SensitivityConfig)
    """Other prompts and temperatures, for `igrpo eval`."""

    contamination: ContaminationConfig = Field(default_factory=ContaminationConfig)
    """Probe for contamination, for `igrpo eval`."""

    @property
    def most_drafts_shown(self) -> int:
        """Maximum number of drafts in an evaluation prompt (0: none)."""
        return int(self.draft_conditioned or self.oracle_drafts > 0)
