"""Settings of the sampling engines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from igrpo.settings.base import Section


class LocalRolloutConfig(Section):
    """The engine in the trainer's process.

    Runs from before ``fast_decode``, ``max_packed_mib`` and ``prefix_caching`` existed have none of them.
    """

    name: Literal["local"]
    """Kind of engine: the local one, which samples with the trainer's own weights and a key-value cache."""

    max_batch_rows: PositiveInt
    """Maximum number of sequences decoded together. Lower it if memory is short."""

    pipeline: bool
    """True: a question may be refined while others are still drafted, which is faster and depends on timing. False:
    rounds are separate, and repetitions are bit-exact."""

    fast_decode: bool = False
    """True: on the CPU, decode Qwen2, Qwen3, Llama and Mistral models by a step that reads the prompt of a group once
    and has packed weights. Results are equal up to rounding. False, and other models: the model's own forward."""

    max_packed_mib: NonNegativeInt = 0
    """Maximum size of the packed copies of float32 weights, in MiB; they exist during a rollout only. 0: no copies."""

    prefix_caching: bool = False
    """True: compute the beginning that a refinement's prompt shares with its question's prompt once."""


class VllmEngineConfig(Section):
    """Settings shared by all vLLM engines."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    """Type of the engine's weights; `auto` is the trainer's precision, or for a judge the model's own type."""

    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)]
    """Share of the GPU's memory for the engine; the trainer's weights and optimizer state need the rest of the same
    GPU."""

    cpu_cache_gib: PositiveInt
    """Size of the key-value cache on a CPU, in GiB."""

    max_model_len: PositiveInt | None
    """Maximum length of prompt and completion together, in tokens. Null: what the token budgets need, or for a judge
    the model's longest context."""

    max_num_seqs: PositiveInt
    """Maximum number of sequences decoded together."""

    enforce_eager: bool
    """True: no CUDA graphs; the engine starts faster and decodes more slowly."""

    prefix_caching: bool
    """True: reuse the key-value cache of prompt beginnings that occurred before."""


class VllmConfig(VllmEngineConfig):
    """Settings shared by the vLLM engines that sample from the trainer's weights."""

    pipeline: bool
    """True: drafts and refinements share batches, which is faster; batches, and so the last bits, depend on timing.
    False: rounds are separate."""

    tensor_parallel: PositiveInt
    """Number of GPUs per engine."""

    canary_tolerance: PositiveFloat
    """Maximum mean difference between the log-probs of engine and trainer on a fixed text, in nats per token, checked
    after each weight sync. Beyond it the run ends."""

    entropy_completions: NonNegativeInt
    """Number of completions per group that go through the trainer once more to measure entropies, which vLLM does not
    report. 0: none."""


class VllmColocateConfig(VllmConfig):
    """vLLM in the trainer's process."""

    name: Literal["vllm_colocate"]
    """Kind of engine: vLLM in the trainer's process."""

    sleep: bool
    """True: free the engine's GPU memory while the trainer updates (CUDA only)."""


class VllmServerConfig(VllmConfig):
    """vLLM behind HTTP."""

    name: Literal["vllm_server"]
    """Kind of engine: vLLM behind HTTP."""

    url: str | None
    """Address of a server that `igrpo serve` has started, such as http://HOST:PORT. Null: the run starts its own."""

    host: str
    """Address on which the server listens."""

    port: Annotated[int, Field(ge=0, le=65535)]
    """Port on which the server listens. 0: any free port."""

    allow_remote: bool
    """True: allow addresses that other machines can reach. Set a key then."""

    api_key_env: str
    """Name of the environment variable with the key, on both sides. No key is used if it is not set."""

    transfer: Literal["auto", "path", "nccl"]
    """How weights get to the server: through files in `weights_dir` (`path`), by NCCL, or by NCCL if both sides have
    CUDA (`auto`)."""

    weights_dir: str | None
    """Folder that trainer and server can both access. Null: a folder of the run, for a server on the same machine."""

    data_parallel_size: PositiveInt = 1
    """Number of engines behind the address, each on `tensor_parallel` GPUs of its own."""

    concurrency: PositiveInt
    """Maximum number of requests at the same time, to all engines together."""

    request_timeout_s: PositiveFloat
    """Limit on each request, in seconds."""

    ready_timeout_s: PositiveFloat
    """Limit on the start or restart of a server, in seconds."""

    max_restarts: NonNegativeInt
    """Maximum number of times within one step that the run waits for a server that died."""


RolloutConfig = Annotated[LocalRolloutConfig | VllmColocateConfig | VllmServerConfig, Field(discriminator="name")]
