"""What the vLLM engines are started with, by the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import (
    AutoConfig,
    AutoTokenizer,
    DeepseekV3Config,
    GptOssConfig,
    LlamaConfig,
    MixtralConfig,
    Qwen3Config,
    Qwen3MoeConfig,
)

from igrpo.assembly import build_policy, build_prompts
from igrpo.assembly.policy import Policy
from igrpo.assembly.vllm import (
    build_vllm_engine,
    check_cpu_experts,
    check_cpu_heads,
    longest_sequence,
    served_model,
    with_trainer_dtype,
)
from igrpo.generation.vllm.server import VllmServerEngine
from tests.composed import config

BYTES = ("model=byte_level", "rollout=vllm_server")


@pytest.fixture(scope="module")
def policy() -> Policy:
    from rich.console import Console

    return build_policy(config(None, *BYTES), Console(quiet=True))


def test_the_engine_takes_the_longest_row_of_the_run(policy: Policy) -> None:
    def longest(**changes: Any) -> int:
        made = config({key.replace("__", "."): value for key, value in changes.items()}, *BYTES)
        return longest_sequence(made, build_prompts(made.prompt, policy.tokenizer))

    base = longest(evaluation__max_completion_tokens=None)
    completion = config(None, *BYTES).sampling.max_completion_tokens
    assert longest(evaluation__max_completion_tokens=completion + 7) == base + 7
    assert longest(evaluation__max_completion_tokens=1) == base  # training is the longer one then
    assert longest(rollout__max_model_len=base + 1) == base + 1
    with pytest.raises(ValueError, match=rf"rollout\.max_model_len={base - 1} is too low.*{base} tokens"):
        longest(rollout__max_model_len=base - 1)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_the_dtype_follows_the_trainers(precision: str, dtype: str) -> None:
    made = config({"trainer.precision": precision}, *BYTES)
    assert with_trainer_dtype(made.rollout, made).dtype == dtype  # type: ignore[type-var]
    given = config({"trainer.precision": precision, "rollout.dtype": "float16"}, *BYTES)
    assert with_trainer_dtype(given.rollout, given).dtype == "float16"  # type: ignore[type-var]


def test_a_model_without_a_directory_gets_one(policy: Policy, tmp_path: Path) -> None:
    served = served_model(config(None, *BYTES), policy, tmp_path / "model")
    assert AutoConfig.from_pretrained(served.path).to_dict()["hidden_size"] == policy.model.config.hidden_size
    text = "2 + 3, é"
    assert AutoTokenizer.from_pretrained(served.path).encode(text) == policy.tokenizer.encode(text)
    assert list(Path(served.path).glob("*.safetensors")) == []


def test_heads_that_vllm_cannot_compute_on_a_cpu_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    check_cpu_heads(LlamaConfig(hidden_size=128, num_attention_heads=4))
    check_cpu_heads(Qwen3Config(hidden_size=96, num_attention_heads=4, head_dim=64))
    with pytest.raises(ValueError, match=r"heads of 24 values.*32, 64"):
        check_cpu_heads(LlamaConfig(hidden_size=96, num_attention_heads=4))


def test_several_engines_of_a_mixture_of_experts_are_refused_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    experts = [Qwen3MoeConfig(), MixtralConfig(), DeepseekV3Config(), GptOssConfig()]
    for model_config in (*experts, Qwen3Config(), LlamaConfig()):
        check_cpu_experts(model_config, 1)
    for model_config in (Qwen3Config(), LlamaConfig()):
        check_cpu_experts(model_config, 2)
    for model_config in experts:
        with pytest.raises(
            ValueError, match=rf"rollout\.data_parallel_size=2: .*\({model_config.model_type}\); set it to 1"
        ):
            check_cpu_experts(model_config, 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    check_cpu_experts(experts[0], 2)


def test_a_server_that_runs_already_needs_no_vllm_here(policy: Policy, tmp_path: Path) -> None:
    made = config({"rollout.url": "http://127.0.0.1:9"}, *BYTES)
    engine = build_vllm_engine(made, policy, build_prompts(made.prompt, policy.tokenizer), tmp_path)
    assert isinstance(engine, VllmServerEngine)
    engine.close()
    wrong = config({"rollout.url": "127.0.0.1:9"}, *BYTES)
    with pytest.raises(ValueError, match=r"rollout\.url=127.0.0.1:9: must be an address"):
        build_vllm_engine(wrong, policy, build_prompts(made.prompt, policy.tokenizer), tmp_path)


@pytest.mark.parametrize("name", ["vllm_server", "vllm_colocate"])
def test_a_machine_without_vllm_is_told(
    name: str, policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("igrpo.generation.vllm.environment.find_spec", lambda name: None)
    made = config(None, "model=byte_level", f"rollout={name}")
    with pytest.raises(ValueError, match=r"pip install 'igrpo\[vllm\]'"):
        build_vllm_engine(made, policy, build_prompts(made.prompt, policy.tokenizer), tmp_path)
    assert list(tmp_path.iterdir()) == []
