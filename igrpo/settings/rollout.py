"""Settings of the sampling engines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.settings.base import Section


class LocalRolloutConfig(Section):
    """The engine in the trainer's process.

    ``fast_decode``: on the CPU, decode Qwen2, Qwen3, Llama and Mistral models by a step that reads the prompt of a
    group once and has packed weights; other models, and all models if it is false, decode by their own forward. Results
    are equal up to rounding. ``max_packed_mib`` limits the packed copies of float32 weights, in MiB (0: no copies),
    which exist during a rollout only. ``prefix_caching``: the prompt of a refinement is computed from the end of its
    question's prompt on. (Runs from before these existed have none of them.)
    """

    name: Literal["local"]
    max_batch_rows: PositiveInt
    pipeline: bool
    fast_decode: bool = False
    max_packed_mib: NonNegativeInt = 0
    prefix_caching: bool = False


class VllmEngineConfig(Section):
    """Settings shared by all vLLM engines. ``max_model_len``: maximum length of prompt and completion, in tokens."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)]
    cpu_cache_gib: PositiveInt
    max_model_len: PositiveInt | None
    max_num_seqs: PositiveInt
    enforce_eager: bool
    prefix_caching: bool


class VllmConfig(VllmEngineConfig):
    """A vLLM engine that samples from the trainer's weights.

    ``entropy_completions`` completions of each group go through the trainer once more to measure entropies, which vLLM
    does not report. ``canary_tolerance`` is the maximum mean difference, in nats per token, between the log-probs of
    engine and trainer on the same text, checked after each weight sync.
    """

    pipeline: bool
    tensor_parallel: PositiveInt
    canary_tolerance: PositiveFloat
    entropy_completions: NonNegativeInt


class VllmColocateConfig(VllmConfig):
    """vLLM in the trainer's process. ``sleep``: free its memory while the trainer updates (CUDA only)."""

    name: Literal["vllm_colocate"]
    sleep: bool


class VllmServerConfig(VllmConfig):
    """vLLM behind HTTP. ``url`` null: the run starts its own server on ``host`` and ``port`` (0: a free port).

    ``weights_dir`` is a folder that trainer and server can both access (null: a folder of the run, for a server on the
    same machine). ``api_key_env`` names the environment variable that holds the key. ``max_restarts`` is the maximum
    number of times within one step that the run waits for a server that died, up to ``ready_timeout_s`` each time.
    ``data_parallel_size`` is the number of engines behind the address, each on ``tensor_parallel`` GPUs of its own.
    """

    name: Literal["vllm_server"]
    url: str | None
    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    allow_remote: bool
    api_key_env: str
    transfer: Literal["auto", "path", "nccl"]
    weights_dir: str | None
    data_parallel_size: PositiveInt = 1
    concurrency: PositiveInt
    request_timeout_s: PositiveFloat
    ready_timeout_s: PositiveFloat
    max_restarts: NonNegativeInt


RolloutConfig = Annotated[LocalRolloutConfig | VllmColocateConfig | VllmServerConfig, Field(discriminator="name")]
