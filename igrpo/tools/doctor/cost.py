"""Tokens, operations and GPU-hours of a step, by a simple model whose assumptions are all in `Assumptions`.

Training takes its operations at an assumed share of the device's peak. Sampling takes the larger of two times: what is
read from memory (the weights once a decode step, keys and values once a token) and what is computed. The stages of a
step, and sampling and training, follow each other; a device that waits is paid for. Left out are evaluation, weight
transfer, rewards that nobody overlaps, and start-up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from igrpo.config.facts import planned_steps
from igrpo.config.parts.algorithm import GRPOConfig, IGRPOConfig
from igrpo.config.parts.rollout import LocalRolloutConfig, VllmConfig, VllmServerConfig
from igrpo.config.parts.transfer import TruncateConfig
from igrpo.config.schema import RunConfig
from igrpo.models.flops import FORWARD_AND_BACKWARD, Work, decode_work, prefill_work, row_work
from igrpo.tools.doctor.activations import widths_of
from igrpo.tools.doctor.device import GIB
from igrpo.tools.doctor.engine import engine_memory
from igrpo.tools.doctor.memory import kv_bytes
from igrpo.tools.doctor.shape import Shape


@dataclass(frozen=True, slots=True)
class Device:
    """As its vendor's data sheet has it: memory in GiB, dense bfloat16 operations and bytes a second."""

    name: str
    memory: float
    flops: float
    bandwidth: float


DEVICES = {
    "a100": Device("A100 80 GB", 80, 312e12, 2.039e12),
    "h100": Device("H100 80 GB", 80, 989e12, 3.35e12),
    "h200": Device("H200 141 GB", 141, 989e12, 4.8e12),
    "l40s": Device("L40S 48 GB", 48, 362e12, 0.864e12),
}


#: Algorithms as a table calls them.
NAMES = {
    "grpo": "GRPO",
    "igrpo": "iGRPO",
    "critique_grpo": "Critique-GRPO",
    "self_verification": "Self-Verification",
}


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Attributes:
    device: what trains and samples.
    training_share, sampling_share: of the device's peak operations that training, and sampling, come to.
    bandwidth_share: of its bandwidth that decoding comes to.
    question_tokens: of a question with its layout, at most prompt.max_question_tokens.
    completion_tokens: of a completion, on average.
    server_devices: that a vLLM server runs on.
    """

    device: Device
    training_share: float
    sampling_share: float
    bandwidth_share: float
    question_tokens: int
    completion_tokens: int
    server_devices: int


def default_assumptions(config: RunConfig, device: Device) -> Assumptions:
    """40 % of the peak in training, half of it and 70 % of the bandwidth in sampling; questions of 256 tokens and
    completions of half of what they may have."""
    rollout = config.rollout
    return Assumptions(
        device=device,
        training_share=0.4,
        sampling_share=0.5,
        bandwidth_share=0.7,
        question_tokens=min(256, config.prompt.max_question_tokens),
        completion_tokens=max(1, config.sampling.max_completion_tokens // 2),
        server_devices=rollout.tensor_parallel if isinstance(rollout, VllmServerConfig) else 0,
    )


@dataclass(frozen=True, slots=True)
class Stage:
    """Samples of one stage: ``questions`` prompts of ``prompt`` tokens, ``samples`` completions of each.

    ``questions`` is a mean over steps, and need not be whole. ``trained_given`` are the tokens of the prompts that each
    is trained as an answer to (none: it is not).
    """

    questions: float
    samples: int
    prompt: int
    completion: int
    trained_given: tuple[int, ...]

    @property
    def prefill(self) -> Work:
        return _times(prefill_work(self.prompt), self.questions)

    @property
    def decode(self) -> Work:
        return _times(decode_work(self.prompt, self.completion), self.questions * self.samples)

    @property
    def generated(self) -> float:
        return self.questions * self.samples * self.completion


@dataclass(frozen=True, slots=True)
class StepCost:
    """Cost of a mean step, all devices together. ``flops`` are those that `igrpo.budget` counts."""

    samples: int
    trained_rows: int
    generated: int
    prefilled: int
    trained_tokens: int
    sampling_flops: float
    training_flops: float
    sampling_seconds: float
    training_seconds: float
    devices: int
    steps: int

    @property
    def flops(self) -> float:
        return self.sampling_flops + self.training_flops

    @property
    def seconds(self) -> float:
        return self.sampling_seconds + self.training_seconds

    @property
    def gpu_hours(self) -> float:
        """Of the whole run: every device for as long as it takes, busy or not."""
        return self.devices * self.seconds * self.steps / 3600


def step_cost(config: RunConfig, shape: Shape, assumed: Assumptions) -> StepCost:
    """What a step costs when completions have their assumed mean length."""
    stages = _stages(config, assumed)
    objective = config.objective
    only_best = objective.advantage.select == "best" and objective.kl_beta == 0 and not objective.has_entropy_bonus
    lessons = [
        (prompt, stage.completion, stage.questions * (1 if only_best else stage.samples))
        for stage in stages
        for prompt in stage.trained_given
    ]
    rows = sum(count for _, _, count in lessons)
    trained = sum((_times(row_work(prompt, length), count) for prompt, length, count in lessons), Work())
    forward = shape.flops.flops(trained)
    passes = (FORWARD_AND_BACKWARD + (config.objective.kl_beta > 0)) * config.trainer.epochs
    passes += config.updates_per_step > 1
    again = config.trainer.epochs if config.trainer.activation_checkpointing else 0
    computed = forward * (passes + again) / (assumed.device.flops * assumed.training_share)
    server = isinstance(config.rollout, VllmServerConfig)
    sampling = sum(shape.flops.flops(stage.prefill) + shape.flops.flops(stage.decode) for stage in stages)
    return StepCost(
        samples=round(sum(stage.questions * stage.samples for stage in stages)),
        trained_rows=round(rows),
        generated=round(sum(stage.generated for stage in stages)),
        prefilled=sum(stage.prefill.tokens for stage in stages),
        trained_tokens=trained.tokens * config.trainer.epochs,
        sampling_flops=sampling,
        training_flops=forward * passes,
        sampling_seconds=sum(_sampling_seconds(config, shape, assumed, stage) for stage in stages),
        training_seconds=computed / config.processes,
        devices=config.processes + (assumed.server_devices if server else 0),
        steps=planned_steps(config),
    )


def both_algorithms(config: RunConfig) -> dict[str, RunConfig]:
    """GRPO and iGRPO at the same samples; the run itself in the place of the one that it is."""
    total = config.completions_per_question
    grpo = GRPOConfig(name="grpo", answers=total)
    igrpo = IGRPOConfig(
        name="igrpo",
        drafts=total // 2,
        rounds=1,
        show=1,
        selection="best",
        ties="random",
        all_failed="show",
        train_on=("refine",),
        joint_baseline=False,
        transfer=TruncateConfig(method="truncate", level="token", cap=1.0),
        bare_fraction=0.0,
    )
    own = {config.algorithm.name: config.algorithm}
    chosen = {one.name: own.get(one.name, one) for one in (grpo, igrpo)}
    return {NAMES[name]: config.model_copy(update={"algorithm": one}) for name, one in chosen.items()}


def compared_runs(config: RunConfig) -> dict[str, RunConfig]:
    """Both, and the run itself where it is neither."""
    return both_algorithms(config) | {NAMES[config.algorithm.name]: config}


def _stages(config: RunConfig, assumed: Assumptions) -> list[Stage]:
    """At most these: critiques and verifications may be fewer, as the data turn out."""
    questions, completion, algorithm = config.trainer.questions_per_step, assumed.completion_tokens, config.algorithm
    mean = algorithm.answered_once(questions)
    once = int(mean) if mean.denominator == 1 else float(mean)

    def prompt(texts: int) -> int:
        return assumed.question_tokens + texts * min(completion, config.prompt.max_draft_tokens)

    answered = [Stage(once, config.samples_per_question, prompt(0), completion, (prompt(0),))] if once else []
    return answered + [
        Stage(questions - once, one.each, prompt(one.texts), completion, tuple(map(prompt, one.given)))
        for one in config.sampled
        for _ in range(one.prompts)
    ]


def _sampling_seconds(config: RunConfig, shape: Shape, assumed: Assumptions, stage: Stage) -> float:
    """A stage: the longest completion runs to its limit, so that many decode steps read the weights."""
    rollout = config.rollout
    split = rollout.tensor_parallel if isinstance(rollout, VllmConfig) else 1
    devices = assumed.server_devices if isinstance(rollout, VllmServerConfig) else config.processes
    engines = max(1, devices // split)
    rows = math.ceil(stage.questions * stage.samples / engines)
    width = 2 if config.trainer.precision == "bf16" else widths_of(config).compute
    waves = math.ceil(rows / _rows_at_a_time(config, shape, assumed, stage))
    weights = shape.parameters * width / split
    read = waves * config.sampling.max_completion_tokens * weights
    read += (stage.decode.attended / engines) * kv_bytes(shape, width) / split
    flops = (shape.flops.flops(stage.decode) + shape.flops.flops(stage.prefill)) / (engines * split)
    device = assumed.device
    return max(read / (device.bandwidth * assumed.bandwidth_share), flops / (device.flops * assumed.sampling_share))


def _rows_at_a_time(config: RunConfig, shape: Shape, assumed: Assumptions, stage: Stage) -> int:
    """What the engine decodes together: its limit, or what its cache holds of sequences of this length."""
    rollout = config.rollout
    if isinstance(rollout, LocalRolloutConfig):
        return rollout.max_batch_rows
    engine = engine_memory(config, shape, assumed.device.memory * GIB)
    assert engine is not None, "rollout is vLLM"
    each = engine.token * (stage.prompt + stage.completion) + engine.state
    return max(1, min(rollout.max_num_seqs, int(engine.cache / each)))


def _times(work: Work, count: float) -> Work:
    return Work(round(work.tokens * count), round(work.attended * count), round(work.logits * count))
