"""`igrpo export`: what it writes loads elsewhere and is what was trained; what it refuses, and that it leaves no half."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel

from igrpo.assembly import build_policy
from igrpo.cli.main import main
from igrpo.config import read_config
from igrpo.models.load import load_policy
from igrpo.models.weights import named_weights
from igrpo.tools.export import export
from igrpo.tools.exported import read_record
from igrpo.tools.trained import load_trained
from tests.trained_runs import BYTE_LEVEL, BYTES, LORA, logits, trained_run, written_run

IDS = [1, 3, 9, 10, 18, 11, 4]
FILES = {
    "README.md", "config.json", "generation_config.json", "igrpo.json", "model.safetensors", "tokenizer.json",
    "tokenizer_config.json",
}  # fmt: skip


def loaded(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    return model.eval()  # type: ignore[no-untyped-call,no-any-return]


def checkpoint_weights(run_dir: Path, step: int) -> dict[str, torch.Tensor]:
    """The policy's own tensors, read without igrpo."""
    content: dict[str, Any] = torch.load(run_dir / f"checkpoints/step-{step:06d}.ckpt", weights_only=True)
    return {name.removeprefix("policy."): value for name, value in content["state_dict"].items()}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "models" / "mine"


@pytest.fixture
def byte_run(tmp_path: Path) -> Path:
    written_run(tmp_path / "run", *BYTE_LEVEL, changes=BYTES)
    return tmp_path / "run"


@pytest.mark.slow
def test_a_trained_run_comes_back_bit_for_bit(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = trained_run()
    capsys.readouterr()
    assert main(["export", str(run_dir), "--out", str(out)]) == 0
    assert f"Model directory: {out}" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == FILES
    assert [path.name for path in out.parent.iterdir()] == ["mine"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in out.iterdir())

    trained = load_trained(run_dir, "last", Console(quiet=True))
    assert torch.equal(logits(loaded(out), IDS), logits(trained.policy.model, IDS))
    kept = checkpoint_weights(run_dir, 2)
    written = load_file(out / "model.safetensors")
    assert written.keys() == kept.keys() - {"lm_head.weight"}  # tied: the input embedding
    assert all(torch.equal(value, kept[name]) for name, value in written.items())
    # another step is another model
    other = export(run_dir, checkpoint="1", out=out.with_name("first"), adapters=False, dtype=None)
    assert not torch.equal(logits(loaded(other), IDS), logits(loaded(out), IDS))
    assert read_record(other).step == 1  # type: ignore[union-attr]


@pytest.mark.slow
def test_what_lies_beside_the_weights(out: Path) -> None:
    run_dir = trained_run()
    export(run_dir, checkpoint="best", out=out, adapters=False, dtype=None)
    best = json.loads((run_dir / "checkpoints/best.json").read_text())
    record, config = read_record(out), read_config(run_dir / "config.yaml")
    assert record is not None
    assert (record.step, record.development_accuracy) == (best["step"], best["accuracy"])
    assert (record.prompt, record.reward, record.drafts) == (config.prompt, config.reward, 2)
    summary = json.loads((run_dir / "summary.json").read_text())
    assert record.test_accuracy == (summary["single_shot"]["after"] if best["step"] == 2 else None)
    card = (out / "README.md").read_text()
    assert f"after step {best['step']}" in " ".join(card.split())
    assert f"| development | {100 * best['accuracy']:.1f} % |" in card
    assert "{problem}Draft:{draft}Refine:" in card
    assert str(run_dir) not in card
    generation = GenerationConfig.from_pretrained(out)
    assert (generation.do_sample, generation.temperature, generation.top_p, generation.top_k) == (True, 1.0, 1.0, 0)
    assert (generation.eos_token_id, generation.max_new_tokens) == ([2], 8)
    text = "<bos>Problem:6 -7 *8Solution:"
    trained = load_trained(run_dir, "last", Console(quiet=True)).policy.tokenizer
    for tokenizer in (AutoTokenizer.from_pretrained(out), load_policy(str(out), dtype="float32", attention="sdpa")[1]):
        assert tokenizer.encode(text) == trained.encode(text)


@pytest.mark.slow
def test_adapters_are_merged(out: Path) -> None:
    run_dir = trained_run(*LORA)
    assert main(["export", str(run_dir), "--merge", "--out", str(out)]) == 0
    trained = load_trained(run_dir, "last", Console(quiet=True)).policy.model
    expected = dict(named_weights(trained))  # what engines are given
    written = load_file(out / "model.safetensors")
    assert written.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in written.items())
    assert not any("lora" in name or "base_layer" in name for name in written)
    # W x + s B A x against (W + s B A) x: equal to the rounding of the products
    torch.testing.assert_close(logits(loaded(out), IDS), logits(trained, IDS), atol=2e-6, rtol=1e-5)
    assert not torch.allclose(logits(loaded(out), IDS), logits(_base(run_dir), IDS), atol=1e-3)


def _base(run_dir: Path) -> PreTrainedModel:
    config = read_config(run_dir / "config.yaml")
    plain = config.model_copy(update={"lora": config.lora.model_copy(update={"rank": 0})})
    model: PreTrainedModel = build_policy(plain, Console(quiet=True)).model
    return model


@pytest.mark.slow
def test_adapters_alone_are_pefts(out: Path) -> None:
    run_dir = trained_run(*LORA)
    assert main(["export", str(run_dir), "--adapters", "--out", str(out)]) == 0
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md"} <= {path.name for path in out.iterdir()}
    assert not (out / "model.safetensors").exists()
    adapted = PeftModel.from_pretrained(_base(run_dir), str(out)).eval()
    trained = load_trained(run_dir, "last", Console(quiet=True)).policy.model
    assert torch.equal(logits(adapted, IDS), logits(trained, IDS))


def test_dtype_and_shards(byte_run: Path, out: Path) -> None:
    export(byte_run, checkpoint="last", out=out, adapters=False, dtype="bfloat16", shard_size="10KB")
    shards = sorted(out.glob("model-*.safetensors"))
    assert len(shards) > 1
    weights = {name: value for shard in shards for name, value in load_file(shard).items()}
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}
    kept = checkpoint_weights(byte_run, 3)
    assert all(torch.equal(value, kept[name].bfloat16()) for name, value in weights.items())
    assert loaded(out).dtype == torch.bfloat16
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    assert read_record(out).development_accuracy is None  # type: ignore[union-attr]
    assert "These weights were not evaluated." in (out / "README.md").read_text()


def test_the_chat_template_goes_along(byte_run: Path, out: Path) -> None:
    export(byte_run, checkpoint="last", out=out, adapters=False, dtype=None)
    own = load_trained(byte_run, "last", Console(quiet=True)).policy.tokenizer
    turns = [{"role": "user", "content": "1 + 1?"}]
    rendered = own.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    again = AutoTokenizer.from_pretrained(out).apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert again == rendered
    assert "1 + 1?" in rendered


def test_a_default_place_in_the_run(byte_run: Path) -> None:
    assert main(["export", str(byte_run)]) == 0
    assert (byte_run / "export" / "step-000003" / "config.json").is_file()


def test_a_failure_leaves_nothing(byte_run: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, *args: object, **kwargs: object) -> Iterator[str]:
        raise RuntimeError("in the middle")

    monkeypatch.setattr("igrpo.tools.export.write_record", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        export(byte_run, checkpoint="last", out=out, adapters=False, dtype=None)
    assert list(out.parent.iterdir()) == []
    monkeypatch.undo()
    out.mkdir()  # empty: it may be taken
    export(byte_run, checkpoint="last", out=out, adapters=False, dtype=None)
    assert (out / "igrpo.json").is_file()


def test_no_room(
    byte_run: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    assert main(["export", str(byte_run), "--out", str(out)]) == 2
    assert "MiB are free there" in capsys.readouterr().err
    assert not out.exists()


def test_wrong_usage(byte_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").touch()
    run_dir = str(byte_run)
    cases = {
        (): "the following arguments are required: RUN_DIR",
        ("rum",): "rum is no run directory",
        (str(tmp_path / "runn"),): f"runn is no run directory; did you mean '{byte_run}'?",
        (run_dir, "--adapters"): "was trained without adapters (lora.rank=0); leave it out",
        (run_dir, "--adapters", "--merge"): "--merge: not allowed with argument --adapters",
        (run_dir, "--checkpiont", "best"): "--checkpiont: no such option; did you mean '--checkpoint'?",
        (run_dir, "--checkpoint", "lst"): "keeps no such one; did you mean 'last'?",
        (run_dir, "--checkpoint", "9"): "keeps no such one; known here: last, 3",
        (run_dir, "--dtype", "fp32"): "invalid choice: 'fp32'",
        (run_dir, "--out", str(full)): f"{full} exists and is not empty",
        (run_dir, "--out", str(full / "mine.txt")): "mine.txt exists and is not empty",
        (run_dir, "--out", str(full / "mine.txt" / "x")): "cannot be made",
    }
    for arguments, said in cases.items():
        assert main(["export", *arguments]) == 2, arguments
        assert said in capsys.readouterr().err, arguments
    assert [path.name for path in full.iterdir()] == ["mine.txt"]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    assert "--checkpoint best|last|STEP" in capsys.readouterr().out
