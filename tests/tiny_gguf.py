"""A GGUF file of a few thousand weights, with the tokenizer and the chat template in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize

HIDDEN, MLP, LETTERS = 32, 64, "abcdefghijklmnopqrstuvwxyz0123456789"
TOKENS = ["<|endoftext|>", "<s>", "</s>", *LETTERS, "12"]
TEMPLATE = "{% for m in messages %}<s>{{ m['content'] }}</s>{% endfor %}"

#: How GGUF names two of the tensors, and what the model calls them. (Those of the attention are stored permuted.)
SAME = {"token_embd.weight": "model.embed_tokens.weight", "blk.0.ffn_up.weight": "model.layers.0.mlp.up_proj.weight"}


def write_gguf(path: Path, seed: int = 0) -> dict[str, np.ndarray]:
    """Write a Llama of one layer, rounded to 8 bits, with a tied head; returns the rounded tensors of ``SAME``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([2, 3, 3, *[1] * (len(TOKENS) - 3)])
    writer.add_token_merges(["1 2"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    shapes = {
        "token_embd.weight": (len(TOKENS), HIDDEN), "blk.0.ffn_up.weight": (MLP, HIDDEN),
        "blk.0.ffn_gate.weight": (MLP, HIDDEN), "blk.0.ffn_down.weight": (HIDDEN, MLP),
        **{f"blk.0.attn_{name}.weight": (HIDDEN, HIDDEN) for name in ("q", "k", "v", "output")},
    }  # fmt: skip
    rounded = {}
    for name, shape in shapes.items():
        data = quantize(draw.normal(size=shape).astype(np.float32), GGMLQuantizationType.Q8_0)
        rounded[name] = dequantize(data, GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, data, raw_dtype=GGMLQuantizationType.Q8_0)
    for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"):
        writer.add_tensor(name, np.ones(HIDDEN, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {name: rounded[name] for name in SAME}
