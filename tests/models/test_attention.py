"""A policy is loaded with the requested attention, or one error says what to set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from igrpo.assembly.policy import build_policy
from igrpo.models.load import Attention, AttentionError, load_policy
from igrpo.models.tiny_tokenizer import build_tiny_tokenizer
from tests.composed import config as composed
from tests.families import ALL, ONLY_EAGER, make_family

LACKING: list[tuple[str, Attention]] = [(name, "sdpa") for name in sorted(ONLY_EAGER - {"gemma2"})]
LACKING += [("bloom", "flash_attention_2"), ("mamba", "flash_attention_2")]


def save(name: str, folder: Path) -> Path:
    make_family(name).save_pretrained(folder)
    build_tiny_tokenizer().save_pretrained(folder)
    return folder


def load(folder: Path, attention: Attention | None) -> Any:
    return load_policy(str(folder), dtype="float32", attention=attention)[0]


@pytest.mark.parametrize("name", ALL)
def test_eager_is_loaded_where_it_is_asked_for(name: str, tmp_path: Path) -> None:
    model = load(save(name, tmp_path), "eager")
    assert model.config._attn_implementation == "eager"
    ids = torch.tensor([[1, 5, 9]])
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, make_family(name, "eager")(ids).logits)


@pytest.mark.parametrize(("name", "attention"), LACKING)
def test_what_a_family_lacks_is_named(name: str, attention: Attention, tmp_path: Path) -> None:
    with pytest.raises(AttentionError, match=rf"^model\.attention={attention}: .*set it to .*eager") as raised:
        load(save(name, tmp_path), attention)
    assert "\n" not in str(raised.value)


def test_a_cap_on_scores_is_not_left_out(tmp_path: Path) -> None:
    save("gemma2", tmp_path)
    with pytest.raises(
        AttentionError, match=r"^model\.attention=sdpa: .*attn_logit_softcapping=3\.0\); set it to eager"
    ):
        load(tmp_path, "sdpa")
    assert load(tmp_path, None).config._attn_implementation == "eager"


@pytest.mark.parametrize(("name", "found"), [("gptj", "eager"), ("mamba", "eager"), ("llama", "sdpa")])
def test_a_model_that_has_no_such_setting_gets_what_works(name: str, found: str, tmp_path: Path) -> None:
    assert load(save(name, tmp_path), None).config._attn_implementation == found


@pytest.mark.parametrize("name", ["gptj", "bloom", "mamba", "granite"])
def test_a_run_builds_its_policy_with_the_setting(name: str, tmp_path: Path) -> None:
    """Through the run's own settings, where only sdpa was loaded whatever they said."""
    save(name, tmp_path)
    settings = (
        "model=huggingface",
        f"model.name_or_path={tmp_path}",
        "data.operations=3",
        "sampling.max_completion_tokens=16",
    )
    policy = build_policy(composed(None, *settings, "model.attention=eager"), Console())
    assert policy.model.config._attn_implementation == "eager"
    if name != "granite":
        with pytest.raises(AttentionError, match=r"^model\.attention=sdpa: .*; set it to eager$"):
            build_policy(composed(None, *settings), Console())


def test_flash_attention_says_what_is_missing(tmp_path: Path) -> None:
    save("llama", tmp_path)
    settings = ("model=huggingface", f"model.name_or_path={tmp_path}", "sampling.max_completion_tokens=16")
    with pytest.raises(AttentionError, match=r"^model\.attention=flash_attention_2: .*; set it to sdpa"):
        build_policy(composed(None, *settings, "model.attention=flash_attention_2"), Console())
