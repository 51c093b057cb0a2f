"""Bytes worked out by hand, and measured on real models and optimizers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from igrpo.config import RunConfig
from igrpo.models.lora import add_adapters
from igrpo.tools.doctor.device import GIB, Component, DeviceMemory
from igrpo.tools.doctor.engine import ENGINE_OVERHEAD, engine_memory
from igrpo.tools.doctor.memory import OVERHEAD, host_bytes, trainer_memory
from igrpo.tools.doctor.shape import Shape, shape_of
from igrpo.training.optimizer import adamw
from tests.composed import config as composed

#: A run of a 7B model on 8 devices, on data of one's own.
SEVEN = (
    "model=deepseek_r1_distill_qwen_7b", "data=jsonl", "data.path=x", "prompt=think_answer", "trainer=fsdp2",
    "rollout=vllm_server", "model.attention=flash_attention_2", "sampling.max_completion_tokens=4096",
)  # fmt: skip
BYTES = ("model=byte_level", "prompt=boxed")
P = 7_615_616_512


def memory(config: RunConfig, limit: float = 80 * GIB) -> tuple[DeviceMemory, Shape]:
    shape = shape_of(config.model)
    return trainer_memory(config, shape, limit), shape


def named(found: DeviceMemory) -> dict[str, float]:
    return {
        part.name: part.bytes for part in (*found.resident, *(c for phase in found.phases for c in phase.components))
    }


def test_seven_billion_parameters_on_eight_devices_by_hand() -> None:
    """Float32 weights, gradients and two moments are 16 bytes a parameter, an eighth of which is on each device.

    Layer by layer, with hidden 3,584, MLP 18,944, 28 query and 4 key heads of 128, 32,768 tokens in bfloat16:
    """
    found, _ = memory(composed(None, *SEVEN))
    parts = named(found)
    assert parts["weights"] == parts["gradients"] == P * 4 / 8
    assert parts["AdamW's moments"] == P * 8 / 8
    tokens = 32_768
    # a layer's input, bfloat16; outside of them the last norm's float32 input, its output and scale, the head's input,
    # the token's id, and the cosines and sines of rotary positions
    outside = (4 + 2 + 2) * 3_584 + 4 + 8 + 2 * 2 * 128
    assert parts["activations: inputs of the layers"] == tokens * (28 * 2 * 3_584 + outside)
    norms = 2 * (6 * 3_584 + 4)
    attention = 2 * 3_584 + 2 * 2 * 3_584 + 4 * 28 + 2 * 2 * 512  # input; queries, output; sums; keys and values
    mlp = 2 * 3_584 + 4 * 2 * 18_944  # input; gate, its SiLU, up, their product
    assert parts["activations: a layer recomputed"] == tokens * (norms + attention + mlp + 2 * 2 * 18_944)
    assert parts["logits of a chunk"] == (2**27 // (4 * 152_064)) * 152_064 * 12
    ends = 2 * 152_064 * 3_584 + 3_584
    assert parts["embedding and head, gathered"] == ends * (2 + 2 + 4)  # weights, gradients, and these in float32
    layer = (2 * 3_584 * 3_584 + 2 * 3_584 * 512) + 3 * 3_584 * 18_944 + (3_584 + 2 * 512) + 2 * 3_584
    assert parts["layers, gathered"] == layer * (2 * 2 + 2 + 4)
    resident = P * 16 / 8 + OVERHEAD
    assert found.peak == pytest.approx(resident + found.worst.bytes)
    assert found.worst.name == "backward pass, in a layer"
    assert found.peak == pytest.approx(42.7 * GIB, rel=1e-3)
    assert host_bytes(composed(None, *SEVEN), shape_of(composed(None, *SEVEN).model)) == 8 * 4 * P


def test_strategies_and_options() -> None:
    sharded, _ = memory(composed(None, *SEVEN))
    alone, _ = memory(composed(None, *SEVEN, "trainer.strategy=single", "trainer.devices=1"))
    assert named(alone)["weights"] == 8 * named(sharded)["weights"] == 4 * P
    assert not alone.fits
    assert "embedding and head, gathered" not in named(alone)
    replicas, _ = memory(composed(None, *SEVEN, "trainer.strategy=ddp"))
    assert named(replicas)["weights"] == 4 * P
    assert named(replicas)["gradient buckets"] == 2 * 2**26
    eight_bit, _ = memory(composed(None, *SEVEN, "trainer.strategy=ddp", "trainer.optimizer=adamw_8bit"))
    assert named(eight_bit)["AdamW's moments"] == P * 2 * (1 + 4 / 256)
    half, _ = memory(composed(None, *SEVEN, "model.dtype=bfloat16"))
    assert named(half)["AdamW's moments"] == P / 8 * 4  # torch's moments have the type of the weights
    reference, _ = memory(composed(None, *SEVEN, "objective.kl_beta=0.01"))
    assert named(reference)["reference model"] == P * 4 / 8
    with_reference = composed(None, *SEVEN, "objective.kl_beta=0.01")
    assert host_bytes(with_reference, shape_of(with_reference.model)) == 2 * 8 * 4 * P
    adapters, shape = memory(composed(None, *SEVEN, "lora=rank_16"))
    assert named(adapters)["gradients"] == 4 * shape.adapter_parameters(16) / 8
    assert named(adapters)["weights"] == 4 * (P + shape.adapter_parameters(16)) / 8
    copied, _ = memory(composed(None, *SEVEN[:5], "rollout=local", "sampling.max_completion_tokens=4096"))
    assert named(copied)["whole copy of the weights"] == 4 * P


def test_checkpointing_leaves_the_inputs_of_the_layers() -> None:
    with_it, _ = memory(composed(None, *SEVEN))
    without, _ = memory(composed(None, *SEVEN, "trainer.activation_checkpointing=false"))
    assert named(without)["activations"] > 20 * named(with_it)["activations: inputs of the layers"]


def test_vllm_beside_the_trainer_takes_turns_or_does_not() -> None:
    base = (
        *SEVEN[:5], "sampling.max_completion_tokens=4096", "rollout=vllm_colocate",
        "rollout.gpu_memory_utilization=0.85",
    )  # fmt: skip
    sleeping, _ = memory(composed(None, *base))
    awake, _ = memory(composed(None, *base, "rollout.sleep=false"))
    assert sleeping.worst.name == "rollout"
    assert sleeping.worst.bytes == 0.85 * 80 * GIB
    # both hold 68 GiB of vLLM's at their peak; one of them at the same time as a backward pass
    assert awake.peak - sleeping.peak == pytest.approx(awake.worst.bytes)
    assert awake.worst.name.startswith("backward pass")


def test_the_engine_by_hand() -> None:
    """28 layers, keys and values of 4 heads of 128, bfloat16: 57,344 bytes a token. The longest sequence has a question
    of 1,024, a draft and a completion of 4,096 each."""
    config = composed(None, *SEVEN)
    engine = engine_memory(config, shape_of(config.model), 80 * GIB)
    assert engine is not None
    assert (engine.token, engine.weights, engine.max_model_len) == (57_344, 2 * P, 9_216)
    assert engine.cache == 0.85 * 80 * GIB - 2 * P - ENGINE_OVERHEAD
    assert engine.sequences == int((68 * GIB - 2 * P - 2 * GIB) // (57_344 * 9_216)) == 105
    assert engine.wanted == 256 * 57_344 * 9_216
    halves = engine_memory(composed(None, *SEVEN, "rollout.tensor_parallel=2"), shape_of(config.model), 80 * GIB)
    assert halves is not None
    assert (halves.token, halves.weights) == (57_344 / 2, P)
    assert engine_memory(composed(), shape_of(composed().model), GIB) is None


def test_a_state_space_model_keeps_a_state_a_sequence() -> None:
    """24 layers of 128 heads x 64 x 128 states and 4 x 10,240 of the convolution, in float32; 4 layers with keys."""
    config = composed(None, "model=nemotron_h_8b_base_8k", *SEVEN[1:5], "rollout=vllm_server")
    engine = engine_memory(config, shape_of(config.model), 80 * GIB)
    assert engine is not None
    assert engine.state == 24 * 4 * (128 * 64 * 128 + 4 * (8_192 + 2 * 8 * 128))
    assert engine.token == 2 * 2 * 4 * 8 * 128


def parts_of(model: Any, optimizer: torch.optim.Optimizer) -> tuple[int, int, int]:
    """Bytes of weights, gradients and moments, as torch holds them."""
    weights = {p.untyped_storage().data_ptr(): p.nbytes for p in model.parameters()}
    gradients = sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
    state = [value for entry in optimizer.state.values() for name, value in entry.items() if name != "step"]
    return sum(weights.values()), gradients, sum(value.nbytes for value in state)


@pytest.mark.parametrize("rank", [0, 4])
def test_weights_gradients_and_moments_are_those_of_torch(rank: int) -> None:
    config = composed({"lora.rank": rank}, *BYTES)
    shape = shape_of(config.model)
    settings = LlamaConfig(
        vocab_size=262, hidden_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
        intermediate_size=384, tie_word_embeddings=True,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(settings)
    if rank:
        add_adapters(model, rank, 1.0, "all-linear", 0)
    optimizer = adamw(model, config.trainer)
    ids = torch.arange(8)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    parts = named(trainer_memory(config, shape, 80 * GIB))
    assert (parts["weights"], parts["gradients"], parts["AdamW's moments"]) == parts_of(model, optimizer)


def judge_parts(*settings: str) -> list[Component]:
    found, _ = memory(composed(None, *SEVEN, *settings))
    return [part for part in found.resident if part.name == "judge"]


def test_only_a_judge_in_the_process_needs_memory() -> None:
    (local,) = judge_parts("reward=judge_local", "reward.model=Qwen/Qwen2.5-1.5B-Instruct", "reward.dtype=bfloat16")
    assert local.bytes == 2 * shape_of(composed(None, "model=qwen2_5_1_5b").model).parameters
    (wide,) = judge_parts("reward=judge_local", "reward.model=Qwen/Qwen2.5-1.5B-Instruct")
    assert wide.bytes == 2 * local.bytes
    assert judge_parts("reward=judge_local", "reward.model=Qwen/Qwen2.5-1.5B-Instruct", "reward.device=cpu") == []
    (unknown,) = judge_parts("reward=judge_local", "reward.model=nobody/nothing")
    assert unknown.bytes == 0
    assert "its weights are not counted" in unknown.note
    assert judge_parts("reward=judge", "reward.model=m", "reward.base_url=http://127.0.0.1:1/v1") == []


def test_a_judge_by_vllm_takes_its_share_of_the_device() -> None:
    one = ("trainer=single", "reward=judge_vllm", "reward.model=nobody/nothing")
    (granted,) = judge_parts(*one)
    assert granted.bytes == 0.3 * 80 * GIB
    assert granted.note == "reward.gpu_memory_utilization=0.3"
    (cpu,) = judge_parts(*one, "trainer.device=cpu", "reward.model=Qwen/Qwen2.5-1.5B-Instruct", "rollout=local")
    assert cpu.bytes == GIB + 2 * shape_of(composed(None, "model=qwen2_5_1_5b").model).parameters
