"""The work that every peer is given: models, questions, lengths and reward of the benchmark's cases.

Imported in TRL's environment, too, so nothing of igrpo is imported here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Qwen2 with random weights: S has 5.1 million parameters, M 98.5 million.
SHAPES = {
    "S": {"vocab_size": 512, "hidden_size": 256, "intermediate_size": 1280, "num_hidden_layers": 4,
          "num_attention_heads": 4, "num_key_value_heads": 4},
    "M": {"vocab_size": 32_000, "hidden_size": 768, "intermediate_size": 3328, "num_hidden_layers": 8,
          "num_attention_heads": 12, "num_key_value_heads": 4},
}  # fmt: skip
END, PAD = "<|end|>", "<|pad|>"
SHORTEST = 16  # of a uniform case's completions
_SPREAD = 12  # prompts are up to so many tokens shorter and longer than the case says
#: Characters that are a token each: the line end, printable ASCII, Hangul, Han.
_CHARACTERS = (range(0x0A, 0x0B), range(0x20, 0x7F), range(0xAC00, 0xD7A4), range(0x4E00, 0xA000))


@dataclass(frozen=True, slots=True)
class Case:
    """One size of work: ``questions`` prompts of ``prompt`` tokens on average, ``group`` completions of each.

    Every completion has exactly ``completion`` tokens; if ``uniform``, 16 to ``completion``, equally spaced.
    ``steps`` are measured, after a first one that is not.
    """

    size: str
    questions: int
    group: int
    prompt: int
    completion: int
    steps: int
    uniform: bool = False

    @property
    def rows(self) -> int:
        """Completions of a step."""
        return self.questions * self.group

    def prompt_lengths(self) -> list[int]:
        """Tokens of each prompt: the same in every step, as each step asks all questions of the case."""
        if self.questions == 1:
            return [self.prompt]
        spread = min(_SPREAD, self.prompt // 4)
        return [self.prompt - spread + round(2 * spread * i / (self.questions - 1)) for i in range(self.questions)]

    def completion_lengths(self) -> list[int]:
        """Tokens of each completion of a step, in no particular order of the rows."""
        if not self.uniform:
            return [self.completion] * self.rows
        longer = self.completion - SHORTEST
        return [SHORTEST + round(longer * i / (self.rows - 1)) for i in range(self.rows)]


class Lengths:
    """Yields the completion lengths of a case for one row after the other, shuffled anew for every step."""

    def __init__(self, case: Case, seed: int) -> None:
        self._case, self._random, self._left = case, random.Random(seed), list[int]()

    def take(self, rows: int) -> list[int]:
        """Return the lengths of the next ``rows`` rows."""
        while len(self._left) < rows:
            fresh = self._case.completion_lengths()
            self._random.shuffle(fresh)
            self._left += fresh
        taken, self._left = self._left[:rows], self._left[rows:]
        return taken


def problems(case: Case, seed: int) -> list[dict[str, str]]:
    """Return the questions of a case: sums, of the case's lengths in characters, which are tokens."""
    drawn = random.Random(seed)
    rows = []
    for i, length in enumerate(case.prompt_lengths()):
        head, tail = "What is ", "? Answer:"
        terms = f"{drawn.randint(1, 9)}"
        while len(head + terms + tail) < length:
            terms += f" {drawn.choice('+-')} {drawn.randint(1, 999)}"
        rows.append({"id": str(i), "problem": head + terms[: length - len(head + tail)] + tail, "answer": "0"})
    return rows


def spread(token_ids: Sequence[int]) -> float:
    """Return a reward from 0 to 1 that differs from one completion to the next, so that every group has a gradient."""
    return sum(token_ids) % 97 / 96


def rewards(question: Any, completions: Sequence[Any]) -> list[float]:
    """Score completions for ``reward=python``."""
    return [spread(completion.token_ids) for completion in completions]


def make_model(size: str, folder: Path) -> Path:
    """Write a model of a size and its tokenizer to ``folder``, unless it is there, and return the folder."""
    if (folder / "config.json").exists():
        return folder
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = _tokenizer(SHAPES[size]["vocab_size"])
    config = Qwen2Config(
        **SHAPES[size],
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    tokenizer.save_pretrained(folder)
    Qwen2ForCausalLM(config).float().save_pretrained(folder)
    return folder


def _tokenizer(size: int) -> Any:
    """Return a tokenizer of so many tokens, one a character.

    So a sampled draft has as many tokens in the next prompt as it was sampled with.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    characters = [chr(code) for codes in _CHARACTERS for code in codes]
    vocabulary = {token: i for i, token in enumerate([END, PAD, *characters][:size])}
    assert len(vocabulary) == size, f"no {size} characters"
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=PAD))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), behavior="isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=END, pad_token=PAD, padding_side="left", clean_up_tokenization_spaces=False
    )


class Meter:
    """Seconds and memory of a process: CPU-seconds on a CPU, wall time on a GPU."""

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"

    def now(self) -> float:
        """Return the seconds so far, of all threads of this process; on a GPU its queue is waited for."""
        if not self._cuda:
            return time.process_time()
        import torch

        torch.cuda.synchronize()
        return time.perf_counter()

    def peak_mib(self) -> float:
        """Return the most memory in use so far: resident memory of the process, or what torch allocated on the GPU."""
        if self._cuda:
            import torch

            return torch.cuda.max_memory_allocated() / 2**20
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10
