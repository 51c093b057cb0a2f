"""Every shipped configuration file is made into the object that it describes, not only composed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from rich.console import Console

from igrpo import assembly
from igrpo.algorithm.grpo import GRPO
from igrpo.algorithm.igrpo import IGRPO
from igrpo.algorithm.selection import best
from igrpo.config import RunConfig
from igrpo.config.schema import RewardConfig, WeightedConfig
from igrpo.hydra_support.folders import choices, groups
from igrpo.rollout.local import LocalEngine
from igrpo.rollout.lockstep import Lockstep
from igrpo.tracking.run_directory import RunDirectory
from igrpo.tracking.tracker import Tracker
from igrpo.training.checkpoints import CheckpointCallback
from tests.assembly.parts import (
    TINY_SHAPE,
    byte_policy,
    completion,
    question,
    tiny_policy,
    values,
    write_model,
    write_problems,
)
from tests.composed import config as composed
from tests.training import small_run

#: Composed in tests/test_configs.py and run whole in tests/end_to_end.
WHOLE_RUNS = {"experiment", "sweep", "debug"}
BYTES = ("model=byte_level", "prompt=boxed", "trainer.tokens_per_microbatch=16384")


def _algorithm(name: str, folder: Path) -> None:
    made = assembly.build_algorithm(composed(None, f"algorithm={name}"))
    expected = {"grpo": GRPO(8), "igrpo": IGRPO(4, 4, best, "random", "show")}  # N + G = 8 either way
    assert made == expected[name]


def _condition(name: str, folder: Path) -> None:
    config = composed(None, f"condition={name}")
    expected = {
        "grpo": GRPO(8), "igrpo": IGRPO(4, 4, best, "random", "show"), "grpo_half": GRPO(4),
        "bare": IGRPO(0, 8, best, "random", "show"), "best_of_n": GRPO(8),
    }  # fmt: skip
    assert assembly.build_algorithm(config) == expected[name]
    assert (config.condition, config.objective.name) == (name, "best_of_n" if name == "best_of_n" else "grpo")


def _objective(name: str, folder: Path) -> None:
    settings = composed(None, f"objective={name}").objective
    module = small_run.make("igrpo", objective_changes=settings.model_dump(exclude={"name"}), epochs=2)
    before = small_run.weights(module)
    small_run.fit(module, 1, folder)
    assert settings.name == name
    assert any(not torch.equal(value, before[key]) for key, value in module.policy.state_dict().items())


def _reward(name: str, folder: Path) -> None:
    target = ["reward.target=igrpo.rewards.format:FormatReward"] if name == "python" else []  # more: test_reward.py
    # alone, the format gives no verdicts, which a run needs: it comes as a part of a sum
    settings = _format() if name == "format" else composed(None, f"reward={name}", *target).reward
    made = assembly.build_reward(settings, folder)
    texts = [r"<think>hm</think><answer>\boxed{2}</answer>", r"\boxed{2}", "3"]
    formatted = [1, 0, 0]
    expected = {
        "math_verify": [1, 1, 0], "format": formatted, "python": formatted, "math_verify_format": [2, 1, 0],
    }  # fmt: skip
    try:
        scores = asyncio.run(made.score(question(answer="2"), [completion(text) for text in texts]))
    finally:
        made.close()
    assert values(scores) == expected[name]


def _format() -> RewardConfig:
    whole = composed(None, "reward=math_verify_format").reward
    assert isinstance(whole, WeightedConfig)
    return whole.parts["format"].reward


def _rollout(name: str, folder: Path) -> None:
    assert isinstance(assembly.build_engine(composed(None, f"rollout={name}").rollout, tiny_policy()), LocalEngine)


def _model(name: str, folder: Path) -> None:
    overrides = {
        "tiny": TINY_SHAPE,
        "byte_level": BYTES,
        "huggingface": ("model=huggingface", "prompt=boxed", f"model.name_or_path={write_model(folder / 'm')}"),
    }[name]
    config = composed(None, *overrides)
    policy = assembly.build_policy(config.model, config.data, Console(quiet=True))
    assert policy.stop_token_ids == (policy.tokenizer.eos_token_id,)
    assert policy.tokenizer.pad_token_id is not None
    assert bool(policy.tokenizer.chat_template) == (name != "tiny")
    assert not policy.model.training


def _data(name: str, folder: Path) -> None:
    file = write_problems(folder / "problems.jsonl")
    overrides = {
        "chains": (),
        "jsonl": (*BYTES, "data=jsonl", f"data.path={file}"),
        "hub": (*BYTES, "data=hub", f"data.dataset={file}"),
    }[name]
    source = assembly.build_source(composed(None, *overrides).data)
    splits = (source.train, source.development, source.test)
    ids = [one.id for split in splits for one in split]
    assert all(len(split) > 0 for split in splits)
    assert len(set(ids)) == len(ids) == (20000 + 128 + 256 if name == "chains" else 24)


def _prompt(name: str, folder: Path) -> None:
    overrides = () if name == "tiny" else (*BYTES[::2], f"prompt={name}")
    policy = tiny_policy() if name == "tiny" else byte_policy()
    prompts = assembly.build_prompts(composed(None, *overrides).prompt, policy.tokenizer)
    shown = prompts.refinement_prompt(question("2 +3"), completion("5"))
    text = policy.tokenizer.decode(shown.token_ids)
    assert "2 +3" in text
    assert "raft" in text
    assert len(shown.token_ids) > len(prompts.question_prompt(question("2 +3")).token_ids)


def _trainer(name: str, folder: Path) -> None:
    trainer = composed(None, f"trainer={name}").trainer
    if name == "cpu":
        assert assembly.build_device(trainer) == torch.device("cpu")
    elif torch.cuda.is_available():
        assert assembly.build_device(trainer) == torch.device("cuda")
    else:
        with pytest.raises(ValueError, match=r"^trainer\.device=cuda, but torch sees no CUDA device; set trainer=cpu"):
            assembly.build_device(trainer)


def _evaluation(name: str, folder: Path) -> None:
    config = composed({"sampling.max_completion_tokens": 4}, f"evaluation={name}")
    parts = _parts(config)
    try:
        result = asyncio.run(assembly.build_evaluator(config, [question(name="a"), question(name="b")], parts).run())
    finally:
        parts.reward.close()
    assert len(result.per_question) == 2
    assert len(result.per_question[0].single_shot) == config.evaluation.samples == 4
    assert result.greedy is not None
    assert result.draft_conditioned is not None
    assert result.draft_conditioned_oracle is None  # evaluation.oracle_drafts=0


@pytest.mark.parametrize(("pipeline", "barriers"), [(False, 2), (True, 0)])
def test_evaluation_keeps_the_barrier_between_its_stages(
    monkeypatch: pytest.MonkeyPatch, pipeline: bool, barriers: int
) -> None:
    made: list[int] = []

    def counted(engine: Any, parties: int) -> Lockstep:
        made.append(parties)
        return Lockstep(engine, parties)

    monkeypatch.setattr("igrpo.assembly.cycle.Lockstep", counted)
    config = composed({"sampling.max_completion_tokens": 4, "rollout.pipeline": pipeline})
    parts = _parts(config)
    try:
        asyncio.run(assembly.build_evaluator(config, [question(name="a"), question(name="b")], parts).run())
    finally:
        parts.reward.close()
    assert len(made) == barriers


def _parts(config: RunConfig) -> assembly.Parts:
    policy = tiny_policy()
    return assembly.Parts(
        policy,
        assembly.build_engine(config.rollout, policy),
        assembly.build_reward(config.reward, None),
        assembly.build_prompts(config.prompt, policy.tokenizer),
    )


def _checkpoint(name: str, folder: Path) -> None:
    callback = CheckpointCallback(folder / "kept", composed(None, f"checkpoint={name}").checkpoint)
    small_run.fit(small_run.make(steps=1), 1, folder, callbacks=[callback])
    assert [path.name for path in (folder / "kept").iterdir()] == ["step-000001.ckpt"]


def _tracking(name: str, folder: Path) -> None:
    tracking = composed(None, f"tracking={name}").tracking
    assert tracking.uri == {"none": None, "mlflow": "sqlite:///mlflow.db"}[name]
    if tracking.uri is None:  # with MLflow: tests/end_to_end
        directory = RunDirectory(folder)
        directory.create()
        Tracker(directory, tracking_uri=tracking.uri).close("FINISHED")
        assert directory.metrics.exists()


MAKERS: dict[str, Callable[[str, Path], None]] = {
    "algorithm": _algorithm, "condition": _condition, "objective": _objective, "reward": _reward, "rollout": _rollout, "model": _model,
    "data": _data, "prompt": _prompt, "trainer": _trainer, "evaluation": _evaluation, "checkpoint": _checkpoint,
    "tracking": _tracking,
}  # fmt: skip
CHOICES = [(group, choice.name) for group in groups() if group not in WHOLE_RUNS for choice in choices(group)]


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_every_choice_is_made(group: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    MAKERS[group](name, tmp_path)


def test_the_collector_gets_the_settings_of_the_run() -> None:
    config = composed({"rollout.pipeline": True, "seed": 5, "sampling.max_completion_tokens": 7})
    collector = assembly.build_collector(config, _parts(config))
    made: Any = collector
    assert (made.run_seed, made.pipeline, made.params.max_new_tokens) == (5, True, 7)
    assert made.params.stop_token_ids == tiny_policy().stop_token_ids
