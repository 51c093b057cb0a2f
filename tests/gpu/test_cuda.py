"""Small whole runs on CUDA: precision, memory savers, several devices, and vLLM with sleep and NCCL."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from igrpo.models.byte_level import ByteLevelShape, make_byte_level_model
from igrpo.models.weights import fingerprint
from tests.end_to_end import runs

RUN = (
    "trainer.device=cuda", "trainer.steps=4", "trainer.questions_per_step=8", "evaluation.questions=8",
    "evaluation.samples=2", "evaluation.every=4", "checkpoint.every=2", "tracking=none", "trainer.learning_rate=1e-3",
)  # fmt: skip
#: The tiny model, with attention heads that vLLM computes.
SMALL = (*RUN, "model.hidden=64", "model.layers=2", "model.heads=2", "model.mlp=96", "model.warm_start.steps=120")

needs_two = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
needs_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="needs vLLM: pip install 'igrpo[vllm]'")
needs_8bit = pytest.mark.skipif(
    find_spec("bitsandbytes") is None, reason="needs bitsandbytes: pip install 'igrpo[gpu]'"
)


def check(folder: Path, *overrides: str, gap: float) -> None:
    """The run ends, has learnt, and sampler and trainer agree to ``gap`` nats on every trained token."""
    run_dir = folder / "run"
    runs.run(["train", f"hydra.run.dir={run_dir}", *SMALL, *overrides], folder)
    lines = [line for line in runs.metrics(run_dir) if "train/loss" in line]
    assert lines
    assert runs.summary(run_dir)["tokens"]["trained"] > 0
    assert max(line["train/sampler_logprob_gap_max"] for line in lines) < gap


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fingerprint_is_the_same_on_every_device(dtype: torch.dtype) -> None:
    value = torch.randn(3000, 3001, generator=torch.Generator().manual_seed(0))
    expected = fingerprint(value, dtype)
    assert fingerprint(value.cuda(), dtype) == fingerprint(value, dtype, torch.device("cuda")) == expected


@pytest.mark.parametrize(
    ("overrides", "gap"),
    [
        (("trainer.precision=fp32",), 1e-2),
        (("trainer.precision=bf16", "trainer.activation_checkpointing=true"), 0.5),
        (("trainer.precision=bf16", "lora=rank_16"), 0.5),
    ],
    ids=["fp32", "bf16, checkpointed", "bf16, adapters"],
)
def test_one_device(overrides: tuple[str, ...], gap: float, tmp_path: Path) -> None:
    check(tmp_path, *overrides, gap=gap)


@needs_vllm
@pytest.mark.skipif(find_spec("flash_attn") is None, reason="needs flash-attn")
def test_flash_attention(tmp_path: Path) -> None:
    make_byte_level_model(tmp_path / "model", ByteLevelShape(128, 2, 2, 256, 16384), 0, chat_template=True)
    flash = (
        "model=huggingface",
        f"model.name_or_path={tmp_path / 'model'}",
        "model.attention=flash_attention_2",
        "prompt=boxed",
        "sampling.max_completion_tokens=24",
    )
    several = ("trainer.precision=bf16", "rollout=vllm_colocate")
    runs.run(["train", f"hydra.run.dir={tmp_path / 'run'}", *RUN, *flash, *several], tmp_path)
    assert runs.summary(tmp_path / "run")["steps"] == 4


@pytest.mark.skipif("IGRPO_GPU_MODEL" not in os.environ, reason="needs IGRPO_GPU_MODEL=NAME, a model of the hub")
def test_a_model_of_the_hub(tmp_path: Path) -> None:
    name = ("model=huggingface", f"model.name_or_path={os.environ['IGRPO_GPU_MODEL']}", "prompt=think_answer")
    sizes = ("sampling.max_completion_tokens=256", "prompt.max_draft_tokens=256")
    runs.run(["train", f"hydra.run.dir={tmp_path / 'run'}", *RUN, *name, *sizes, "trainer.precision=bf16"], tmp_path)
    assert runs.summary(tmp_path / "run")["tokens"]["generated"] > 0


@needs_8bit
def test_8_bit_optimizer_state_is_saved_and_resumed(tmp_path: Path) -> None:
    check(tmp_path, "trainer.optimizer=adamw_8bit", gap=1e-2)
    runs.run(["train", f"resume={tmp_path / 'run'}", "trainer.steps=6"], tmp_path)
    assert runs.summary(tmp_path / "run")["steps"] == 6


@needs_two
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_devices(strategy: str, precision: str, tmp_path: Path) -> None:
    several = (f"trainer.strategy={strategy}", "trainer.devices=2", f"trainer.precision={precision}")
    check(tmp_path, *several, gap=1e-2 if precision == "fp32" else 0.5)


@needs_vllm
@pytest.mark.parametrize("rollout", ["vllm_colocate", "vllm_server"])
def test_vllm_on_the_trainers_device(rollout: str, tmp_path: Path) -> None:
    check(tmp_path, f"rollout={rollout}", "rollout.gpu_memory_utilization=0.3", "rollout.enforce_eager=true", gap=0.05)
