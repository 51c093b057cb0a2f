"""The recipes of docs/extending.md, taken from the page: their files are written, their commands run."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from igrpo.assembly.reward import build_reward
from igrpo.config import RunConfig
from igrpo.config.composing.composer import Composer
from igrpo.data.sources import read_source
from igrpo.rewards.base import checked_score
from igrpo.types import Completion, Question, Score
from tests.docs.pages import ROOT, blocks, commands, read, section
from tests.trained_runs import SMALL

PAGE = read("docs/extending.md")
BESIDE, CHECKOUT = PAGE.split("\n## Changes of a checkout\n")

_FILE = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def write_files(text: str, folder: Path) -> list[str]:
    """Write the files of a part of the page, and return their names."""
    found = dict(_FILE.findall(text))
    for name, content in found.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return list(found)


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a user who has written the files of the first part."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write_files(BESIDE, tmp_path)
    return tmp_path


def checked(heading: str) -> RunConfig:
    """The settings of the one command under a heading."""
    ((verb, *settings),) = commands(section(PAGE, heading))
    assert verb == "train"
    with Composer("train") as composer:
        return composer.check_run(settings).config


def scores(config: RunConfig, *texts: str) -> list[Score | None]:
    completions = [Completion((1, 2, 3), text, (), None, None, "stop", 0) for text in texts]
    reward = build_reward(config.reward, None)
    try:
        return list(asyncio.run(checked_score(reward, Question("1", "What is 3 + 4?", "7"), completions)))
    finally:
        reward.close()


def test_a_reward_function(beside: Path) -> None:
    right, wrong = scores(checked("A reward function"), "It is \\boxed{7}", "It is \\boxed{8}")
    assert right is not None
    assert wrong is not None
    assert (right.value, right.correct, wrong.value, wrong.correct) == (1.0, True, 0.0, False)


def test_a_reward_class(beside: Path) -> None:
    right, wrong = scores(checked("A reward class"), "It is \\boxed{7}", "It is \\boxed{8}")
    assert right is not None
    assert wrong is not None
    assert (right.value, right.outcome) == (pytest.approx(0.997), "right")
    assert (wrong.value, wrong.outcome) == (pytest.approx(-0.003), "wrong")


def test_a_sum_of_rewards(beside: Path) -> None:
    reward = checked("A sum of rewards").reward
    assert reward.name == "weighted"
    assert {name: part.weight for name, part in reward.parts.items()} == {"accuracy": 1.0, "format": 0.1}


def test_a_model_and_a_prompt(beside: Path) -> None:
    assert checked("A model").model.name == "huggingface"
    prompt = checked("Prompts").prompt
    assert prompt.name == "boxed"
    assert str(prompt.refinement).startswith("Earlier attempt:\n{draft}")


def test_data(beside: Path) -> None:
    splits = read_source(checked("Data").data)
    questions = [*splits.train, *splits.development, *splits.test]
    assert sorted(question.answer for question in questions) == ["2", "30", "7", "7"]
    assert (len(splits.train), len(splits.development), len(splits.test)) == (2, 1, 1)


def test_an_experiment_and_a_sweep(beside: Path) -> None:
    config = checked("An experiment")
    assert (config.objective.name, config.trainer.epochs) == ("gspo", 3)
    ((_, *settings),) = commands(section(PAGE, "A sweep"))
    with Composer("train") as composer:
        sweep = composer.check_sweep([*(text for text in settings if text != "--plan"), "seed=0"])
    assert sweep.keys == ("trainer.learning_rate", "seed")
    assert [cell.config.trainer.learning_rate for cell in sweep.cells] == [1e-4, 3e-4]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with the files and changes of the second part."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("igrpo", "conf", "experiments", "sweeps"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    assert len(write_files(CHECKOUT, folder)) == 6
    for number, change in enumerate(blocks(CHECKOUT, "diff")):
        (folder / f"{number}.diff").write_text(change, encoding="utf-8")
        apply = ["git", "apply", "--whitespace=nowarn", f"{number}.diff"]
        environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
        done = subprocess.run(apply, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


#: Arguments: settings of a run, "--", settings of a condition. One process, since it imports torch.
SCRIPT = """
import sys
from igrpo.cli.main import main
from igrpo.config.composing.composer import Composer
from igrpo.metrics.definitions import STEP_METRICS

at = sys.argv.index("--")
code = main(["train", *sys.argv[1:at]])
with Composer("train") as composer:
    config = composer.check_run(sys.argv[at + 1 :]).config
print()
print(code, config.condition, config.algorithm.name, config.objective.clip_high, STEP_METRICS["answer/length_min"])
"""


@pytest.mark.slow
def test_an_algorithm_an_objective_a_condition_a_mode_and_a_metric_of_a_checkout(checkout: Path) -> None:
    ((_, *objective),) = commands(section(PAGE, "An objective of known parts"))
    ((_, *algorithm),) = commands(section(PAGE, "An algorithm"))
    ((_, *condition),) = commands(section(PAGE, "A condition"))
    ((_, *mode),) = commands(section(PAGE, "A test-time mode"))
    assert (objective, algorithm[1]) == (["objective=clip_wide", "trainer.epochs=2"], "algorithm=retry")
    settings = [*algorithm, *objective, *mode, *SMALL, "trainer.steps=1", "hydra.run.dir=run"]
    chosen = [text.replace("grpo,wide", "wide").replace("0,1", "1") for text in condition if text[0] != "-"]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", SCRIPT, *settings, "--", *chosen]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "0 wide igrpo 0.5 tokens; the shortest completion, of answers"
    lines = [json.loads(line) for line in (checkout / "run" / "metrics.jsonl").read_text().splitlines()]
    (step,) = (line for line in lines if "budget/samples" in line)
    assert step["answer/completions"] in {4.0, 6.0, 8.0}  # a second group for a question without a right answer
    assert 1 <= step["answer/length_min"] <= step["answer/length_mean"]
    evaluation = json.loads((checkout / "run" / "evaluations" / "test-000001.json").read_text())
    curves = {curve["name"]: curve for curve in evaluation["test_time"]["curves"]}
    assert list(curves) == ["majority", "refine", "rsa", "pdr", "longest"]
    (point,), (gain,) = curves["longest"]["points"], curves["longest"]["gains"]
    assert (point["step"], point["samples"], gain["baseline"]) == ("all", 4, "majority")
