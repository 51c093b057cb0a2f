"""Every shipped configuration file is made into the object that it describes, not only composed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from rich.console import Console

from igrpo import assembly
from igrpo.config import RunConfig
from igrpo.config.composing.folders import choices, groups
from igrpo.console import get_console
from igrpo.data.module import QuestionDataModule
from igrpo.data.sources import read_source
from igrpo.generation.batch_barrier import BatchBarrier
from igrpo.generation.local.engine import LocalEngine
from igrpo.generation.local.replica import ReplicaEngine
from igrpo.losses import importance_weights
from igrpo.models.cache import cached_model
from igrpo.models.files import SMOLLM2
from igrpo.rewards.judge.prompt import JudgePrompt
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.tracker import Tracker
from igrpo.settings.importance_weights import CrossPromptWeightsConfig
from igrpo.settings.judge import JudgeConfig
from igrpo.settings.model import HuggingFaceModelConfig
from igrpo.settings.reward import RewardConfig, WeightedConfig
from igrpo.training.checkpoints import CheckpointCallback
from igrpo.training.dynamic_sampling import DynamicSampling
from igrpo.training.strategies import ReplicaStrategy, ShardStrategy, build_strategy
from igrpo.types import Question
from tests.algorithms.fakes import critique_grpo, grpo, igrpo, self_verification
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
from tests.data.shipped_sets import ROWS, WITH_TEST, write_set
from tests.rewards.judge.server import JudgeServer, in_turn, score
from tests.training import small_run

#: Composed in tests/test_configs.py and run whole in tests/end_to_end.
WHOLE_RUNS = {"experiment", "sweep", "debug"}
BYTES = ("model=byte_level", "prompt=boxed")


#: What conf/algorithm says, for a budget of eight.
IGRPO = igrpo(4, ties="random")
ALGORITHMS = {
    "grpo": grpo(8),
    "igrpo": IGRPO,
    "critique_grpo": critique_grpo(4, kept=1),
    "self_verification": self_verification(4, 256),
}


def _algorithm(name: str, folder: Path) -> None:
    assert composed(None, f"algorithm={name}").algorithm == ALGORITHMS[name]


def _condition(name: str, folder: Path) -> None:
    config = composed(None, f"condition={name}")
    unweighted = CrossPromptWeightsConfig(method="truncate", level="none", cap=1.0)
    changes: dict[str, dict[str, Any]] = {
        "igrpo": {}, "igrpo_dapo": {}, "igrpo_no_thinking": {}, "bare": {"drafts": 0}, "igrpo_quarter": {"drafts": 2},
        "igrpo_both": {"train_on": ("draft", "refine")}, "igrpo_both_dapo": {"train_on": ("draft", "refine")},
        "igrpo_two_rounds": {"rounds": 2}, "igrpo_show_two": {"show": 2}, "igrpo_wrong": {"selection": "wrong"},
        "igrpo_internalize": {"train_on": ("refine", "internalize")},
        "igrpo_internalize_only": {"train_on": ("internalize",)},
        "igrpo_internalize_unweighted": {"train_on": ("internalize",), "transfer": unweighted},
        "igrpo_answers": {"train_on": ("draft", "internalize"), "joint_baseline": True},
        "igrpo_answers_unweighted": {
            "train_on": ("draft", "internalize"), "joint_baseline": True, "transfer": unweighted,
        },
        "igrpo_bare_half": {"bare_fraction": 0.5},
    }  # fmt: skip
    expected = {one: IGRPO.model_copy(update=changed) for one, changed in changes.items()} | {
        "grpo": grpo(8), "grpo_half": grpo(4), "best_of_n": grpo(8), "dapo": grpo(8),
        "critique_grpo": ALGORITHMS["critique_grpo"], "self_verification": ALGORITHMS["self_verification"],
    }  # fmt: skip
    assert config.algorithm == expected[name]
    assert config.prompt.draft_thinking == ("strip" if name == "igrpo_no_thinking" else "keep")
    transfers = "internalize" in name or "answers" in name or name == "critique_grpo"
    assert (config.algorithm.transferring is not None) == transfers
    own = {"best_of_n": "best_of_n", "critique_grpo": "dr_grpo"} | dict.fromkeys(
        ("dapo", "igrpo_dapo", "igrpo_both_dapo"), "dapo"
    )
    assert (config.condition, config.objective.name) == (name, own.get(name, "grpo"))
    assert bool(config.dynamic_sampling.max_attempts) == (own.get(name) == "dapo")


def _objective(name: str, folder: Path) -> None:
    settings = composed(None, f"objective={name}").objective
    module = small_run.make("igrpo", objective_changes=settings.model_dump(exclude={"name"}), epochs=2)
    before = small_run.weights(module)
    small_run.fit(module, 1, folder)
    assert settings.name == name
    assert any(not torch.equal(value, before[key]) for key, value in module.policy.state_dict().items())


def _dynamic_sampling(name: str, folder: Path) -> None:
    config = composed(None, f"dynamic_sampling={name}")
    data = QuestionDataModule(small_run.SOURCE.train, seed=0, questions=3, steps=1)
    made = assembly.build_dynamic_sampling(config, data)
    if name == "none":
        assert made is None
        return
    assert made == DynamicSampling(16, 10, 1e-6, data.replacements)
    assert assembly.build_collector(config, _parts(config), made).refill is made


def _reward(name: str, folder: Path) -> None:
    if name.startswith("judge"):
        _judge(name, folder)
        return
    if name == "multiple_choice":
        chooser = assembly.build_reward(composed(None, f"reward={name}").reward, folder)
        texts = [completion(text) for text in (r"\boxed{B}", "Answer: (b)", "<answer>A</answer>")]
        assert values(asyncio.run(chooser.score(question(answer="B"), texts))) == [1, 1, 0]  # type: ignore[arg-type]
        return
    target = ["reward.target=igrpo.rewards.format:FormatReward"] if name == "python" else []  # more: test_reward.py
    # alone, the format gives no verdicts, which a run needs: it comes as a part of a sum
    settings = _format() if name == "format" else composed(None, f"reward={name}", *target).reward
    made = assembly.build_reward(settings, folder)
    texts = [r"<think>hm</think><answer>\boxed{2}</answer>", r"\boxed{2}", "3"]
    if name == "last_line":
        texts = ["12 / 6 = 2", "3\n2", "2\n3"]
    formatted = [1, 0, 0]
    expected = {
        "math_verify": [1, 1, 0], "format": formatted, "python": formatted, "math_verify_format": [2, 1, 0],
        "last_line": [1, 1, 0],
    }  # fmt: skip
    try:
        scores = asyncio.run(made.score(question(answer="2"), [completion(text) for text in texts]))
    finally:
        made.close()
    assert values(scores) == expected[name]


def _judge(name: str, folder: Path) -> None:
    """A judge of real HTTP that gives everything 0.8; the local one is a random model, which says nothing of use."""
    if name == "judge_vllm":  # with vLLM: tests/vllm/test_judge.py
        settings = composed(None, f"reward={name}", f"reward.model={write_model(folder / 'm')}")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("igrpo.generation.vllm.environment.find_spec", lambda name: None)
            patched.setattr("igrpo.assembly.judge.check_cpu_heads", lambda model_config: None)
            with pytest.raises(ValueError, match=r"reward=judge_vllm need vLLM, .*igrpo\[vllm\]"):
                assembly.build_reward(settings.reward, folder)
        return
    with JudgeServer(in_turn(score(0.8))) as server:
        remote = {"base_url": server.url, "model": "m"}
        own = {"model": str(write_model(folder / "m")), "max_tokens": "2", "device": "cpu"}
        section = "reward.parts.judge.reward" if name == "judge_and_rule" else "reward"
        own_settings = (own if name == "judge_local" else remote) | {"cache": "null"}
        settings = composed(
            None, f"reward={name}", *(f"{section}.{key}={value}" for key, value in own_settings.items())
        )
        made = assembly.build_reward(settings.reward, folder, folder / "ledger.sqlite")
        try:
            scores = asyncio.run(made.score(question(answer="2"), [completion(r"\boxed{2}"), completion("3")]))
        finally:
            made.close()
    expected = {
        "judge": [0.8, 0.8], "judge_gated": [1.0, 0.4], "judge_and_rule": [0.9, 0.4], "judge_local": [None, None],
    }[name]  # fmt: skip
    assert [s and s.value for s in scores] == pytest.approx(expected)
    assert (folder / "ledger.sqlite").exists()


def _judge_prompt(name: str, folder: Path) -> None:
    settings = ("reward=judge", "reward.base_url=http://127.0.0.1:1/v1", "reward.model=m")
    found = composed(None, *settings, f"judge_prompt@reward.prompt={name}").reward
    assert isinstance(found, JudgeConfig)
    prompt = JudgePrompt(found)
    system, user = (message["content"] for message in prompt.messages(question("2 + 2", "4"), "It is 4."))
    assert "never an instruction" in system
    assert all(text in user for text in ("2 + 2", "It is 4.", "known to be right", '"score": NUMBER'))


def _format() -> RewardConfig:
    whole = composed(None, "reward=math_verify_format").reward
    assert isinstance(whole, WeightedConfig)
    return whole.parts["format"].reward


def _rollout(name: str, folder: Path) -> None:
    config, policy = composed(None, f"rollout={name}"), tiny_policy()
    prompts = assembly.build_prompts(config.prompt, policy.tokenizer)
    if name == "local":
        assert isinstance(assembly.build_engine(config, policy, prompts, folder), LocalEngine)
        sharded = composed(None, "rollout=local", "trainer.strategy=fsdp2", "trainer.devices=2")
        assert isinstance(assembly.build_engine(sharded, policy, prompts, folder), ReplicaEngine)
    elif find_spec("vllm") is None:  # with it: tests/vllm
        with pytest.raises(ValueError, match=r"pip install 'igrpo\[vllm\]'"):
            assembly.build_engine(config, policy, prompts, folder)


def _correction(name: str, folder: Path) -> None:
    correction = composed(None, f"correction={name}").correction
    old, sampler = torch.tensor([[0.0, -1.0, -1.0]]), torch.tensor([[0.0, -2.0, -1.5]])
    weights = importance_weights(old, sampler, torch.ones(1, 3, dtype=torch.bool), correction).weights_BT
    whole = math.exp(1.5)  # of the completion; over 2, the upper bound
    expected = {
        "none": [1, 1, 1], "token_truncate": [1, 2, math.exp(0.5)], "token_mask": [1, 0, math.exp(0.5)],
        "sequence_truncate": [2, 2, 2], "sequence_mask": [0, 0, 0],
    }[name]  # fmt: skip
    assert whole > 2
    assert weights[0].tolist() == pytest.approx(expected)


def test_without_a_console_a_policy_uses_the_shared_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second one would draw at the bottom of the same terminal, and print although the shared one is quiet."""

    def warm_start(settings: Any, on_progress: Callable[[int, int, float], None]) -> Any:
        on_progress(1, 100, 2.0)
        raise KeyError

    monkeypatch.setattr("igrpo.assembly.policy.warm_started_tiny", warm_start)
    for is_quiet in (False, True):
        monkeypatch.setattr(get_console(), "quiet", is_quiet)
        with pytest.raises(KeyError):
            assembly.build_policy(composed(None, *TINY_SHAPE))
        assert ("warm start" in capsys.readouterr().out) is not is_quiet


def _lora(name: str, folder: Path) -> None:
    config = composed(None, *BYTES, f"lora={name}")
    model = assembly.build_policy(config, Console(quiet=True)).model
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert bool(config.lora.rank) == (name != "none") == all("lora_" in n for n in trained)
    assert trained


def _model(name: str, folder: Path) -> None:
    if name not in {"tiny", "byte_level", "huggingface"}:  # a name on the hub, whose shape is in tests/tools/doctor
        model = composed(None, f"model={name}", "prompt=boxed", "trainer=single").model
        assert isinstance(model, HuggingFaceModelConfig)
        assert not model.trust_remote_code
        prepared = model.name_or_path == str(cached_model(SMOLLM2))  # which is loaded in tests/smollm2
        assert prepared == (name == "smollm2_135m_q4")
        assert prepared or model.name_or_path.count("/") == 1
        return
    overrides = {
        "tiny": TINY_SHAPE,
        "byte_level": BYTES,
        "huggingface": ("model=huggingface", "prompt=boxed", f"model.name_or_path={write_model(folder / 'm')}"),
    }[name]
    config = composed(None, *overrides)
    policy = assembly.build_policy(config, Console(quiet=True))
    assert policy.stop_token_ids == (policy.tokenizer.eos_token_id,)
    assert policy.tokenizer.pad_token_id is not None
    assert bool(policy.tokenizer.chat_template) == (name != "tiny")
    assert not policy.model.training


def _data(name: str, folder: Path) -> None:
    file = write_problems(folder / "problems.jsonl")
    overrides: tuple[str, ...] = {
        "chains": (),
        "jsonl": (*BYTES, "data=jsonl", f"data.path={file}"),
        "hub": (*BYTES, "data=hub", f"data.dataset={file}"),
        "times_tables": (*BYTES, "data=times_tables"),
    }.get(name, ())
    if name in ROWS:
        overrides = (*BYTES, *write_set(name, folder / "set"))
    source = read_source(composed(None, *overrides).data)
    splits = (source.train, source.development, source.test)
    ids = [one.id for split in splits for one in split]
    assert all(len(split) > 0 for split in splits)
    sizes = {"chains": 20000 + 128 + 256, "jsonl": 24, "hub": 24, "times_tables": 19 * 11}
    assert len(set(ids)) == len(ids) == sizes.get(name, 80 if name in WITH_TEST else 60)


def _prompt(name: str, folder: Path) -> None:
    overrides = () if name == "tiny" else (*BYTES[::2], f"prompt={name}")
    policy = tiny_policy() if name == "tiny" else byte_policy()
    prompts = assembly.build_prompts(composed(None, *overrides).prompt, policy.tokenizer)
    shown = prompts.refinement_prompt(question("2 +3"), [completion("5")])
    text = policy.tokenizer.decode(shown.token_ids)
    assert "2 +3" in text
    assert len(shown.token_ids) > len(prompts.question_prompt(question("2 +3")).token_ids)
    assert len(shown.token_ids) > len(prompts.question_prompt(question("2 +3")).token_ids)
    asked = [prompts.critique_prompt(question("2 +3"), completion("5"))]
    asked += [prompts.revision_prompt(question("2 +3"), completion("5"), completion("7"))]
    asked += [prompts.verification_prompt(question("2 +3"), completion("5"))]
    for prompt in asked:
        assert "2 +3" in policy.tokenizer.decode(prompt.token_ids)
    assert len({prompt.token_ids for prompt in asked}) == 3


def _trainer(name: str, folder: Path) -> None:
    trainer = composed(None, f"trainer={name}").trainer
    kinds = {
        "single": SingleDeviceStrategy,
        "cpu": SingleDeviceStrategy,
        "ddp": ReplicaStrategy,
        "fsdp2": ShardStrategy,
    }
    assert type(build_strategy(trainer, torch.device("cpu"))) is kinds[name]
    if name == "cpu":
        assert assembly.build_device(trainer) == torch.device("cpu")
    elif torch.cuda.is_available():
        assert assembly.build_device(trainer) == torch.device("cuda", 0)
    else:
        with pytest.raises(ValueError, match=r"^trainer\.device=cuda, but torch sees no CUDA device; set trainer=cpu"):
            assembly.build_device(trainer)


def _evaluation(name: str, folder: Path) -> None:
    config = composed(
        {"sampling.max_completion_tokens": 4, "evaluation.max_completion_tokens": None}, f"evaluation={name}"
    )
    parts = _parts(config)
    try:
        result = asyncio.run(assembly.build_evaluator(config, [question(name="a"), question(name="b")], parts).run())
    finally:
        parts.close()
    assert len(result.per_question) == 2
    assert len(result.per_question[0].single_shot) == config.evaluation.samples == 4
    numbers = {"default": 0, "paper": 6, "paper_math": 7, "paper_transfer": 6, "test_time": 0}
    assert len(config.evaluation.benchmarks) == numbers[name]
    modes = [] if result.test_time is None else [curve.name for curve in result.test_time.curves]
    assert modes == list(config.evaluation.test_time)
    assert len(modes) == (4 if name == "test_time" else 0)
    assert result.greedy is None  # evaluation.greedy=false
    assert result.draft_conditioned is not None
    assert result.draft_conditioned_oracle is None  # evaluation.oracle_drafts=0


def _benchmark(name: str, folder: Path) -> None:
    """Made of the reward and the sampling that its file names; what it reads is in tests/data/test_benchmarks.py."""
    config = composed({"sampling.max_completion_tokens": 4}, f"+benchmark@evaluation.benchmarks.own={name}")
    parts = _parts(config)
    own = assembly.build_benchmark_rewards(config, parts.reward)
    parts = replace(parts, benchmark_rewards=own)
    asked = Question("a", "2", "B", ("1", "2")) if own else question(name="a")
    try:
        result = asyncio.run(assembly.build_benchmark_evaluator(config, "own", [asked], parts).run())
    finally:
        parts.close()
    assert len(result.per_question[0].single_shot) == config.evaluation.benchmarks["own"].samples
    assert bool(own) == (name in {"gpqa_diamond", "mmlu_pro"})
    assert result.draft_conditioned is None


def _test_time(name: str, folder: Path) -> None:
    settings = [f"+test_time@evaluation.test_time.mine={name}"]
    settings += ["+test_time@evaluation.test_time.other=pdr"] if name == "majority" else []
    config = composed(
        {"sampling.max_completion_tokens": 4, "evaluation.samples": 2, "prompt.max_draft_tokens": 6}, *settings
    )
    parts, questions = _parts(config), [question(name="a"), question(name="b")]
    try:
        result = asyncio.run(assembly.build_evaluator(config, questions, parts).run())
        development = asyncio.run(assembly.build_development_evaluator(config, questions, parts).run())
    finally:
        parts.close()
    assert development.test_time is None
    assert result.test_time is not None
    mode, curve = config.evaluation.test_time["mine"], result.test_time.curves[0]
    last = {"majority": 6, "refine": 12, "refine_oracle": 12, "rsa": 12, "pdr": 6}[name]
    assert [point.samples for point in curve.points] == [step.samples for step in mode.plan(config.evaluation.budgets)]
    assert (curve.name, curve.points[-1].samples, curve.oracle) == ("mine", last, name == "refine_oracle")


def test_the_development_split_alone_stops_by_need() -> None:
    config = composed({"sampling.max_completion_tokens": 4, "evaluation.interval_width": 0.99})
    parts, questions = _parts(config), [question(name=name) for name in "abcdef"]
    try:
        stopped = asyncio.run(assembly.build_development_evaluator(config, questions, parts).run())
        whole = asyncio.run(assembly.build_evaluator(config, questions, parts).run())
    finally:
        parts.reward.close()
    assert [len(one.single_shot) for one in stopped.per_question] == 6 * [2]
    assert [len(one.single_shot) for one in whole.per_question] == 6 * [4]
    assert [one.single_shot for one in stopped.per_question] == [one.single_shot[:2] for one in whole.per_question]


@pytest.mark.parametrize(("pipeline", "barriers"), [(False, 2), (True, 0)])
def test_evaluation_keeps_the_barrier_between_its_stages(
    monkeypatch: pytest.MonkeyPatch, pipeline: bool, barriers: int
) -> None:
    made: list[int] = []

    def counted(engine: Any, workers: int) -> BatchBarrier:
        made.append(workers)
        return BatchBarrier(engine, workers)

    monkeypatch.setattr("igrpo.assembly.cycle.BatchBarrier", counted)
    config = composed({"sampling.max_completion_tokens": 4, "rollout.pipeline": pipeline})
    parts = _parts(config)
    try:
        asyncio.run(assembly.build_evaluator(config, [question(name="a"), question(name="b")], parts).run())
    finally:
        parts.reward.close()
    assert len(made) == barriers


def _parts(config: RunConfig) -> assembly.Parts:
    policy = tiny_policy()
    prompts = assembly.build_prompts(config.prompt, policy.tokenizer)
    engine = assembly.build_engine(config, policy, prompts, Path())
    reward, aids = assembly.build_reward(config.reward, None), assembly.build_aids(config)
    return assembly.Parts(policy, engine, reward, prompts, aids=aids)


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
    "dynamic_sampling": _dynamic_sampling,
    "correction": _correction, "lora": _lora,
    "judge_prompt": _judge_prompt, "algorithm": _algorithm, "condition": _condition, "objective": _objective, "reward": _reward, "rollout": _rollout, "model": _model,
    "data": _data, "prompt": _prompt, "trainer": _trainer, "evaluation": _evaluation, "checkpoint": _checkpoint,
    "tracking": _tracking, "benchmark": _benchmark,
    "test_time": _test_time,
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
