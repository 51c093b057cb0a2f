"""Checks of generative judges: contradictory settings, missing packages and missing models."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from igrpo.config.schema import RunConfig
from igrpo.messages import install
from igrpo.models.files import no_directory
from igrpo.settings.judge import EngineJudgeConfig, GenerativeJudgeConfig, JudgeConfig, JudgeVllmConfig

_MARKS = {"user": ("{problem}", "{reference}", "{solution}"), "reference": ("{answer}",)}


def judge_problems(config: RunConfig) -> Iterator[str]:
    """Yield a message for each contradiction: the setting, its value and what to change."""
    parts = config.single_rewards
    for path, part in parts.items():
        if isinstance(part, GenerativeJudgeConfig):
            yield from _common(path, part)
        if isinstance(part, JudgeConfig) and part.max_cost is not None and part.input_price + part.output_price == 0:
            yield (
                f"{path}.max_cost={part.max_cost} is never reached by a judge that costs nothing; give "
                f"{path}.input_price and {path}.output_price, or set it to null"
            )

    by_vllm = [path for path, part in parts.items() if isinstance(part, JudgeVllmConfig)]
    if by_vllm:
        yield from _in_process(config, by_vllm)


def _in_process(config: RunConfig, judges: list[str]) -> Iterator[str]:
    others = [f"rollout={config.rollout.name}"] if config.rollout.name == "vllm_colocate" else []
    if len(judges) + len(others) > 1:
        several = " and ".join([*(f"{path}.name=judge_vllm" for path in judges), *others])
        yield (
            f"{several}: at most one vLLM engine can run in the trainer's process; start the judge with `igrpo serve "
            "--judge` and use reward=judge"
        )
    if config.processes > 1:
        yield (
            f"{judges[0]}.name=judge_vllm is for one trainer process, and there are {config.processes}; start the "
            "judge with `igrpo serve --judge` and use reward=judge"
        )


def _common(path: str, judge: GenerativeJudgeConfig) -> Iterator[str]:
    if judge.votes > 1 and judge.temperature == 0:
        yield (
            f"{path}.votes={judge.votes} are all the same at {path}.temperature=0; raise the temperature, or set votes "
            "to 1"
        )
    for key, marks in _MARKS.items():
        text: str = getattr(judge.prompt, key)
        for mark in marks:
            if text.count(mark) != 1:
                yield f"{path}.prompt.{key} must hold {mark} exactly once; it holds it {text.count(mark)} times"


def missing_for_judges(config: RunConfig) -> Iterator[str]:
    """Yield a message for each package that is not installed and each model directory that does not exist."""
    for path, part in config.single_rewards.items():
        if isinstance(part, JudgeConfig) and find_spec("openai") is None:
            yield f"{path}.name=judge needs the openai client, which is not installed: {install('judge')}"
        if isinstance(part, JudgeVllmConfig) and find_spec("vllm") is None:
            yield f"{path}.name=judge_vllm needs vLLM, which is not installed: {install('vllm')}"
        is_path = isinstance(part, EngineJudgeConfig) and part.model.startswith((".", "/", "~"))
        if isinstance(part, EngineJudgeConfig) and is_path and not Path(part.model).expanduser().is_dir():
            yield f"{path}.model={part.model}: {no_directory(part.model)}"
