"""The policy of a run, made again from its files: the weights of the checkpoint, or an error that names what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rich.console import Console

from igrpo.files import write_json_atomic
from igrpo.runs.run_directory import RunDirectory
from igrpo.runs.sweep_directory import plan_cell
from igrpo.tools.trained import Trained, find_checkpoint, load_trained, run_config
from tests.begun import begun_sweep
from tests.trained_runs import BYTE_LEVEL, BYTES, LORA, logits, write_checkpoint, written_run

IDS = [5, 9, 3, 40, 7]


def load(folder: Path, checkpoint: str = "last") -> Trained:
    return load_trained(folder, checkpoint, Console(quiet=True))


@pytest.mark.parametrize("overrides", [(), LORA], ids=["all weights", "lora"])
def test_the_weights_are_those_of_the_checkpoint(overrides: tuple[str, ...], tmp_path: Path) -> None:
    config, policy = written_run(tmp_path, *BYTE_LEVEL, *overrides, changes=BYTES)
    trained = load(tmp_path)
    assert trained.config == config
    assert trained.checkpoint.step == 3
    assert trained.policy.stop_token_ids == policy.stop_token_ids
    assert not trained.policy.model.training
    assert torch.equal(logits(trained.policy.model, IDS), logits(policy.model, IDS))
    own = trained.policy.model.state_dict()
    assert own.keys() == policy.model.state_dict().keys()
    assert all(torch.equal(value, own[name]) for name, value in policy.model.state_dict().items())


def test_which_checkpoint(tmp_path: Path) -> None:
    _, policy = written_run(tmp_path, *BYTE_LEVEL, changes=BYTES)
    state = {f"policy.{name}": value for name, value in policy.model.state_dict().items()}
    later = write_checkpoint(tmp_path, 12, {name: value + 1 for name, value in state.items()})
    assert [find_checkpoint(tmp_path, name).step for name in ("last", "3", "12", "003")] == [12, 3, 12, 3]
    with pytest.raises(ValueError, match=r"--checkpoint best: .* was not evaluated yet"):
        find_checkpoint(tmp_path, "best")
    record = {"step": 3, "accuracy": 0.5, "split": "development"}
    write_json_atomic(RunDirectory(tmp_path).checkpoints / "best.json", record)
    assert find_checkpoint(tmp_path, "best").step == 3
    assert not torch.equal(logits(load(tmp_path, "best").policy.model, IDS), logits(load(tmp_path).policy.model, IDS))
    with pytest.raises(ValueError, match=r"--checkpoint 4: .* known here: best, last, 3, 12$"):
        find_checkpoint(tmp_path, "4")
    with pytest.raises(ValueError, match=r"--checkpoint lats: .* did you mean 'last'\?"):
        find_checkpoint(tmp_path, "lats")
    later.write_bytes(later.read_bytes()[:-40])  # the newest is broken: the one before it
    assert find_checkpoint(tmp_path, "last").step == 3
    with pytest.raises(ValueError, match=r"step-000012.ckpt cannot be read"):
        load(tmp_path, "12")


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    written_run(tmp_path, *BYTE_LEVEL, changes=BYTES)
    path = find_checkpoint(tmp_path, "3").path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"step-000003.ckpt is broken \(checksum of "):
        load(tmp_path, "3")


@pytest.mark.parametrize("overrides", [(), LORA], ids=["all weights", "lora"])
def test_weights_that_do_not_fit(overrides: tuple[str, ...], tmp_path: Path) -> None:
    _, policy = written_run(tmp_path, *BYTE_LEVEL, *overrides, changes=BYTES)
    whole = {f"policy.{name}": value for name, value in policy.model.state_dict().items()}
    frozen = {name for name, parameter in policy.model.named_parameters() if not parameter.requires_grad}
    trained = next(name for name in whole if name.removeprefix("policy.") not in frozen)

    def problem(state: dict[str, torch.Tensor]) -> str:
        write_checkpoint(tmp_path, 3, state)
        with pytest.raises(ValueError, match="does not fit the model of the run's settings") as caught:
            load(tmp_path, "3")
        return str(caught.value)

    plain = trained.removeprefix("policy.")
    assert f"it lacks {plain}" in problem({name: value for name, value in whole.items() if name != trained})
    assert "it has, and the model has not, extra" in problem(whole | {"policy.extra": torch.zeros(1)})
    assert f"it has in another shape {plain}" in problem(whole | {trained: whole[trained][:1]})
    if frozen:  # base weights may be missing, nothing else
        own = {name: value for name, value in whole.items() if name.removeprefix("policy.") not in frozen}
        write_checkpoint(tmp_path, 3, own)
        load(tmp_path, "3")


def test_another_checkpoint_version(tmp_path: Path) -> None:
    _, policy = written_run(tmp_path, *BYTE_LEVEL, changes=BYTES)
    write_checkpoint(tmp_path, 3, {f"policy.{n}": v for n, v in policy.model.state_dict().items()}, version=99)
    with pytest.raises(ValueError, match="has checkpoint version 99; igrpo reads"):
        load(tmp_path, "3")


def test_what_is_no_run(tmp_path: Path) -> None:
    written_run(tmp_path / "good", *BYTE_LEVEL, changes=BYTES)
    with pytest.raises(ValueError, match=r"goood is no run directory; did you mean '.*good'\?"):
        run_config(tmp_path / "goood")
    with pytest.raises(ValueError, match=r"nothing .*: there is no such directory"):
        run_config(tmp_path / "x" / "nothing")
    with pytest.raises(ValueError, match=r"checkpoints .*: it has no config\.yaml"):
        run_config(tmp_path / "good" / "checkpoints")
    (RunDirectory(tmp_path / "good").checkpoints / "step-000003.ckpt").unlink()
    with pytest.raises(ValueError, match="good has no checkpoint yet"):
        find_checkpoint(tmp_path / "good", "last")


def test_a_sweep_is_no_run(tmp_path: Path) -> None:
    cells = [plan_cell(i, {"seed": str(i)}, (f"seed={i}",)) for i in range(5)]
    begun_sweep(tmp_path, *cells)
    with pytest.raises(ValueError, match="is a sweep; give one of the runs in it, such as ") as caught:
        run_config(tmp_path)
    assert cells[0].folder in str(caught.value)
    assert cells[4].folder not in str(caught.value)
