"""Completion of command lines: the candidates, and the script for bash as bash runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from igrpo.cli.complete import candidates
from igrpo.cli.completion import SCRIPTS
from igrpo.cli.main import VERBS, main
from igrpo.config.composing.folders import choices, groups
from igrpo.config.setting import all_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with presets of the user's own, runs and a file."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text("# @package _global_\n# Mine.\nseed: 3\n")
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "my_grid.yaml").write_text("# @package _global_\n# Mine?\n")
    (tmp_path / "runs" / "a b").mkdir(parents=True)
    (tmp_path / "run.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_verbs() -> None:
    assert candidates("igrpo ") == sorted([*VERBS, "--help", "--version"])
    assert candidates("igrpo re") == ["report", "reproduce", "rescore"]
    assert candidates("igrpo zzz x") == []


@pytest.mark.parametrize("verb", VERBS)
def test_options_of_every_verb(verb: str) -> None:
    assert "--help" in candidates(f"igrpo {verb} --")


def test_options_and_their_values() -> None:
    assert candidates("igrpo train seed=1 --mu") == ["--multirun"]
    assert candidates("igrpo train --cfg ") == ["all", "hydra", "job"]
    assert "searchpath" in candidates("igrpo train --info s")
    assert candidates("igrpo completion ") == ["bash", "fish", "zsh"]
    assert candidates("igrpo report ru") == ["run.jsonl", "runs/"]


def test_groups_and_settings() -> None:
    words = candidates("igrpo train ")
    assert {f"{group}=" for group in groups()} <= set(words)
    assert {"seed=", "resume=", "tuned=", "trainer.", "budget."} <= set(words)
    assert not [word for word in words if word.startswith("--")]
    assert candidates("igrpo doctor trainer.learn") == ["trainer.learning_rate="]
    assert candidates("igrpo train objective.advantage.s") == [
        "objective.advantage.scale=",
        "objective.advantage.select=",
        "objective.advantage.std=",
        "objective.advantage.std_eps=",
    ]
    assert candidates("igrpo train ++trainer.learn") == ["++trainer.learning_rate="]
    assert candidates("igrpo train trainer.share_prefixes=") == [
        "trainer.share_prefixes=false",
        "trainer.share_prefixes=true",
    ]


def test_settings_follow_the_choices_before_them() -> None:
    assert candidates("igrpo train algorithm.a") == ["algorithm.all_failed="]
    assert candidates("igrpo train algorithm=grpo algorithm.a") == ["algorithm.answers="]
    assert candidates("igrpo train condition=self_verification algorithm.b") == [
        "algorithm.balanced=",
        "algorithm.buffer=",
    ]
    assert candidates("igrpo train algorithm=igrop experiment=no seed") == ["seed="]


@pytest.mark.parametrize("choice", [[], ["reward=judge"], ["rollout=vllm_server"], ["data=hub"], ["model=huggingface"]])
def test_every_completed_setting_exists(choice: list[str]) -> None:
    def below(start: str) -> list[str]:
        words = candidates(" ".join(["igrpo", "train", *choice, start]))
        return [name for word in words for name in (below(word) if word.endswith(".") else [word])]

    sections = {path.partition(".")[0] for path in all_settings() if "." in path}
    found = {word.removesuffix("=") for section in sections for word in below(f"{section}.")}
    assert len(found) > 130
    nested = {name for name in found if name.startswith(("reward.verifier.", "reward.parts."))}
    assert found - nested <= set(all_settings())


def test_choices_with_the_users_own() -> None:
    assert candidates("igrpo train algorithm=") == [f"algorithm={choice.name}" for choice in choices("algorithm")]
    assert candidates("igrpo train experiment=mi") == ["experiment=mine"]
    assert "sweep=my_grid" in candidates("igrpo train sweep=")
    assert candidates("igrpo train condition=grpo,igrpo_q") == ["condition=grpo,igrpo_quarter"]
    assert candidates("igrpo train hydra/launcher=submitit_s") == ["hydra/launcher=submitit_slurm"]


def test_settings_of_reproduce() -> None:
    assert candidates("igrpo reproduce table=s") == ["table=s1", "table=s3", "table=s4"]
    assert candidates("igrpo reproduce table=1 q") == ["quick="]
    assert candidates("igrpo reproduce table=1 quick=") == ["quick=false", "quick=true"]
    assert "model=tiny" in candidates("igrpo reproduce model=t")
    assert candidates("igrpo reproduce table=1 trainer.ste") == ["trainer.steps="]
    assert candidates("igrpo reproduce --pl") == ["--plan"]


def test_paths() -> None:
    assert candidates("igrpo train resume=ru") == ["resume=run.jsonl", "resume=runs/"]
    assert candidates("igrpo train resume=runs/") == ["resume=runs/a b/"]
    assert candidates("igrpo train tuned=runs/x,runs/a") == ["tuned=runs/x,runs/a b/"]
    assert candidates("igrpo train resume=runs/a\\ b/../a\\ ") == ["resume=runs/a b/../a b/"]
    assert candidates("igrpo train resume=nowhere/x") == []


def test_topics_of_help() -> None:
    words = candidates("igrpo train --help ")
    assert {"model", "experiment", "seed", "trainer.steps", "sampling.top_p"} <= set(words)
    assert candidates("igrpo train --help objec") == ["objective", *(w for w in words if w.startswith("objective."))]


def test_it_imports_nothing_slow() -> None:
    code = (
        "import sys; from igrpo.cli.main import main\n"
        "for line in ('', 'train ', 'train --', 'train model=', 'train resume=x', 'report --', 'reproduce table='): "
        "main(['complete', f'igrpo {line}'])\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'hydra', 'omegaconf', 'pydantic', 'numpy', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == "[]\n"


#: The words of a line as bash splits them, at = and :, and what it is to insert in place of the last one.
IN_BASH = {
    ("igrpo", "compl"): ["completion"],
    ("igrpo", "train", "experiment", "=", "mi"): ["mine"],
    ("igrpo", "train", "algorithm", "="): ["critique_grpo", "grpo", "igrpo", "self_verification"],
    ("igrpo", "train", "trainer.learning_"): ["trainer.learning_rate="],
    ("igrpo", "train", "condition", "=", "grpo,igrpo_q"): ["grpo,igrpo_quarter"],
    ("igrpo", "train", "resume", "=", "runs/a"): ["runs/a\\ b/"],
    ("igrpo", "train", "resume", "=", "runs/a\\ b"): ["runs/a\\ b/"],
}


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """Variables with which a shell finds the command."""
    command = folder / "bin" / "igrpo"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m igrpo "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(environment: dict[str, str]) -> None:
    lines = ['eval "$(igrpo completion bash)"', "complete -p igrpo"]
    for words in IN_BASH:
        line = " ".join(words).replace(" = ", "=").removesuffix(" =") + ("=" if words[-1] == "=" else "")
        quoted = " ".join(f"'{word}'" for word in words)
        lines += [
            f"COMP_LINE='{line}' COMP_POINT={len(line)} COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}",
            '_igrpo; printf "%s\\n" "${COMPREPLY[@]}" --',
        ]
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(lines)], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stderr == ""
    first, _, rest = done.stdout.partition("\n")
    assert first == "complete -F _igrpo igrpo"
    assert [text.split("\n")[:-1] for text in rest.removesuffix("--\n").split("--\n")] == list(IN_BASH.values())


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_completes(environment: dict[str, str]) -> None:
    lines = (
        'igrpo completion fish | source; complete -C "igrpo train experiment=mi"; complete -C "igrpo train resume=r"'
    )
    done = subprocess.run(["fish", "-c", lines], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines() == ["experiment=mine", "resume=run.jsonl", "resume=runs/"]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_every_script_asks_the_same_command_and_is_valid(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert " complete " in script
    assert script == script.strip() + "\n"
    if shutil.which(shell) is not None:  # zsh and fish are seldom installed
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_an_unknown_shell_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "'bash'" in capsys.readouterr().err
