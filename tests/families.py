"""Tiny random models of families that differ in attention, in what they do to their logits, or in both."""

from __future__ import annotations

from typing import Any, Final

import torch
import transformers as hf
from transformers import AutoModelForCausalLM, PreTrainedModel

VOCABULARY = 40
#: Shorter than what the tests sample, so that tokens leave it.
WINDOW = 6

_SHAPE: Final[dict[str, Any]] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 128, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.4,
}  # fmt: skip
_WINDOW = {"sliding_window": WINDOW}
_GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 5.0, **_WINDOW}
_GRANITE = {"logits_scaling": 8.0, "embedding_multiplier": 6.0, "residual_multiplier": 0.3, "attention_multiplier": 0.2}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_OLD = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "initializer_range": 0.4}
_MLA = {"num_key_value_heads": 4, "q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 4, "qk_rope_head_dim": 4,
        "v_head_dim": 8}  # fmt: skip

#: A configuration class of transformers and what is set beside the common shape.
_FAMILIES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "llama": ("LlamaConfig", {}),
    "mistral": ("MistralConfig", _WINDOW),
    "mistral_without_a_window": ("MistralConfig", {"sliding_window": None}),
    "mixtral": ("MixtralConfig", _EXPERTS | _WINDOW),
    "phi3": ("Phi3Config", _WINDOW),
    "starcoder2": ("Starcoder2Config", _WINDOW),
    "qwen2_with_a_window": ("Qwen2Config", {"use_sliding_window": True, "max_window_layers": 2, **_WINDOW}),
    "gemma2": ("Gemma2Config", {"attn_logit_softcapping": 3.0, **_GEMMA}),
    "gemma3": ("Gemma3TextConfig", {"sliding_window_pattern": 2, **_GEMMA}),
    "granite": ("GraniteConfig", _GRANITE),
    "granitemoe": ("GraniteMoeConfig", _GRANITE | _EXPERTS),
    "cohere": ("CohereConfig", {"logit_scale": 0.0625}),
    "cohere2": ("Cohere2Config", {"logit_scale": 0.0625, **_WINDOW}),
    "olmo3": ("Olmo3Config", _WINDOW),
    "gpt_oss": ("GptOssConfig", {"head_dim": 8, **_EXPERTS, **_WINDOW}),
    "hyperclovax": ("HyperCLOVAXConfig", {"logits_scaling": 0.5}),
    "minicpm3": ("MiniCPM3Config", _MLA),
    "nanochat": ("NanoChatConfig", {"final_logit_softcapping": 5.0}),
    "falcon_h1": ("FalconH1Config", {"lm_head_multiplier": 0.3}),
    "recurrent_gemma": ("RecurrentGemmaConfig", {"lru_width": 32, "attention_window_size": WINDOW, "logits_soft_cap": 5.0}),
    "gptj": ("GPTJConfig", _OLD | {"rotary_dim": 4}),
    "gpt_neo": (
        "GPTNeoConfig",
        {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
    ),
    "bloom": ("BloomConfig", {"n_layer": 2, "n_head": 4}),
    "mamba": ("MambaConfig", {"state_size": 4, "num_hidden_layers": 2}),
    "falcon_with_alibi": ("FalconConfig", {"alibi": True}),
    "opt": ("OPTConfig", {"num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": 0.4}),
}  # fmt: skip
_OTHER_SHAPES: Final = {"gptj", "bloom", "mamba", "opt", "gpt_neo"}

#: Families without torch's scaled_dot_product_attention, or whose attention it gets wrong.
ONLY_EAGER: Final = {"gemma2", "gpt_oss", "gptj", "gpt_neo", "bloom", "mamba"}
#: Families whose attention or state the local engine cannot follow.
NOT_LOCAL: Final = {"falcon_h1", "recurrent_gemma", "gpt_neo", "bloom", "mamba", "falcon_with_alibi"}
ALL: Final = sorted(_FAMILIES)


def make_family(name: str, attention: str | None = None) -> PreTrainedModel:
    """A model of the family, in eval mode; its weights are far from uniform."""
    kind, settings = _FAMILIES[name]
    shape = {"vocab_size": VOCABULARY, "hidden_size": 32, "initializer_range": 0.4} if name in _OTHER_SHAPES else _SHAPE
    torch.manual_seed(7)
    config = getattr(hf, kind)(**(shape | settings))
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    with torch.no_grad():
        for each in model.parameters():
            if each.abs().max() < 1e-6:  # attention sinks and biases begin at zero, and would prove nothing
                each.normal_(0, 0.3)
    assert attention in {None, model.config._attn_implementation}
    return model.eval()
