"""Factories of the vLLM engines, and the settings that they and `igrpo serve` start with."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import torch

from igrpo import distributed
from igrpo.assembly.lengths import longest_prompt
from igrpo.assembly.policy import Policy
from igrpo.config.facts import most_evaluated_tokens
from igrpo.config.schema import RunConfig
from igrpo.generation.base import Engine
from igrpo.generation.vllm.colocate import VllmColocateEngine
from igrpo.generation.vllm.environment import require_vllm
from igrpo.generation.vllm.launch import api_key, start_server
from igrpo.generation.vllm.served import ServedModel
from igrpo.generation.vllm.server import VllmServerEngine
from igrpo.generation.vllm.supervisor import Supervisor
from igrpo.prompts.builder import PromptBuilder
from igrpo.settings.model import HuggingFaceModelConfig
from igrpo.settings.rollout import LocalRolloutConfig, VllmConfig, VllmServerConfig

#: Folder in the run's directory, and the server's log in it.
FOLDER, SERVER_LOG = "vllm", "server.log"

#: Attention head sizes that vLLM's CPU kernels support.
_CPU_HEAD_SIZES = frozenset({32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512})

#: Names under which configurations have the number of experts.
_EXPERTS = ("num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts")

Rollout = TypeVar("Rollout", bound=VllmConfig)


def build_vllm_engine(config: RunConfig, policy: Policy, prompts: PromptBuilder, run_dir: Path) -> Engine:
    """Build the engine of ``rollout=vllm_colocate`` or ``rollout=vllm_server``. All processes call this together.

    If the run has its own server, it is started here. The first weight sync waits until it is ready.

    Args:
        run_dir: folder for the server's log, and for weights that are transferred as files.

    Raises:
        ValueError: vLLM is not installed on the machine that has to run it, or cannot run the model.
    """
    rollout = config.rollout
    assert not isinstance(rollout, LocalRolloutConfig)
    longest = longest_sequence(config, prompts)
    folder = run_dir.absolute() / FOLDER
    if isinstance(rollout, VllmServerConfig):
        return _server_engine(config, with_trainer_dtype(rollout, config), policy, longest, folder)
    require_vllm()
    check_cpu_heads(policy.model.config)
    served = distributed.from_main(served_model(config, policy, folder / "model") if distributed.is_main() else None)
    assert served is not None
    return VllmColocateEngine(
        policy.model,
        policy.tokenizer,
        served,
        with_trainer_dtype(rollout, config),
        max_model_len=longest,
        seed=config.seed,
    )


def _server_engine(
    config: RunConfig, rollout: VllmServerConfig, policy: Policy, longest: int, folder: Path
) -> VllmServerEngine:
    weights_dir = folder / "weights" if rollout.weights_dir is None else Path(rollout.weights_dir).expanduser()
    server: Supervisor | None = None
    if rollout.url is None:
        if config.trainer.device != "cpu" and config.processes > 1 and torch.cuda.is_available():
            raise ValueError(
                f"rollout.url=null: a server of the run's own would take the devices of its {config.processes} "
                "trainer processes; start `igrpo serve` elsewhere (another node, or CUDA_VISIBLE_DEVICES) and give "
                "rollout.url, or use rollout=vllm_colocate"
            )
        if distributed.is_main():
            require_vllm()
            check_cpu_heads(policy.model.config)
            check_cpu_experts(policy.model.config, rollout.data_parallel_size)
            own = rollout.model_copy(update={"weights_dir": str(weights_dir.absolute())})
            served = served_model(config, policy, folder / "model")
            server = start_server(served, own, max_model_len=longest, seed=config.seed, log_file=folder / SERVER_LOG)
    elif urlsplit(rollout.url).scheme not in {"http", "https"} or not urlsplit(rollout.url).hostname:
        raise ValueError(f"rollout.url={rollout.url}: must be an address such as http://127.0.0.1:8000")
    url, session = distributed.from_main((server.url if server else rollout.url, uuid.uuid4().hex[:12]))
    assert url is not None
    return VllmServerEngine(
        policy.model,
        policy.tokenizer,
        rollout,
        url=url,
        api_key=api_key(rollout),
        session=session,
        weights_dir=weights_dir,
        max_model_len=longest,
        server=server,
    )


def longest_sequence(config: RunConfig, prompts: PromptBuilder) -> int:
    """Return ``rollout.max_model_len``, or if it is null the most tokens of a prompt with its completion.

    Both training and evaluation count.

    Raises:
        ValueError: the setting is lower than that.
    """
    trained = longest_prompt(config, prompts)
    evaluated = max(trained, prompts.max_prompt_tokens(drafts=config.evaluation.most_drafts_shown))
    needed = max(trained + config.sampling.max_completion_tokens, evaluated + most_evaluated_tokens(config))
    assert not isinstance(config.rollout, LocalRolloutConfig)
    given = config.rollout.max_model_len
    if given is not None and given < needed:
        raise ValueError(
            f"rollout.max_model_len={given} is too low: a prompt and its completion can have {needed} tokens; raise "
            "it, or set it to null"
        )
    return needed if given is None else given


def with_trainer_dtype(rollout: Rollout, config: RunConfig) -> Rollout:
    """Replace ``dtype=auto`` by the dtype in which the trainer computes."""
    if rollout.dtype != "auto":
        return rollout
    dtype = "bfloat16" if config.trainer.precision == "bf16" else "float32"
    return rollout.model_copy(update={"dtype": dtype})


def served_model(config: RunConfig, policy: Policy, folder: Path) -> ServedModel:
    """Describe the model that vLLM is started with.

    For a model without a directory, configuration and tokenizer are written to ``folder``, without the weights. This
    includes GGUF files, because vLLM looks for a configuration next to them.
    """
    model = config.model
    if isinstance(model, HuggingFaceModelConfig) and model.gguf_file is None:
        return ServedModel.named(model.name_or_path, model.revision, trust_remote_code=model.trust_remote_code)
    folder.mkdir(parents=True, exist_ok=True)
    policy.model.config.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return ServedModel(str(folder.absolute()))


def check_cpu_heads(model_config: Any) -> None:
    """Check that vLLM supports the model's attention head size on a CPU. With a GPU nothing is checked.

    Raises:
        ValueError: it does not; the message gives the size and the supported sizes.
    """
    if torch.cuda.is_available():
        return
    config = model_config.get_text_config(decoder=True)
    own = config.to_dict().get("head_dim")
    size = int(own) if own else config.hidden_size // config.num_attention_heads
    if size not in _CPU_HEAD_SIZES:
        raise ValueError(
            f"the model has attention heads of {size} values, and vLLM on a CPU computes heads of "
            f"{', '.join(map(str, sorted(_CPU_HEAD_SIZES)))}: use rollout=local, or another shape (model=tiny: hidden "
            "divided by heads)"
        )


def check_cpu_experts(model_config: Any, data_parallel_size: int) -> None:
    """Check that vLLM can run several engines of the model on a CPU. With a GPU nothing is checked.

    Engines of a mixture-of-experts model share its experts, which takes a collective that vLLM has on GPUs only.

    Raises:
        ValueError: it cannot; the message names the setting.
    """
    if torch.cuda.is_available() or data_parallel_size == 1:
        return
    config = model_config.get_text_config(decoder=True)
    if any(getattr(config, name, None) for name in _EXPERTS):
        raise ValueError(
            f"rollout.data_parallel_size={data_parallel_size}: on a CPU vLLM does not run several engines of a "
            f"mixture-of-experts model ({config.model_type}); set it to 1"
        )
