"""Memory of one training device, component by component.

The peak is the sum of the ``resident`` components and the largest of the ``phases``, of which only one is active at a
time. ``OVERHEAD`` is an assumption, since it cannot be computed: the device's context, libraries, and memory that the
allocator leaves unused.
"""

from __future__ import annotations

import math

from igrpo.config.checks import longest_row
from igrpo.config.schema import RunConfig
from igrpo.settings.judge import JudgeLocalConfig, JudgeVllmConfig
from igrpo.settings.rollout import LocalRolloutConfig, VllmColocateConfig
from igrpo.settings.trainer import rows_of_logits
from igrpo.tools.doctor.activations import (
    FLOAT32,
    Widths,
    chunk_bytes,
    saved_by,
    weight_bytes,
    widths_of,
)
from igrpo.tools.doctor.device import GIB, Component, DeviceMemory, Phase, on_cpu
from igrpo.tools.doctor.shape import Shape, UnknownShapeError, named_shape

#: Context, libraries and fragmentation, for a CUDA device and for a process on the CPU.
OVERHEAD, CPU_OVERHEAD = 2 * GIB, 1 * GIB

#: Number of layers that fully_shard holds gathered at a time: the current one and the prefetched one.
_GATHERED_LAYERS = 2

#: A gradient bucket of `training.gradients`, and its sum.
_BUCKETS = 2 * 2**26

#: Bytes of AdamW's two moments per byte of weight (they have the weight's type), and of the 8-bit moments per weight,
#: with one float32 scale per 256 weights.
_MOMENTS = 2
_MOMENTS_8BIT = 2 * (1 + FLOAT32 / 256)

#: Bytes per row and vocabulary entry in a decode step of the local engine: logits, probabilities, and temporaries.
_DECODE_LOGITS = 3 * FLOAT32


def trainer_memory(config: RunConfig, shape: Shape, limit: float) -> DeviceMemory:
    """Return the memory of each training device, which has ``limit`` bytes."""
    widths = widths_of(config)
    resident = [*_weights(config, shape, widths), *_colocated(config, limit, while_training=True)]
    resident += _judges(config, limit)
    overhead = Component("context, libraries, fragmentation", CPU_OVERHEAD if on_cpu(config) else OVERHEAD, "assumed")
    resident.append(overhead)
    phases = [*_backward(config, shape, widths), _optimizer_step(config, shape), _rollout(config, shape, widths, limit)]
    return DeviceMemory(tuple(resident), tuple(phases), limit)


def host_bytes(config: RunConfig, shape: Shape) -> float:
    """Return the host memory per node while the model is loaded: each process reads all of it, then keeps its share."""
    copies = 2 if config.objective.kl_beta > 0 else 1
    return config.trainer.devices * copies * shape.parameters * widths_of(config).weight


def trained_parameters(config: RunConfig, shape: Shape) -> int:
    """Return the number of trained parameters: all weights, or the adapters only."""
    return shape.adapter_parameters(config.lora.rank) if config.lora.rank else shape.parameters


def kv_bytes(shape: Shape, width: int) -> int:
    """Return the bytes of keys and values per token."""
    return width * shape.cached


def _weights(config: RunConfig, shape: Shape, widths: Widths) -> list[Component]:
    trainer, trained = config.trainer, trained_parameters(config, shape)
    parts = config.processes if trainer.strategy == "fsdp2" else 1
    width = FLOAT32 if config.lora.rank else widths.weight  # of trained parameters; adapters are float32
    all_weights = shape.parameters * widths.weight + (trained * width if config.lora.rank else 0)
    kind = _name(widths.weight)
    master = ", their own master copy" if widths.weight > widths.compute else ""
    shared = f", 1/{parts} on each device" if parts > 1 else ""
    found = [
        Component("weights", all_weights / parts, f"{kind}{master}{shared}"),
        Component("gradients", trained * width / parts, f"{trained:,} trained"),
    ]
    if trainer.optimizer == "adamw_8bit":
        found.append(Component("AdamW's moments", _MOMENTS_8BIT * trained / parts, "8 bits"))
    else:
        found.append(
            Component(
                "AdamW's moments", _MOMENTS * width * trained / parts, f"two, {'float32' if width == FLOAT32 else kind}"
            )
        )
    if config.objective.kl_beta > 0:
        frozen = shape.parameters * widths.weight / parts
        found.append(Component("reference model", frozen, f"objective.kl_beta={config.objective.kl_beta:g}"))
    if trainer.strategy == "fsdp2" and isinstance(config.rollout, LocalRolloutConfig):
        copy = shape.parameters * widths.weight
        found.append(Component("whole copy of the weights", copy, "rollout=local samples from it"))
    if trainer.strategy == "ddp" and config.processes > 1:
        found.append(Component("gradient buckets", _BUCKETS))
    return found


def _name(width: int) -> str:
    return "float32" if width == FLOAT32 else "bfloat16"


def _backward(config: RunConfig, shape: Shape, widths: Widths) -> list[Phase]:
    """Return the two phases of a micro-batch that can be its peak: at the head, and in the largest layer."""
    trainer = config.trainer
    attention = config.model.attention if config.model.name == "huggingface" else "sdpa"
    saved, row = saved_by(shape.model, widths, attention), longest_row(config)
    tokens = max(trainer.tokens_per_microbatch, row)
    rows = trainer.head_chunk or rows_of_logits(shape.vocabulary)
    each = [layer.per_token(row) for layer in saved.layers]
    # outside of the layers: what the model saves there, and the inputs of the output head
    outside = tokens * (saved.outside.per_token(row) + widths.residual * shape.hidden)
    transient = 2 * saved.widest  # gradients of activations, in transit
    chunk = chunk_bytes(shape.vocabulary, with_entropy=config.objective.has_entropy_bonus)
    logits = Component(
        "logits of a chunk", min(rows, tokens) * chunk, f"trainer.head_chunk={trainer.head_chunk or 'null'}"
    )
    gathered = _gathered(config, shape, widths)
    note = f"{tokens:,} tokens per micro-batch"
    if trainer.activation_checkpointing:
        kept = Component(
            "activations: inputs of the layers", tokens * widths.residual * shape.hidden * len(each) + outside, note
        )
        again = Component("activations: a layer recomputed", tokens * (max(each) + transient))
    else:
        copies = sum(layer.constant for layer in saved.layers)  # of weights, by autocast
        kept = Component("activations", tokens * sum(each) + outside + copies, note)
        again = Component("gradients of activations", tokens * transient)
    return [
        Phase("backward pass, at the head", (kept, logits, *gathered)),
        Phase("backward pass, in a layer", (kept, again, *gathered)),
    ]


def _gathered(config: RunConfig, shape: Shape, widths: Widths) -> list[Component]:
    """Return the parameters that fully_shard gathers: both ends permanently, layers one at a time.

    Gradients are reduced in float32.
    """
    if config.trainer.strategy != "fsdp2":
        return []
    trains = config.lora.rank == 0
    each = widths.compute + (widths.compute + FLOAT32 if trains else 0)
    largest = max(layer.parameters for layer in shape.layers)
    layers = largest * (widths.compute * _GATHERED_LAYERS + (widths.compute + FLOAT32 if trains else 0))
    return [
        Component("embedding and head, gathered", shape.ends * each, "with their gradients" if trains else ""),
        Component("layers, gathered", layers, "the one at work and the next"),
    ]


def _optimizer_step(config: RunConfig, shape: Shape) -> Phase:
    """Return the temporaries of AdamW: for all tensors at once on CUDA, for one tensor at a time on the CPU."""
    parts = config.processes if config.trainer.strategy == "fsdp2" else 1
    trained = trained_parameters(config, shape) / parts
    if on_cpu(config) or config.trainer.optimizer == "adamw_8bit":
        trained = min(trained, max(shape.embedding, shape.head) / parts)
    return Phase("optimizer step", (Component("temporaries", trained * weight_bytes(config)),))


def _rollout(config: RunConfig, shape: Shape, widths: Widths, limit: float) -> Phase:
    rollout = config.rollout
    if not isinstance(rollout, LocalRolloutConfig):
        return Phase("rollout", tuple(_colocated(config, limit, while_training=False)))
    asked = math.ceil(config.trainer.questions_per_step / config.processes) * max(
        part.per_prompt for part in config.plan.parts
    )
    rows = min(rollout.max_batch_rows, asked)
    width = widths.weight if config.trainer.strategy == "fsdp2" else widths.compute  # the copy is not cast
    cache = rows * (longest_row(config) * kv_bytes(shape, width) + shape.state_bytes)
    return Phase(
        "rollout",
        (
            Component("keys and values", cache, f"{rows} rows of {longest_row(config):,} tokens"),
            Component("logits of a decode step", rows * shape.vocabulary * _DECODE_LOGITS),
            *_packed_weights(config, rollout, shape, width),
        ),
    )


def _packed_weights(config: RunConfig, rollout: LocalRolloutConfig, shape: Shape, width: float) -> list[Component]:
    """Return the copies of weights that the fast decode path packs; families that it does not know need none."""
    if not (on_cpu(config) and rollout.fast_decode and width == FLOAT32 and config.lora.rank == 0):
        return []
    packed = FLOAT32 * (shape.parameters - (shape.embedding if shape.head else 0))
    limit = rollout.max_packed_mib << 20
    return [Component("packed weights", min(packed, limit), f"rollout.max_packed_mib={rollout.max_packed_mib}")]


def _colocated(config: RunConfig, limit: float, *, while_training: bool) -> list[Component]:
    """Return the memory of vLLM in the trainer's process: resident, or with ``sleep`` only during rollouts."""
    rollout = config.rollout
    if not isinstance(rollout, VllmColocateConfig) or on_cpu(config) or while_training == rollout.sleep:
        return []
    share = rollout.gpu_memory_utilization
    return [Component("vLLM", share * limit, f"rollout.gpu_memory_utilization={share:g}")]


def _judges(config: RunConfig, limit: float) -> list[Component]:
    """Return the memory of generative judges in the trainer's process; a judge behind a URL needs none.

    For vLLM on a GPU, this is its granted share. Otherwise, it is the weights, if the sizes of the model are known
    (with the cache of vLLM on the CPU). The local engine's keys and values are left out, since the length of the
    judge's prompts is not known.
    """
    found: list[Component] = []
    for path, part in config.single_rewards.items():
        if isinstance(part, JudgeVllmConfig) and not on_cpu(config):
            share = part.gpu_memory_utilization
            found.append(Component("judge", share * limit, f"{path}.gpu_memory_utilization={share:g}"))
        elif isinstance(part, JudgeVllmConfig):
            found.append(_judge_weights(part, path, part.cpu_cache_gib * GIB))
        elif isinstance(part, JudgeLocalConfig) and (on_cpu(config) or part.device != "cpu"):
            found.append(_judge_weights(part, path, 0))
    return found


def _judge_weights(part: JudgeLocalConfig | JudgeVllmConfig, path: str, cache: float) -> Component:
    try:
        shape = named_shape(part.model, f"{path}.model")
    except UnknownShapeError:
        return Component("judge", cache, f"its weights are not counted: the sizes of {path}.model are not known here")
    width = FLOAT32 if part.dtype == "float32" else FLOAT32 // 2  # auto is the model's own dtype, seldom float32
    return Component("judge", shape.parameters * width + cache, f"weights of {path}.model, {part.dtype}")
