"""Models in GGUF: loaded with their weights, trained and saved like any other, and refused where they cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from igrpo.assembly.policy import Policy
from igrpo.assembly.vllm import served_model
from igrpo.cli.main import main
from igrpo.config.checks import missing_files
from igrpo.messages import install
from igrpo.models.load import load_policy, load_shape
from igrpo.runs.file_prints import file_print, folder_prints
from igrpo.tools.doctor.shape import UnknownShapeError, shape_of
from tests.composed import config
from tests.tiny_gguf import SAME, TEMPLATE, write_gguf

FILE = "tiny.Q8_0.gguf"


def load(folder: Path, file: str = FILE) -> tuple[Any, Any]:
    return load_policy(str(folder), dtype="float32", attention="sdpa", gguf_file=file)


def settings(folder: Path, file: str = FILE) -> Any:
    return config(None, "model=huggingface", f"model.name_or_path={folder}", f"model.gguf_file={file}", "prompt=boxed")


def test_its_weights_are_those_of_the_file(tmp_path: Path) -> None:
    tensors = write_gguf(tmp_path / FILE)
    model, tokenizer = load(tmp_path)
    parameters = dict(model.named_parameters())
    for name, values in tensors.items():
        assert torch.equal(parameters[SAME[name]], torch.tensor(values))
    assert tokenizer.encode("ab7", add_special_tokens=False) == [3, 4, 3 + 26 + 7]
    assert tokenizer.chat_template == TEMPLATE


def test_it_is_trained_and_saved_like_any_other(tmp_path: Path) -> None:
    write_gguf(tmp_path / FILE)
    model, tokenizer = load(tmp_path)
    model.train()
    loss = model(torch.tensor([[1, 5, 7]]), labels=torch.tensor([[1, 5, 7]])).loss
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(parameter.grad, alpha=0.1)
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    for name, parameter in model.named_parameters():
        assert torch.equal(again.get_parameter(name), parameter)
    _, its_tokenizer = load_shape(str(tmp_path / "saved"))
    assert its_tokenizer.encode("ab7") == tokenizer.encode("ab7")


def test_what_cannot_be_read_is_told_before_a_run_and_by_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(tmp_path / FILE)
    assert missing_files(settings(tmp_path)) == []
    (problem,) = missing_files(settings(tmp_path, "other.gguf"))
    assert problem == f"model.gguf_file=other.gguf: there is no such file in {tmp_path}"
    with pytest.raises(ValueError, match=r"^model\.gguf_file=other\.gguf: there is no such file"):
        load(tmp_path, "other.gguf")
    monkeypatch.setattr("igrpo.models.files.find_spec", lambda name: None)
    (problem,) = missing_files(settings(tmp_path))
    assert problem.endswith(install("gguf"))
    with pytest.raises(ValueError, match=r"^model\.gguf_file=.*igrpo\[gguf\]"):
        load(tmp_path)


def test_where_else_a_model_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """Its fingerprint, what vLLM is started with, doctor, and a judge's server."""
    write_gguf(tmp_path / FILE)
    assert folder_prints(str(tmp_path), None, FILE) == {FILE: file_print(tmp_path / FILE)}
    run = settings(tmp_path)
    model, tokenizer = load(tmp_path)
    served = served_model(run, Policy(model, tokenizer, (2,)), tmp_path / "served")
    shape, _ = load_shape(served.path)
    assert {name: p.shape for name, p in shape.named_parameters()} == {n: p.shape for n, p in model.named_parameters()}
    with pytest.raises(UnknownShapeError, match=r"^model\.gguf_file=.* the sizes of a model in GGUF"):
        shape_of(run.model)
    monkeypatch.setattr("igrpo.generation.vllm.environment.find_spec", lambda name: object())
    assert main(["serve", "--judge", f"model.name_or_path={tmp_path}", f"model.gguf_file={FILE}"]) == 2
    assert f"model.gguf_file={FILE}: igrpo serve --judge does not read GGUF" in capsys.readouterr().err


@pytest.mark.parametrize("kept", [0, 3, 21, 200, 1400, 5000, -40])
def test_a_broken_file_is_told(tmp_path: Path, kept: int) -> None:
    write_gguf(tmp_path / FILE)
    content = (tmp_path / FILE).read_bytes()
    assert len(content) > 5000
    (tmp_path / FILE).write_bytes(content[:kept])
    with pytest.raises(ValueError, match=rf"^model\.name_or_path={tmp_path}: .*cannot be "):
        load(tmp_path)
