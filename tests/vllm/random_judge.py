"""A judge's model directory with random weights, a chat template, and heads that vLLM computes on a CPU.

``teach`` makes it say what can be read.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from igrpo.models.byte_level import build_byte_level_tokenizer
from igrpo.models.load import load_policy


def make_judge(directory: Path) -> Path:
    """Qwen2 on bytes, with room for the shipped prompt."""
    tokenizer = build_byte_level_tokenizer(chat_template=True)
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 8192,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "dtype": torch.float32,
    }
    torch.manual_seed(0)
    Qwen2ForCausalLM(Qwen2Config(**shape)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def teach(directory: Path, steps: int = 400) -> None:
    """Train it to say {"score": 0.D} to anything, each digit as likely as the other."""
    model, tokenizer = load_policy(str(directory), dtype="float32", attention="sdpa")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    draw = random.Random(0)
    for _ in range(steps):
        rows, answers = [], []
        for _ in range(16):
            said = "".join(chr(draw.randrange(32, 127)) for _ in range(40))
            prompt = tokenizer.apply_chat_template(
                [{"role": "user", "content": said}], tokenize=False, add_generation_prompt=True
            )
            answer = tokenizer.encode(f'{{"score": 0.{draw.randrange(10)}}}', add_special_tokens=False)
            answers.append([*answer, tokenizer.eos_token_id])
            rows.append([*tokenizer.encode(prompt, add_special_tokens=False), *answers[-1]])
        ids = torch.tensor(rows)
        new = len(answers[0])
        logits = model(ids).logits[:, -new - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, -new:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(directory)
