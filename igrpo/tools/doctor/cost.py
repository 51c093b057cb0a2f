"""Estimate of tokens, operations and GPU-hours per step, by a simple model with the parameters in `Assumptions`.

Training runs at an assumed share of the device's peak operations. The time of sampling is the larger of memory reads
(the weights once per decode step, keys and values once per token) and computation. Sampling rounds run one after the
other, then the training of the step; idle devices count towards GPU-hours. Evaluation, weight transfer, rewards that do
not overlap with sampling, and start-up are not included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from omegaconf import OmegaConf
from pydantic import TypeAdapter

from igrpo.algorithms.registry import BASELINE, AlgorithmConfig
from igrpo.config.composing.folders import shipped
from igrpo.config.composing.resolvers import register
from igrpo.config.facts import planned_steps
from igrpo.config.schema import RunConfig
from igrpo.models.flops import FORWARD_AND_BACKWARD, Work, decode_work, prefill_work, row_work
from igrpo.settings.rollout import LocalRolloutConfig, VllmConfig, VllmServerConfig
from igrpo.tools.doctor.activations import widths_of
from igrpo.tools.doctor.device import GIB, Device
from igrpo.tools.doctor.engine import engine_memory
from igrpo.tools.doctor.memory import kv_bytes
from igrpo.tools.doctor.shape import Shape

#: The algorithms that this project compares.
_COMPARED = (BASELINE, "igrpo")
_ALGORITHM: TypeAdapter[AlgorithmConfig] = TypeAdapter(AlgorithmConfig)


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Parameters of the cost model.

    Attributes:
        device: device that trains and samples.
        training_share, sampling_share: share of the device's peak operations reached in training and in sampling.
        bandwidth_share: share of its bandwidth reached in decoding.
        question_tokens: tokens per question with its layout, at most prompt.max_question_tokens.
        completion_tokens: mean tokens per completion.
        server_devices: number of devices of the vLLM server.
    """

    device: Device
    training_share: float
    sampling_share: float
    bandwidth_share: float
    question_tokens: int
    completion_tokens: int
    server_devices: int


def default_assumptions(config: RunConfig, device: Device) -> Assumptions:
    """Return the default assumptions.

    These are 40 % of the peak in training, 50 % of the peak and 70 % of the bandwidth in sampling, questions of 256
    tokens, and completions of half their maximum length.
    """
    rollout = config.rollout
    return Assumptions(
        device=device,
        training_share=0.4,
        sampling_share=0.5,
        bandwidth_share=0.7,
        question_tokens=min(256, config.prompt.max_question_tokens),
        completion_tokens=max(1, config.sampling.max_completion_tokens // 2),
        server_devices=_server_devices(rollout) if isinstance(rollout, VllmServerConfig) else 0,
    )


def _server_devices(rollout: VllmServerConfig) -> int:
    return rollout.tensor_parallel * rollout.data_parallel_size


@dataclass(frozen=True, slots=True)
class SampledRound:
    """Samples of one round: ``questions`` prompts of ``prompt`` tokens, with ``samples`` completions each.

    ``questions`` is a mean over steps and may be fractional. ``trained_given`` has the lengths in tokens of the prompts
    that each completion is trained as an answer to (empty: it is not trained).
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
    """Mean cost per step, summed over devices. ``flops`` are the operations that `igrpo.budget` counts."""

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
        """GPU-hours of the whole run, including idle devices."""
        return self.devices * self.seconds * self.steps / 3600


def step_cost(config: RunConfig, shape: Shape, assumed: Assumptions) -> StepCost:
    """Return the cost per step if completions have their assumed mean length."""
    rounds = _rounds(config, assumed)
    objective = config.objective
    only_best = objective.advantage.select == "best" and objective.kl_beta == 0 and not objective.has_entropy_bonus
    trained_rows = [
        (prompt, sampled.completion, sampled.questions * (1 if only_best else sampled.samples))
        for sampled in rounds
        for prompt in sampled.trained_given
    ]
    rows = sum(count for _, _, count in trained_rows)
    trained = sum((_times(row_work(prompt, length), count) for prompt, length, count in trained_rows), Work())
    forward = shape.flops.flops(trained)
    passes = (FORWARD_AND_BACKWARD + (config.objective.kl_beta > 0)) * config.trainer.epochs
    passes += config.updates_per_step > 1
    again = config.trainer.epochs if config.trainer.activation_checkpointing else 0
    computed = forward * (passes + again) / (assumed.device.flops * assumed.training_share)
    server = isinstance(config.rollout, VllmServerConfig)
    sampling = sum(shape.flops.flops(sampled.prefill) + shape.flops.flops(sampled.decode) for sampled in rounds)
    return StepCost(
        samples=round(sum(sampled.questions * sampled.samples for sampled in rounds)),
        trained_rows=round(rows),
        generated=round(sum(sampled.generated for sampled in rounds)),
        prefilled=sum(sampled.prefill.tokens for sampled in rounds),
        trained_tokens=trained.tokens * config.trainer.epochs,
        sampling_flops=sampling,
        training_flops=forward * passes,
        sampling_seconds=sum(_sampling_seconds(config, shape, assumed, sampled) for sampled in rounds),
        training_seconds=computed / config.processes,
        devices=config.processes + (assumed.server_devices if server else 0),
        steps=planned_steps(config),
    )


def both_algorithms(config: RunConfig) -> dict[str, RunConfig]:
    """Return GRPO and iGRPO with equal samples per question; the run's own settings replace those of its algorithm."""
    own: dict[str, AlgorithmConfig] = {config.algorithm.name: config.algorithm}
    chosen = [own.get(name) or _shipped(name, config.completions_per_question) for name in _COMPARED]
    return {one.title: config.model_copy(update={"algorithm": one}) for one in chosen}


def _shipped(name: str, total: int) -> AlgorithmConfig:
    """Return an algorithm with the values of conf/algorithm."""
    register()
    file = OmegaConf.load(shipped("conf") / "algorithm" / f"{name}.yaml")
    values = OmegaConf.create({"completions_per_question": total, "algorithm": file})
    return _ALGORITHM.validate_python(OmegaConf.to_container(values.algorithm, resolve=True))


def compared_runs(config: RunConfig) -> dict[str, RunConfig]:
    """Return GRPO, iGRPO, and the run itself if it is neither."""
    return both_algorithms(config) | {config.algorithm.title: config}


def _rounds(config: RunConfig, assumed: Assumptions) -> list[SampledRound]:
    """Return the sampling rounds of a step; the numbers of critiques and verifications are upper bounds."""
    questions, completion, plan = config.trainer.questions_per_step, assumed.completion_tokens, config.plan
    mean = questions * plan.other_share
    once = int(mean) if mean.denominator == 1 else float(mean)

    def prompt(texts: int) -> int:
        return assumed.question_tokens + texts * min(completion, config.prompt.max_draft_tokens)

    return [
        SampledRound(count, part.per_prompt, prompt(part.shown), completion, tuple(map(prompt, part.trained)))
        for count, parts in ((once, plan.other), (questions - once, plan.parts))
        for part in parts
        for _ in range(part.prompts)
    ]


def _sampling_seconds(config: RunConfig, shape: Shape, assumed: Assumptions, sampled: SampledRound) -> float:
    """Return the sampling time of a round.

    The longest completion is assumed to reach its limit, so that this number of decode steps reads the weights.
    """
    rollout = config.rollout
    split = rollout.tensor_parallel if isinstance(rollout, VllmConfig) else 1
    devices = assumed.server_devices if isinstance(rollout, VllmServerConfig) else config.processes
    engines = max(1, devices // split)
    rows = math.ceil(sampled.questions * sampled.samples / engines)
    width = 2 if config.trainer.precision == "bf16" else widths_of(config).compute
    waves = math.ceil(rows / _rows_at_a_time(config, shape, assumed, sampled))
    weights = shape.parameters * width / split
    read = waves * config.sampling.max_completion_tokens * weights
    read += (sampled.decode.attended / engines) * kv_bytes(shape, width) / split
    flops = (shape.flops.flops(sampled.decode) + shape.flops.flops(sampled.prefill)) / (engines * split)
    device = assumed.device
    return max(read / (device.bandwidth * assumed.bandwidth_share), flops / (device.flops * assumed.sampling_share))


def _rows_at_a_time(config: RunConfig, shape: Shape, assumed: Assumptions, sampled: SampledRound) -> int:
    """Return the number of rows decoded together: the engine's limit, or the sequences that fit its cache."""
    rollout = config.rollout
    if isinstance(rollout, LocalRolloutConfig):
        return rollout.max_batch_rows
    engine = engine_memory(config, shape, assumed.device.memory * GIB)
    assert engine is not None, "rollout is vLLM"
    each = engine.token * (sampled.prompt + sampled.completion) + engine.state
    return max(1, min(rollout.max_num_seqs, int(engine.cache / each)))


def _times(work: Work, count: float) -> Work:
    return Work(round(work.tokens * count), round(work.attended * count), round(work.logits * count))
