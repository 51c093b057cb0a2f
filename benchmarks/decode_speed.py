"""Tokens per CPU-second of LocalEngine, with and without fast_decode, and of ``model.generate`` on the same work.

    python benchmarks/decode_speed.py [--rounds 5]

16 prompts of 12 tokens, 8 samples each, 24 new tokens, temperature 1, no stop token: 128 rows, 3,072 tokens a round.
``generate`` gets every prompt 8 times, as its ``num_return_sequences`` does. One thread; medians.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from igrpo.generation.base import SamplingParams
from igrpo.generation.local.engine import LocalEngine

PROMPTS, PROMPT_TOKENS, SAMPLES, NEW_TOKENS, VOCABULARY = 16, 12, 8, 24, 40
SIZES = {
    "hidden 96, 3 layers, MLP 256": {"hidden_size": 96, "num_hidden_layers": 3, "intermediate_size": 256},
    "hidden 256, 4 layers, MLP 1280": {"hidden_size": 256, "num_hidden_layers": 4, "intermediate_size": 1280},
}


def make_model(**size: int) -> Qwen2ForCausalLM:
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
        **size,
    )
    return Qwen2ForCausalLM(config).eval()


def make_tokenizer() -> PreTrainedTokenizerFast:
    words = {f"w{i}": i for i in range(VOCABULARY)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(words, unk_token="w0")), unk_token="w0")


def with_engine(engine: LocalEngine, prompts: list[list[int]]) -> None:
    params = SamplingParams(temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=NEW_TOKENS, stop_token_ids=())

    async def everything() -> None:
        await asyncio.gather(
            *(
                engine.sample(prompt, params, [SAMPLES * i + j for j in range(SAMPLES)])
                for i, prompt in enumerate(prompts)
            )
        )

    asyncio.run(everything())


def with_generate(model: Qwen2ForCausalLM, prompts: list[list[int]]) -> None:
    ids = torch.tensor(prompts)
    model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        num_return_sequences=SAMPLES,
        max_new_tokens=NEW_TOKENS,
        top_k=0,
        output_logits=True,  # what log-probs and entropies are made from
        return_dict_in_generate=True,
    )


def median_seconds(work: Callable[[], None], rounds: int) -> float:
    work()
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    prompts = torch.randint(1, VOCABULARY, (PROMPTS, PROMPT_TOKENS)).tolist()
    tokens = PROMPTS * SAMPLES * NEW_TOKENS
    for name, size in SIZES.items():
        model = make_model(**size)
        rows = PROMPTS * SAMPLES
        fast = LocalEngine(model, make_tokenizer(), max_batch_rows=rows)
        plain = LocalEngine(model, make_tokenizer(), max_batch_rows=rows, fast_decode=False)
        print(name)
        works = {
            "fast_decode": lambda e=fast: with_engine(e, prompts),
            "own forward": lambda e=plain: with_engine(e, prompts),
            "generate": lambda m=model: with_generate(m, prompts),
        }
        for label, work in works.items():
            seconds = median_seconds(work, rounds)
            print(f"  {label:12s} {tokens / seconds:8.0f} tokens/CPU-s   {1e3 * seconds / NEW_TOKENS:6.2f} ms/step")


if __name__ == "__main__":
    main()
