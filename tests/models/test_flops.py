"""FLOPs by hand, and against what torch itself counts while a real model runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from igrpo.models.flops import (
    FORWARD_AND_BACKWARD,
    ModelShape,
    Work,
    decode_work,
    model_shape,
    prefill_work,
    row_work,
    unknown_shape,
)
from igrpo.models.tiny import TinyShape, build_tiny_model
from igrpo.training.forward import decoder_hidden

B, P, T = 3, 7, 5
L = P + T
#: A bit of everything: two query heads a key head, and a head that is wider than hidden / heads where a family has it.
LLAMA_LIKE: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("granite", "llama", "olmo2", "phi3", "qwen2", "smollm3"), LLAMA_LIKE),
    **dict.fromkeys(("gemma", "qwen3"), LLAMA_LIKE | {"head_dim": 16}),
    "mistral": LLAMA_LIKE | {"sliding_window": None},
    "gpt2": {"vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 1,
             "eos_token_id": 2},
}  # fmt: skip


def build(family: str, **changes: Any) -> Any:
    torch.manual_seed(0)
    config = CONFIG_MAPPING[family](**(FAMILIES[family] | changes))
    # eager attention consists of plain matrix products, which torch counts (on the CPU it counts no fused attention)
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def counted(run: Any) -> tuple[int, Any]:
    with FlopCounterMode(display=False) as counter:
        result = run()
    return counter.get_total_flops(), result


def test_the_tiny_model_by_hand() -> None:
    shape = model_shape(build_tiny_model(TinyShape(), seed=0))
    # a layer: q, k, v, o of 96 x 96 and an MLP of three times 96 x 256: 4 * 9,216 + 3 * 24,576 = 110,592; three of them
    # a token and one that it sees: 96 for the scores and 96 for the values, in three layers; the head: 96 x 40
    assert shape == ModelShape(layers=331_776, attention=576, head=3_840)
    # a prompt of 3: 3 tokens, which see 1 + 2 + 3 = 6 tokens, and one position through the head
    assert prefill_work(3) == Work(tokens=3, attended=6, logits=1)
    assert shape.flops(prefill_work(3)) == 2 * (3 * 331_776 + 6 * 576 + 1 * 3_840) == 2_005_248
    # 4 new tokens: the first is there already, 3 are fed in and see 4, 5 and 6 tokens
    assert decode_work(3, 4) == Work(tokens=3, attended=4 + 5 + 6, logits=3)
    assert shape.flops(decode_work(3, 4)) == 2 * (3 * 331_776 + 15 * 576 + 3 * 3_840) == 2_030_976
    assert decode_work(3, 1) == Work()  # one new token costs nothing after the prefill
    # a trained row of 3 + 2 tokens, which see 1 + 2 + 3 + 4 + 5 = 15; the head sees the completion alone
    assert row_work(3, 2) == Work(tokens=5, attended=15, logits=2)
    assert shape.flops(row_work(3, 2)) == 2 * (5 * 331_776 + 15 * 576 + 2 * 3_840) == 3_350_400


@given(prompt=st.integers(1, 50), new=st.integers(1, 50), more=st.integers(1, 50))
def test_decoding_adds_up(prompt: int, new: int, more: int) -> None:
    # token by token: the one at position p (from 0) sees p + 1 tokens
    fed = range(prompt, prompt + new - 1)
    assert decode_work(prompt, new) == sum((Work(1, p + 1, 1) for p in fed), Work())
    # stopping and going on with the last token costs what going on at once does
    assert decode_work(prompt, new) + decode_work(prompt + new - 1, more) == decode_work(prompt, new + more - 1)
    # prefill and decode see what one pass over the same tokens sees, whose last token nobody needs
    together = prefill_work(prompt) + decode_work(prompt, new)
    assert row_work(prompt, new) == together + Work(1, prompt + new, 0)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_known_family_agrees_with_torch(family: str) -> None:
    model = build(family)
    shape = model_shape(model)
    assert shape.exact
    ids = torch.randint(3, 40, (B, L))
    forward, hidden = counted(lambda: decoder_hidden(model, {"input_ids": ids}))
    head, logits = counted(lambda: model.get_output_embeddings()(hidden[:, P - 1 : L - 1]))
    backward, _ = counted(logits.square().sum().backward)
    # Torch counts whole squares of scores, since the kernel computes and masks those of tokens that come later; we
    # count what a token may see. That is the only difference: with squares in place of triangles nothing is left.
    assert forward + head == shape.flops(Work(B * L, B * L * L, B * T))
    assert forward + head + backward == FORWARD_AND_BACKWARD * (forward + head)
    ours = B * shape.flops(row_work(P, T))
    assert forward + head - ours == 2 * shape.attention * B * (L * (L - 1) // 2)
    assert 0.93 < ours / (forward + head) < 1  # 78 of 144 scores count, and attention is 5 to 12 % of it all


def test_long_contexts_cost_more() -> None:
    shape = model_shape(build("qwen2"))
    # the same 60 tokens as one row of 60 and as six of 10: 60 * 61 / 2 = 1,830 and 6 * 55 = 330 tokens seen
    whole, parts = shape.flops(row_work(50, 10)), 6 * shape.flops(row_work(8, 2))
    assert whole - parts == 2 * (1_830 - 330) * shape.attention - 2 * (12 - 10) * shape.head


def test_an_unknown_family_counts_its_parameters() -> None:
    config = CONFIG_MAPPING["gpt_neox"](**(LLAMA_LIKE | {"tie_word_embeddings": False}))
    model = AutoModelForCausalLM.from_config(config)
    shape = model_shape(model)
    embeddings = 40 * 32
    everything = sum(p.numel() for p in model.parameters())
    assert shape == unknown_shape(everything - 2 * embeddings, embeddings)
    assert not shape.exact
    assert shape.flops(row_work(8, 2)) == 2 * (10 * (everything - 2 * embeddings) + 2 * embeddings)

    tied = AutoModelForCausalLM.from_config(CONFIG_MAPPING["gpt_neox"](**(LLAMA_LIKE | {"tie_word_embeddings": True})))
    assert model_shape(tied) == shape  # one matrix of embeddings fewer, and none of them counts


def test_sliding_windows_are_not_taken_for_whole_contexts() -> None:
    assert not model_shape(build("mistral", sliding_window=4)).exact
