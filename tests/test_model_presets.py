"""What a model's file has beside its name: lengths, number types, the chat template; and that experiments have the last word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from igrpo.config.checks import longest_row, missing_files
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.folders import choices, shipped
from igrpo.models.files import SMOLLM2
from igrpo.models.load import load_policy
from igrpo.settings.model import HuggingFaceModelConfig
from igrpo.tools.doctor.shape import UnknownShapeError, shape_of
from igrpo.tools.doctor.static_checks import static_checks
from tests.composed import config

OWN = {"tiny": 24, "byte_level": 64}
#: Made on this machine, from a model of HUB.
PREPARED = "smollm2_135m_q4"
HUB = [choice.name for choice in choices("model") if choice.name not in {*OWN, "huggingface", PREPARED}]
REAL = ("data=math", "prompt=think_answer", "reward=math_verify_format", "trainer=single", "rollout=vllm_server")
#: Tokens that a prompt's layout may take beside question and draft.
LAYOUT = 512


def text_of(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((shipped("conf") / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    return values


@pytest.mark.parametrize("name", HUB)
def test_a_named_model_states_everything_itself(name: str) -> None:
    values = text_of(name)
    assert set(values["model"]) == {"name_or_path", "dtype", "attention"}
    assert set(values["sampling"]) == {"max_completion_tokens"}
    assert set(values["prompt"]) == {"chat_template"}


@pytest.mark.parametrize("name", HUB)
def test_its_lengths_are_for_real_problems_and_fit_its_positions(name: str) -> None:
    run = config(None, f"model={name}", *REAL)
    assert run.sampling.max_completion_tokens == text_of(name)["sampling"]["max_completion_tokens"] >= 1024
    assert run.prompt.max_draft_tokens == run.sampling.max_completion_tokens  # a draft is shown whole
    shape = shape_of(run.model)
    assert shape.positions is not None
    assert longest_row(run) + LAYOUT <= shape.positions
    assert {check.name: check.state for check in static_checks(run, shape)}["context"] == "ok"


def test_any_other_model_has_room_to_answer() -> None:
    directory = ("model=huggingface", "model.name_or_path=x")
    assert config(None, *directory, *REAL).sampling.max_completion_tokens == 1024
    local = config(None, "experiment=math_local", "data.path=x", *directory)
    assert (local.sampling.max_completion_tokens, local.prompt.max_draft_tokens) == (1024, 1024)


@pytest.mark.parametrize("name", OWN)
def test_the_models_without_skill_stay_short(name: str) -> None:
    others = () if name == "tiny" else ("experiment=math_local", "data.path=x")
    assert config(None, f"model={name}", *others).sampling.max_completion_tokens == OWN[name]


def test_experiments_and_the_command_line_come_after_the_model() -> None:
    assert config(None, "experiment=harder_chains").sampling.max_completion_tokens == 36
    given = config(None, "model=qwen3_0_6b", *REAL, "sampling.max_completion_tokens=300", "prompt.chat_template=off")
    assert (given.sampling.max_completion_tokens, given.prompt.max_draft_tokens) == (300, 300)
    assert given.prompt.chat_template == "off"


def test_the_rounded_model_differs_from_the_hub_s_in_path_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as cache, Composer("train") as composer:
        cache.setenv("IGRPO_CACHE_DIR", str(tmp_path))
        rounded = composer.check_run([f"model={PREPARED}", *REAL]).config
    hub = config(None, "model=smollm2_135m", *REAL)
    assert isinstance(rounded.model, HuggingFaceModelConfig)
    assert rounded.model.name_or_path == str(tmp_path / "models" / SMOLLM2)
    assert config({"model.name_or_path": rounded.model.name_or_path}, "model=smollm2_135m", *REAL) == rounded
    assert hub != rounded
    (problem,) = missing_files(rounded)
    assert "`make smollm2`" not in problem  # the place is that of another cache
    with monkeypatch.context() as cache:
        cache.setenv("IGRPO_CACHE_DIR", str(tmp_path))
        (problem,) = missing_files(rounded)
        assert "run `make smollm2`" in problem
        assert "model=smollm2_135m" in problem
        with pytest.raises(ValueError, match=r"^model\.name_or_path=.*run `make smollm2`"):
            load_policy(rounded.model.name_or_path, dtype="float32", attention="sdpa")
        with pytest.raises(UnknownShapeError, match="run `make smollm2`"):
            shape_of(rounded.model)
