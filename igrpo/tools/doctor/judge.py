"""Memory of generative judges."""

from __future__ import annotations

from igrpo.config.schema import RunConfig
from igrpo.settings.reward import JudgeLocalConfig, JudgeVllmConfig, reward_parts
from igrpo.tools.doctor.activations import FLOAT32
from igrpo.tools.doctor.device import GIB, Component, on_cpu
from igrpo.tools.doctor.shape import UnknownShapeError
from igrpo.tools.doctor.shapes import named_shape


def judge_memory(config: RunConfig, limit: float) -> list[Component]:
    """Return the memory of generative judges in the trainer's process; a judge behind a URL needs none.

    For vLLM on a GPU, this is its granted share. Otherwise, it is the weights, if the sizes of the model are known
    (with the cache of vLLM on the CPU). The local engine's keys and values are left out, since the length of the
    judge's prompts is not known.
    """
    found: list[Component] = []
    for path, part in reward_parts(config.reward).items():
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
