"""Start, read and shut down vLLM's synchronous engine in the trainer's process."""

from __future__ import annotations

import gc
import os
from typing import Any

from igrpo import distributed
from igrpo.generation.vllm.environment import set_process_variables
from igrpo.generation.vllm.requests import VllmSample
from igrpo.generation.vllm.served import ServedModel
from igrpo.generation.vllm.worker import WORKER_EXTENSION
from igrpo.settings.rollout import VllmColocateConfig, VllmEngineConfig


def check_settings(config: VllmColocateConfig) -> None:
    """Raise if a setting does not work with vLLM in the trainer's process.

    Raises:
        ValueError: names the setting and what to do.
    """
    if config.tensor_parallel != 1:
        raise ValueError(
            f"rollout.tensor_parallel={config.tensor_parallel}: in the trainer's process vLLM runs on the trainer's "
            "device alone; set it to 1, or use rollout=vllm_server"
        )
    if config.dtype == "auto":
        raise ValueError("rollout.dtype=auto must be resolved before the engine is created")
    started_by_torchrun = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if started_by_torchrun and distributed.world() == 1:
        raise ValueError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']}, but torch.distributed is not initialised: the trainer's processes "
            "have to join their group before vLLM starts in them"
        )


def start_engine(
    served: ServedModel,
    config: VllmEngineConfig,
    max_model_len: int,
    seed: int,
    *,
    sleep: bool,
    own_weights: bool,
    constrained: bool,
) -> tuple[Any, bool]:
    """Start vLLM's engine, and return it with a flag that is True if it can sleep.

    With several processes, all must call this at the same point.

    Args:
        own_weights: load the weights of the model's directory; otherwise weights are uninitialised until the trainer
            sends them.
        constrained: allow constrained samples, as JSON without white space between its parts: a model may otherwise
            write white space forever.
    """
    set_process_variables(config)
    from vllm.config.structured_outputs import StructuredOutputsConfig
    from vllm.engine.arg_utils import EngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine

    can_sleep = sleep and bool(current_platform.is_cuda_alike())
    arguments = EngineArgs(
        model=served.path,
        revision=served.revision,
        trust_remote_code=served.trust_remote_code,
        skip_tokenizer_init=not constrained,  # tokens in, tokens out
        tokenizer_revision=served.revision,
        load_format="auto" if own_weights else "dummy",
        dtype=config.dtype,
        seed=seed,
        max_model_len=max_model_len,
        max_num_seqs=config.max_num_seqs,
        gpu_memory_utilization=config.gpu_memory_utilization,
        enforce_eager=config.enforce_eager,
        enable_prefix_caching=config.prefix_caching,
        # vLLM rewinds a generator's offset when a batch ends within a seeded prompt; CPU generators have no offset
        enable_chunked_prefill=False if current_platform.is_cpu() else None,
        enable_sleep_mode=can_sleep,
        logprobs_mode="processed_logprobs",
        generation_config="vllm",
        structured_outputs_config=StructuredOutputsConfig(backend="xgrammar", disable_any_whitespace=True),
        worker_extension_cls=WORKER_EXTENSION,
        # joins the process group of the trainer, with a tensor-parallel group of one per process
        distributed_executor_backend="external_launcher" if distributed.world() > 1 else "uni",
        disable_log_stats=True,
    )
    return LLMEngine.from_engine_args(arguments), can_sleep


def shut_down(engine: Any, *, group_is_vllms: bool) -> None:
    """Shut vLLM down, keeping a default group of torch.distributed that belongs to the trainer.

    vLLM's own shutdown also destroys the default group, so it is used only if that group is vLLM's.
    """
    client = engine.engine_core
    if group_is_vllms:
        client.shutdown()
        return
    from vllm.distributed.parallel_state import destroy_model_parallel

    client._finalizer.detach()  # it would destroy the group when the client is garbage-collected
    client.engine_core.model_executor.shutdown()
    client.engine_core.scheduler.shutdown()
    gc.unfreeze()  # vLLM froze all objects that existed when it started
    destroy_model_parallel()


def read_answer(output: Any) -> VllmSample:
    """Return the answer of a finished request of one sample."""
    (sample,) = output.outputs
    tokens = tuple(sample.token_ids)
    return VllmSample(
        token_ids=tokens,
        logprobs=tuple(float(at[token].logprob) for at, token in zip(sample.logprobs, tokens, strict=True)),
        cached_tokens=output.num_cached_tokens or 0,
        versions=tuple(span.version for span in sample.weight_versions or ()),
        finish_reason=sample.finish_reason,
    )
