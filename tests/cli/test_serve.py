"""`igrpo serve`: what it says before it starts anything."""

from __future__ import annotations

import pytest

from igrpo.cli.main import main


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["serve", *arguments])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_help_tells_both_command_lines(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "--help")
    assert code == 0
    assert "igrpo serve experiment=" in text
    assert "rollout=vllm_server rollout.url=" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "8000"], "--port: no such option"),
        (["rollout=local"], "rollout=local: igrpo serve is for rollout=vllm_server"),
        (["rollout=vllm_colocate"], "rollout=vllm_colocate: igrpo serve is for"),
        (["rollout.url=http://127.0.0.1:1"], "is for the training that uses a server"),
        (["rollout.prot=1"], "prot"),
        (["rollout.host=0.0.0.0"], "rollout.allow_remote=true"),
        (["--judge"], "model.name_or_path: missing"),
        (["--judge", "model.name_or_path=m", "rollout.host=0.0.0.0"], "rollout.allow_remote=true"),
        (["--judge", "model.name_or_path=./m"], "model.name_or_path=./m: there is no such directory"),
        (["--judge", "model=byte_level"], "model=byte_level: igrpo serve --judge is for model=huggingface"),
        (["--jugde"], "--jugde: no such option"),
    ],
)
def test_wrong_settings_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.setattr("igrpo.generation.vllm.environment.find_spec", lambda name: object())
    code, text = said(capsys, *arguments)
    assert code == 2
    assert words in text


def test_a_machine_without_vllm_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("igrpo.generation.vllm.environment.find_spec", lambda name: None)
    code, text = said(capsys)
    assert code == 2
    assert "pip install 'igrpo[vllm]'" in text
