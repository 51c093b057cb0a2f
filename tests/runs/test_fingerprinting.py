"""Fingerprints of real parts: what changes them, and what does not."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import try_to_load_from_cache

from igrpo.assembly import read_splits
from igrpo.assembly.reward import build_reward
from igrpo.runs import file_prints
from igrpo.runs.file_prints import file_print, folder_prints, user_files
from igrpo.runs.fingerprinting import (
    make_fingerprints,
    model_prints,
    prompt_examples,
    question_prints,
    reward_prints,
)
from igrpo.runs.fingerprints import PARTS, differences
from igrpo.settings.reward import PythonRewardConfig, RewardConfig
from igrpo.types import Question
from tests.assembly.parts import byte_policy
from tests.assembly.test_lengths import layout
from tests.composed import config

QUESTIONS = [Question(f"q{i}", f"{i}+1?", str(i + 1)) for i in range(4)]


def changed(*questions: Question) -> list[str]:
    """What is said of a split that has become these."""
    return differences("questions", question_prints({"test": QUESTIONS}), question_prints({"test": questions}))


def test_a_split_is_its_ids_texts_and_answers_in_their_order() -> None:
    first, *rest = QUESTIONS
    assert changed(*QUESTIONS) == []
    assert changed(Question("q0", "0+1?", "2"), *rest) == ["the test split has other answers (of 4 questions)"]
    assert changed(Question("q0", "0+ 1?", "1"), *rest) == ["the test split has other texts (of 4 questions)"]
    assert changed(Question("p0", "0+1?", "1"), *rest) == ["the test split has other ids (of 4 questions)"]
    assert changed(*rest) == ["the test split has 3 questions, not 4"]
    assert "another order" in changed(*rest, first)[0]
    # where one text ends and the next begins counts, and text that is no valid Unicode has a fingerprint, too
    assert changed(Question("q0", "0+1?", "12"), Question("q1", "1+1?", ""), *QUESTIONS[2:])
    assert changed(Question("q0", "0+1?\ud800", "1"), *rest)


def reward(*overrides: str, **changes: Any) -> RewardConfig:
    return config({f"reward.{name}": value for name, value in changes.items()}, *overrides).reward


def test_settings_of_a_reward_count_unless_they_change_no_score() -> None:
    before = reward_prints(reward())
    assert reward_prints(reward(workers=7, cache_size=3)) == before
    assert differences("reward", before, reward_prints(reward(percent="any"))) == ["reward (settings)"]
    assert before["reward"]["math-verify"]
    judge = ("reward=judge", "reward.base_url=http://127.0.0.1:1/v1", "reward.model=m")
    before = reward_prints(reward(*judge))
    moved: dict[str, Any] = {"base_url": "https://other/v1", "retries": 9, "input_price": 3.0, "verifier.workers": 5}
    assert reward_prints(reward(*judge, **moved)) == before
    for name, value in {"threshold": 0.75, "prompt.system": "Be kind.", "verifier.percent": "any"}.items():
        assert differences("reward", before, reward_prints(reward(*judge, **{name: value}))) == ["reward (settings)"]


def test_each_part_of_a_sum_has_its_own_and_the_weights_count() -> None:
    before = reward_prints(reward("reward=math_verify_format"))
    assert len(before) == 3
    after = reward_prints(reward("reward=math_verify_format", **{"parts.format.weight": 0.75}))
    assert differences("reward", before, after) == ["reward.parts (format)"]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A reward of a user's own in the working directory, in a package, with helpers that it imports."""
    name = f"rewards_{tmp_path.name}"
    package = tmp_path / name / "inner"
    package.mkdir(parents=True)
    body = (
        f"from ..shared import LENGTH\nimport helper_{name}\n\n"
        "class Mine:\n    name = 'mine'\n    async def score(self, question, completions):\n"
        "        import json\n        from . import late\n        return []\n    def close(self):\n        pass\n"
    )
    (package / "reward.py").write_text(body)
    (package / "late.py").write_text("from . import reward\n")  # a circle
    (package / "__init__.py").touch()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "shared.py").write_text("LENGTH = 3\n")
    (tmp_path / f"helper_{name}.py").write_text("FIRST = 1\n")
    (tmp_path / "unrelated.py").write_text("1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the working directory is put there
    return f"{name}.inner.reward"


def test_a_reward_of_ones_own_is_its_file_and_its_imports(module: str, tmp_path: Path) -> None:
    settings = PythonRewardConfig(name="python", target=f"{module}:Mine", arguments={})
    build_reward(settings, None)
    before = reward_prints(settings)
    top = module.partition(".")[0]
    assert before["reward"].keys() - {"settings"} == {
        f"{top}/inner/reward.py", f"{top}/inner/late.py", f"{top}/inner/__init__.py", f"{top}/__init__.py",
        f"{top}/shared.py", f"helper_{top}.py",
    }  # fmt: skip
    (tmp_path / "unrelated.py").write_text("2\n")
    assert reward_prints(settings) == before
    (tmp_path / top / "shared.py").write_text("LENGTH = 4\n")
    assert differences("reward", before, reward_prints(settings)) == [f"reward ({top}/shared.py)"]
    other = settings.model_copy(update={"arguments": {"x": 1}})
    assert "reward (settings" in differences("reward", before, reward_prints(other))[0]


def test_of_an_installed_package_only_its_own_files_count() -> None:
    import math_verify  # noqa: F401 - it is looked at

    names = [name for name, _ in user_files("math_verify")]
    assert "math_verify/__init__.py" in names
    assert all(name.startswith("math_verify/") for name in names)
    assert list(user_files("sys")) == []  # it has no file


def test_a_model_is_its_files(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json", "README.md"):
        (tmp_path / name).write_text("x")
    before = {"model": folder_prints(str(tmp_path), None)}
    assert before["model"].keys() == {"config.json", "model.safetensors", "tokenizer.json"}
    (tmp_path / "README.md").write_text("y")
    assert folder_prints(str(tmp_path), None) == before["model"]
    (tmp_path / "tokenizer.json").write_text("y")
    (tmp_path / "chat_template.jinja").write_text("y")
    now = {"model": folder_prints(str(tmp_path), None)}
    assert differences("model", before, now) == ["model (tokenizer.json, chat_template.jinja)"]
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path, copy)
    assert folder_prints(str(copy), None) == now["model"]  # wherever it lies


def test_a_large_file_is_sampled_from_end_to_end(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    size = 40 * 2**20
    path.write_bytes(bytes(size))
    before = file_print(path)
    assert before.startswith("sampled")
    for start, length in ((10, 1), (size - 1, 1), (size // 3, 2**20)):
        with path.open("r+b") as file:
            file.seek(start)
            file.write(b"\x01" * length)
        assert file_print(path) != before
        path.write_bytes(bytes(size))
    assert file_print(path) == before
    path.write_bytes(bytes(size + 1))
    assert file_print(path) != before


def test_a_hub_model_is_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "models--someone--model"
    for commit in ("a" * 40, "b" * 40):
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "snapshots" / commit / "config.json").write_text("{}")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(file_prints, "try_to_load_from_cache", partial(try_to_load_from_cache, cache_dir=tmp_path))
    assert folder_prints("someone/model", None) == {"commit": "a" * 40}
    assert folder_prints("someone/model", "b" * 40) == {"commit": "b" * 40}
    assert folder_prints("someone/other", None) == {"commit": "unknown"}


def test_the_tiny_model_is_its_settings_and_warm_start() -> None:
    before = model_prints(config())
    assert model_prints(config({"seed": 5, "data.seed": 7})) == before
    assert differences("model", before, model_prints(config({"model.warm_start.seed": 5}))) == ["model (settings)"]
    assert differences("model", before, model_prints(config({"data.operations": 4}))) == ["model (warm start)"]


SMALL: Mapping[str, Any] = {"data.train": 20, "data.development": 4, "data.test": 4}


def test_a_run_has_all_of_them_and_its_prompts_in_full() -> None:
    settings = config(SMALL)
    splits: Mapping[str, Sequence[Question]] = read_splits(settings)
    prompts = layout(max_question_tokens=200)
    made = make_fingerprints(settings, prompts, splits, date(2026, 1, 2))
    assert made.date == "2026-01-02"
    assert {name: split["questions"] for name, split in made.questions.items()} == {
        "train": "20",
        "development": "4",
        "test": "4",
    }
    assert all(made.of(part) for part in PARTS)
    question = splits["train"][0]
    tokenizer = byte_policy().tokenizer
    text = prompt_examples(prompts, tokenizer, question)
    assert tokenizer.decode(prompts.question_prompt(question).token_ids) in text
    for name in made.prompts:
        assert f"prompt.{name}" in text
    assert text.count(question.problem) == len(made.prompts)
    assert "{draft}" in text
