"""Supervised warm start of the tiny policy: it learns the task from an imperfect teacher; the result is cached.

One half of a batch answers the bare question as the teacher does. The other half refines a draft. Half of those drafts
come from the teacher, and half are heavily corrupted, so that copying does not pay. The target is the clean solution
half of the time, otherwise a fresh sample of the teacher. The resulting policy is right in about four of ten samples,
and better when it sees a draft, so reinforcement learning has something to improve.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from igrpo.data.chains import chain_question, clean_solution, teacher_solution
from igrpo.models import weight_cache
from igrpo.models.cache import locked
from igrpo.models.tiny import TinyShape, build_tiny_model
from igrpo.models.tiny_tokenizer import EOS, build_tiny_tokenizer, question_text, refinement_text
from igrpo.seeding import derive_seed
from igrpo.threads import torch_threads
from igrpo.types import Question

#: Increased when the recipe changes in a way that its settings do not show; part of a cache entry's name.
RECIPE_VERSION = 1

#: Called after every step with (steps done, total steps, loss).
Progress = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True)
class WarmStart:
    """All settings that determine the weights; the defaults are the measured recipe.

    Attributes:
        seed: seed of the initial weights and of all examples; may be set by a sweep over seeds.
        operations: number of operations per chain.
        slip: the teacher's probability of a random wrong digit in each step.
        misconception: the teacher's probability of |x - a| where a subtraction has to borrow.
        corrupted_drafts: share of drafts with ``corrupted_slip`` instead of the teacher's slip.
        clean_targets: share of refinements whose target is the clean solution.
        max_shown: largest number of drafts shown per refinement; the number cycles from 1 to this, one value per step.
        steps: optimizer steps taken, of a cosine schedule that would reach its floor (a tenth) after
            ``schedule_steps``.
    """

    seed: int
    shape: TinyShape = field(default_factory=TinyShape)
    operations: int = 5
    slip: float = 0.1
    misconception: float = 0.7
    corrupted_drafts: float = 0.5
    corrupted_slip: float = 0.5
    clean_targets: float = 0.5
    max_shown: int = 1
    steps: int = 400
    schedule_steps: int = 600
    warmup_steps: int = 20
    batch: int = 64
    learning_rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        if self.batch < 2 or self.batch % 2:
            raise ValueError(
                f"the warm start's batch={self.batch} must be even and positive: half of it are refinements"
            )
        if self.max_shown < 1:
            raise ValueError(f"the warm start's max_shown={self.max_shown} must be positive")
        if not 1 <= self.steps <= self.schedule_steps:
            raise ValueError(f"the warm start's steps={self.steps} must be 1 to schedule_steps={self.schedule_steps}")


def warm_started_tiny(
    settings: WarmStart, cache_dir: Path | None = None, on_progress: Progress | None = None
) -> tuple[Qwen2ForCausalLM, PreTrainedTokenizerFast]:
    """Return the warm-started tiny policy, in eval mode, with its tokenizer; trained only if it is not in the cache.

    Processes that request the same settings at the same time train it once. A broken cache entry is trained again, with
    a warning in the log. On one machine the same settings give bitwise identical weights.

    Args:
        settings: what to train.
        cache_dir: directory of the cache; None: ``IGRPO_CACHE_DIR``, else the user's cache directory.
        on_progress: called after every training step; never called on a cache hit.

    Raises:
        ValueError: the cache directory cannot be written.
    """
    model = build_tiny_model(settings.shape, derive_seed("tiny weights", settings.seed))
    entry = warm_start_entry(settings, cache_dir)
    with locked(entry):
        if not weight_cache.load(model, entry):
            start = time.monotonic()
            train_tiny(model, settings, on_progress)
            weight_cache.save(model, entry, time.monotonic() - start)
    return model, build_tiny_tokenizer()


def warm_start_entry(settings: WarmStart, cache_dir: Path | None = None) -> Path:
    """Return the file of the cache in which the trained weights are, or will be."""
    return weight_cache.entry_path("tiny", settings, RECIPE_VERSION, cache_dir)


def train_tiny(model: Qwen2ForCausalLM, settings: WarmStart, on_progress: Progress | None = None) -> None:
    """Run the warm start on ``model``, in place and on one thread; leaves it in eval mode without gradients."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay
    )
    tokenizer = build_tiny_tokenizer()
    model.train()
    # a second thread gains nothing at this size
    with torch_threads(1), torch.inference_mode(False), torch.enable_grad():
        for step in range(settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(settings, step)
            # Two sub-batches, each with rows of one length, so that no padding is needed.
            singles = target_loss(model, tokenizer, single_pass_examples(settings, step))
            refinements = target_loss(model, tokenizer, refinement_examples(settings, step))
            loss = (singles + refinements) / 2
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
            optimizer.step()
            if on_progress is not None:
                on_progress(step + 1, settings.steps, loss.item())
    optimizer.zero_grad()
    model.eval()  # type: ignore[no-untyped-call]


def learning_rate_at(settings: WarmStart, step: int) -> float:
    """Return the learning rate: linear warm-up times a cosine from 1 to its floor of 0.1."""
    cosine = 0.55 + 0.45 * math.cos(math.pi * step / settings.schedule_steps)
    return settings.learning_rate * min(1.0, (step + 1) / settings.warmup_steps) * cosine


def single_pass_examples(settings: WarmStart, step: int) -> list[tuple[str, str]]:
    """Return (prompt, target) pairs of bare questions, which are half of a batch."""
    examples = []
    for index in range(step * settings.batch, step * settings.batch + settings.batch // 2):
        question = chain_question(settings.seed, "warm_start", index, settings.operations)
        rng = Random(derive_seed("warm start example", settings.seed, index))
        target = teacher_solution(question, rng, settings.slip, settings.misconception)
        examples.append((question_text(question.problem), target))
    return examples


def refinement_examples(settings: WarmStart, step: int) -> list[tuple[str, str]]:
    """Return (prompt, target) pairs of questions with drafts, the same number for each; the other half of the batch."""
    shown = 1 + step % settings.max_shown
    examples = []
    for index in range(step * settings.batch + settings.batch // 2, (step + 1) * settings.batch):
        question = chain_question(settings.seed, "warm_start", index, settings.operations)
        rng = Random(derive_seed("warm start example", settings.seed, index))
        drafts = [_draft(question, rng, settings) for _ in range(shown)]
        if rng.random() < settings.clean_targets:
            target = clean_solution(question)
        else:
            target = teacher_solution(question, rng, settings.slip, settings.misconception)
        examples.append((refinement_text(question.problem, *drafts), target))
    return examples


def _draft(question: Question, rng: Random, settings: WarmStart) -> str:
    corrupted = rng.random() < settings.corrupted_drafts
    slip = settings.corrupted_slip if corrupted else settings.slip
    return teacher_solution(question, rng, slip, settings.misconception)


def target_loss(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, examples: list[tuple[str, str]]) -> Tensor:
    """Return the mean cross-entropy (nats) of the target tokens; logits are computed only at those."""
    prompt_tokens = len(tokenizer.encode(examples[0][0]))
    tokens_BT = torch.tensor([tokenizer.encode(f"{prompt}{target}{EOS}") for prompt, target in examples])
    hidden_BTH = model.model(input_ids=tokens_BT[:, :-1], use_cache=False).last_hidden_state
    logits_BTV = model.lm_head(hidden_BTH[:, prompt_tokens - 1 :])
    return cross_entropy(logits_BTV.flatten(0, 1), tokens_BT[:, prompt_tokens:].flatten())
