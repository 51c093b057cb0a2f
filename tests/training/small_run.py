"""A whole training loop on a random tiny model: real engine, real prompts, real Lightning; the reward is a script."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import lightning
import pytest
import torch

from igrpo.algorithms.base import Algorithm
from igrpo.data.chains import chain_splits
from igrpo.data.module import QuestionDataModule
from igrpo.generation.base import SamplingParams
from igrpo.generation.local.engine import LocalEngine
from igrpo.losses import Objective
from igrpo.models.load import reference_copy
from igrpo.models.lora import add_adapters
from igrpo.models.tiny import TinyShape, build_tiny_model
from igrpo.models.tiny_tokenizer import build_tiny_tokenizer
from igrpo.prompts.builder import PromptBuilder
from igrpo.settings.trainer import BudgetConfig
from igrpo.training.collect import Collector
from igrpo.training.dynamic_sampling import DynamicSampling
from igrpo.training.module import IGRPOModule
from igrpo.training.rows import Row
from igrpo.training.stopping import StoppingRule
from igrpo.training.update import Updater
from igrpo.types import Completion, Question, Rollout, Score
from tests.algorithms.fakes import critique_grpo, grpo, igrpo, self_verification
from tests.training.models import NO_WEIGHTS, objective, trainer

TOKENIZER = build_tiny_tokenizer()
NO_LIMITS: dict[str, Any] = dict.fromkeys(BudgetConfig.model_fields)
SOURCE = chain_splits(seed=0, operations=2, train=16, development=4, test=4)
#: With a budget of four completions per question.
ALGORITHMS: dict[str, Algorithm] = {
    "grpo": grpo(4),
    "igrpo": igrpo(2),
    "critique_grpo": critique_grpo(2, kept=1),
    "self_verification": self_verification(2),
}


def spread(completion: Completion) -> float:
    """Something from 0 to 1 that differs from answer to answer, so that every group has a variance."""
    return sum(completion.token_ids) % 97 / 96


@dataclass
class ScriptedReward:
    """``value(completion)`` of each, which is right where that is above 0."""

    value: Callable[[Completion], float] = spread
    name: str = "scripted"

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        values = [self.value(completion) for completion in completions]
        return [Score(value, value > 0, "right" if value > 0 else "wrong") for value in values]

    def close(self) -> None: ...


@dataclass
class KeptRollouts:
    """A Recorder in memory; `fit` adds the rows of each question of every update."""

    rows: list[list[list[Row]]] = field(default_factory=list)
    steps: dict[int, list[Rollout]] = field(default_factory=dict)
    failures: list[tuple[int, list[Rollout], str]] = field(default_factory=list)

    def record(self, step: int, rollouts: Sequence[Rollout]) -> None:
        self.steps[step] = list(rollouts)

    def record_failure(self, step: int, rollouts: Sequence[Rollout], reason: str) -> Path:
        self.failures.append((step, list(rollouts), reason))
        return Path("failures/kept")


def prompts(draft_thinking: Literal["keep", "strip"] = "keep") -> PromptBuilder:
    return PromptBuilder(
        TOKENIZER, chat_template="off", system="", question="<bos>Problem:{problem}Solution:",
        refinement="<bos>Problem:{problem}Draft:{draft}Refine:",
        critique="<bos>Problem:{problem}Draft:{draft}Solution:",
        revision="<bos>Problem:{problem}Draft:{draft}Draft:{critique}Refine:",
        verification="<bos>Problem:{problem}Solution:{draft}Draft:", verdict_right="1", verdict_wrong="0",
        draft_separator="Draft:", cut_marker=" ", draft_thinking=draft_thinking,
        max_question_tokens=16, max_draft_tokens=8,
    )  # fmt: skip


def refill(max_attempts: int) -> DynamicSampling:
    """Dynamic sampling over the questions of ``fit``."""
    data = QuestionDataModule(SOURCE.train, seed=0, questions=3, steps=1)
    return DynamicSampling(3, max_attempts, 1e-6, data.replacements)


def make(algorithm: str | Algorithm = "igrpo", reward: ScriptedReward | None = None, *, kl_beta: float = 0.0,
         pipeline: bool = False, objective_changes: dict[str, Any] | None = None,
         limits: dict[str, Any] | None = None, total: int = 4,
         max_attempts: int = 0, adapters: bool = False, draft_thinking: Literal["keep", "strip"] = "keep",
         **changes: Any) -> IGRPOModule:  # fmt: skip
    """A module with a fresh policy (always the same one) and a recorder in memory."""
    algorithm = ALGORITHMS[algorithm] if isinstance(algorithm, str) else algorithm
    settings = trainer(**changes)
    model = build_tiny_model(TinyShape(hidden=16, layers=1, heads=2, mlp=16), seed=0)
    if adapters:
        add_adapters(model, rank=2, alpha=4.0, targets="all-linear", seed=0)
    collector = Collector(
        algorithm=algorithm,
        total=total,
        state=algorithm.new_state(),
        engine=LocalEngine(model, TOKENIZER, max_batch_rows=32),
        reward=reward or ScriptedReward(),
        prompts=prompts(draft_thinking),
        params=SamplingParams(temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=6, stop_token_ids=(2,)),
        run_seed=0,
        pipeline=pipeline,
        refill=refill(max_attempts) if max_attempts else None,
    )
    module = IGRPOModule(
        model,
        reference_copy(model) if kl_beta else None,
        collector,
        objective=Objective(
            objective(**({"kl_beta": kl_beta} | (objective_changes or {}))), NO_WEIGHTS, algorithm.transferring
        ),
        trainer=settings,
        stopping=StoppingRule(settings.steps, BudgetConfig(**(NO_LIMITS | (limits or {})))),
        pad_id=TOKENIZER.pad_token_id,
    )
    module.recorder = KeptRollouts()
    return module


class SaveAfter(lightning.Callback):
    """Saves at the end of a rollout step, where CheckpointCallback does."""

    def __init__(self, step: int, path: Path) -> None:
        self._step, self._path = step, path

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        assert isinstance(pl_module, IGRPOModule)
        if pl_module.rollout_step == self._step:
            trainer.save_checkpoint(self._path)


@contextmanager
def updates_seen_by(see: Callable[[list[list[Row]]], object]) -> Iterator[None]:
    """Call ``see`` with the rows of each question before every update in this block."""
    run = Updater.run

    def seen(self: Updater, questions_S: list[list[Row]], *rest: Any) -> Any:
        see(questions_S)
        return run(self, questions_S, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updater, "run", seen)
        yield


def mixed(completion: Completion) -> float:
    """Right for about half of the answers of a random model."""
    return float(sum(completion.token_ids) % 2)


def weights(module: IGRPOModule) -> dict[str, torch.Tensor]:
    return copy.deepcopy(module.policy.state_dict())


def same_weights(*runs: IGRPOModule | dict[str, torch.Tensor]) -> bool:
    """True if two modules (or earlier `weights` of them) have the same trained values, bit by bit."""
    one, other = (weights(run) if isinstance(run, IGRPOModule) else run for run in runs)
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def rollouts_of(module: IGRPOModule) -> list[Rollout]:
    """Those of all steps, in order."""
    return [rollout for step in kept(module).steps.values() for rollout in step]


def kept(module: IGRPOModule) -> KeptRollouts:
    assert isinstance(module.recorder, KeptRollouts)
    return module.recorder


def fit(module: IGRPOModule, steps: int, folder: Path, *, callbacks: Sequence[lightning.Callback] = (),
        checkpoint: Path | None = None, start_step: int = 0) -> lightning.Trainer:  # fmt: skip
    """Train up to rollout step ``steps``, as training_run does."""
    data = QuestionDataModule(SOURCE.train, seed=0, questions=3, steps=steps)
    data.start_step = start_step
    runner = lightning.Trainer(
        accelerator="cpu", devices=1, max_epochs=1, logger=False, callbacks=list(callbacks), default_root_dir=folder,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip
    with updates_seen_by(kept(module).rows.append):
        runner.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    return runner


def fit_and_save(module: IGRPOModule, steps: int, folder: Path, *, at: int = 2) -> Path:
    """Train as `fit` does, and return the checkpoint of step ``at``."""
    file = folder / f"{len(list(folder.glob('*.ckpt')))}.ckpt"
    fit(module, steps, folder, callbacks=[SaveAfter(at, file)])
    return file
