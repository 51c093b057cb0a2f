"""What the doctor finds in runs that work, and in runs that are broken in one place each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from igrpo.config import RunConfig
from igrpo.models.byte_level import build_byte_level_tokenizer
from igrpo.tools.doctor.live_checks import live_checks
from igrpo.tools.doctor.reward_checks import gold_text
from igrpo.tools.doctor.shape import shape_of
from igrpo.tools.doctor.static_checks import Check, static_checks
from tests.assembly.parts import TINY_SHAPE, write_model, write_problems
from tests.composed import config as composed

BYTES = ("model=byte_level", "prompt=boxed", "data=jsonl")
SHORT = {"sampling.max_completion_tokens": 8}


def found(config: RunConfig, *, load: bool = False) -> dict[str, Check]:
    return {check.name: check for check in live_checks(config, shape_of(config.model), load=load)}


def states(checks: dict[str, Check]) -> dict[str, str]:
    return {name: check.state for name, check in checks.items()}


@pytest.fixture
def problems(tmp_path: Path) -> str:
    return f"data.path={write_problems(tmp_path / 'problems.jsonl')}"


def test_a_run_on_one_s_own_problems_is_well(problems: str) -> None:
    checks = found(composed(SHORT, *BYTES, problems))
    well = dict.fromkeys(("data", "reward", "tokenizer", "prompt", "lengths", "questions", "rollout"), "ok")
    assert states(checks) == well | {"a draft's worth": "not checked"}  # random weights answer nothing right
    assert "4 drafts, 4 refinements" in checks["rollout"].text
    assert "the chat template" in checks["prompt"].text
    grpo = found(composed(SHORT, *BYTES, problems, "condition=grpo"))
    assert "8 answers, 8 tokens" in grpo["rollout"].text


def test_an_engine_that_was_not_tried_is_named(problems: str) -> None:
    check = found(composed(SHORT, *BYTES, problems, "rollout=vllm_colocate"))["rollout"]
    assert check.state == "ok"
    assert check.text.endswith("; the run's own engine (rollout=vllm_colocate) was not tried")
    assert "was not tried" not in found(composed(SHORT, *BYTES, problems))["rollout"].text


def test_the_tiny_model_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IGRPO_CACHE", str(tmp_path))
    checks = states(found(composed(None, *TINY_SHAPE)))
    assert checks.pop("a draft's worth") == "not checked"  # a warm start of one step answers nothing right
    assert set(checks.values()) == {"ok"}


def test_what_is_not_on_this_machine_is_not_checked() -> None:
    config = composed(None, "model=qwen2_5_0_5b", "prompt=boxed", "data=jsonl", "data.path=nowhere.jsonl")
    checks = found(config)
    names = ("data", "model, tokenizer, rollout", "a draft's worth")
    assert states(checks) == dict.fromkeys(names, "not checked")
    assert "not measured: that takes the model" in checks["a draft's worth"].text
    assert "data.path=nowhere.jsonl is not on this machine" in checks["data"].text
    assert "Qwen/Qwen2.5-0.5B-Instruct is not on this machine" in checks["model, tokenizer, rollout"].text


def test_a_large_model_is_loaded_only_when_asked_for(
    tmp_path: Path, problems: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("igrpo.tools.doctor.live_checks.LARGEST", 1000)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    directory = write_model(tmp_path / "m")
    config = composed(SHORT, "model=huggingface", f"model.name_or_path={directory}", *BYTES[1:], problems)
    assert "--load" in found(config)["model, tokenizer, rollout"].text
    assert found(config, load=True)["rollout"].state == "ok"


def test_gold_answers_that_the_reward_refuses(tmp_path: Path) -> None:
    rows = [{"id": f"q{i}", "problem": "1 + 1?", "answer": "2" if i % 2 else "{"} for i in range(40)]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    check = found(composed(SHORT, *BYTES, f"data.path={path}"))["reward"]
    assert check.state == "failed"
    assert "gold answers do not get 1" in check.text


def test_a_weighted_reward_checks_its_sum_for_a_right_answer(problems: str) -> None:
    prompt = ("prompt=think_answer", "reward=math_verify_format", "prompt.max_draft_tokens=512")
    checks = found(composed(SHORT, *BYTES[::2], *prompt, problems))
    assert (checks["reward"].state, checks["reward"].text[:2]) == ("ok", "2 ")
    assert "format" not in checks


def test_a_prompt_that_does_not_ask_for_what_is_rewarded(problems: str) -> None:
    check = found(composed(SHORT, *BYTES, "reward=math_verify_format", problems))["format"]
    assert check.state == "failed"
    assert "use prompt=think_answer, or reward=math_verify" in check.text
    plain = {**SHORT, "prompt.system": "Answer.", "prompt.question": "{problem}"}
    assert "looks for" in found(composed(plain, *BYTES, problems))["format"].text


def test_a_reward_of_one_s_own_is_not_judged(problems: str) -> None:
    target = ("reward=python", "reward.target=igrpo.rewards.format:FormatReward")
    assert found(composed(SHORT, *BYTES, *target, problems))["reward"].state == "not checked"


def test_what_a_judge_will_be_asked(problems: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IGRPO_JUDGE_API_KEY", raising=False)
    judge = (
        "reward=judge",
        "reward.base_url=https://judge.example/v1",
        "reward.model=m",
        "reward.votes=3",
        "reward.temperature=1",
    )
    settings = (*judge, "trainer.questions_per_step=4", "completions_per_question=8", "data.path=nowhere")
    check = found(composed(SHORT, *BYTES, *settings))["judge"]  # without the data, too
    assert check.state == "not checked"
    for part in (
        "up to 96 times",
        "https://judge.example/v1",
        "$IGRPO_JUDGE_API_KEY, is not set",
        "no key",
        "price are 0",
    ):
        assert part in check.text
    monkeypatch.setenv("IGRPO_JUDGE_API_KEY", "k")
    text = found(composed(SHORT, *BYTES, *settings, "reward.input_price=1.5"))["judge"].text
    assert text.endswith("$IGRPO_JUDGE_API_KEY, is set")


def test_lengths_that_the_model_does_not_have(problems: str) -> None:
    check = found(composed({"sampling.max_completion_tokens": 8000}, *BYTES, problems))["lengths"]
    assert check.state == "failed"
    assert "the model's positions (4096)" in check.text


def test_no_question_fits(problems: str) -> None:
    checks = found(composed({**SHORT, "prompt.max_question_tokens": 3}, *BYTES, problems))
    assert checks["questions"].state == "failed"
    assert "rollout" not in checks


@pytest.mark.parametrize(
    ("template", "name", "message"),
    [
        ("{{ messages[0].content.upper() }}", "prompt", "loses or repeats a part"),
        ("{{ bos_token }}{{ bos_token }}{{ messages[-1].content }}", "prompt", "twice"),
    ],
)
def test_a_broken_chat_template(tmp_path: Path, problems: str, template: str, name: str, message: str) -> None:
    directory = write_model(tmp_path / "m")
    tokenizer: Any = build_byte_level_tokenizer(chat_template=True)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(directory)
    config = composed(SHORT, "model=huggingface", f"model.name_or_path={directory}", *BYTES[1:], problems)
    check = found(config)[name]
    assert check.state == "failed"
    assert message in check.text


def test_a_first_token_that_opens_each_turn_is_not_twice(tmp_path: Path, problems: str) -> None:
    """As <|im_start|> does, which is the first token of SmolLM2."""
    directory = write_model(tmp_path / "m")
    tokenizer: Any = build_byte_level_tokenizer(chat_template=True)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ bos_token }}{{ m['role'] + ' ' + m['content'] }}{% endfor %}{{ bos_token }}reply "
    )
    tokenizer.save_pretrained(directory)
    config = composed(SHORT, "model=huggingface", f"model.name_or_path={directory}", *BYTES[1:], problems)
    assert found(config)["prompt"].state == "ok"


def test_a_directory_that_is_no_model(tmp_path: Path, problems: str) -> None:
    directory = write_model(tmp_path / "m")
    (directory / "model.safetensors").write_bytes(b"nothing")
    config = composed(SHORT, "model=huggingface", f"model.name_or_path={directory}", *BYTES[1:], problems)
    assert found(config)["model"].state == "failed"


def test_a_recurrent_model_is_for_vllm(tmp_path: Path, problems: str) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        "nemotron_h", hidden_size=32, vocab_size=262, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
        intermediate_size=32, hybrid_override_pattern="M-*", mamba_num_heads=4, mamba_head_dim=16, ssm_state_size=8,
        n_groups=2, max_position_embeddings=8192,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "m")
    build_byte_level_tokenizer(chat_template=False).save_pretrained(tmp_path / "m")
    overrides = ("model=huggingface", f"model.name_or_path={tmp_path / 'm'}", *BYTES[1:], problems)
    assert found(composed(SHORT, *overrides))["rollout"].state == "failed"
    server = found(composed(SHORT, *overrides, "rollout=vllm_server"))["rollout"]
    assert server.state == "not checked"
    assert "recurrent" in server.text


def test_what_sizes_alone_tell() -> None:
    common = ("data=jsonl", "data.path=x", "prompt=think_answer", "trainer=fsdp2", "rollout=vllm_server")
    long = composed(None, "sampling.max_completion_tokens=4096", "model=nemotron_h_8b_base_8k", *common)
    checks = {check.name: check for check in static_checks(long, shape_of(long.model))}
    assert checks["context"].state == "failed"
    assert "more than the model's 8,192 positions" in checks["context"].text
    split = composed({"rollout.tensor_parallel": 8}, "model=qwen2_5_7b", *common)
    checks = {check.name: check for check in static_checks(split, shape_of(split.model))}
    assert checks["tensor parallel"].state == "failed"
    assert "28 query heads; take one of [1, 2, 4]" in checks["tensor parallel"].text


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("igrpo.tools.doctor.static_checks.find_spec", lambda name: None)
    config = composed(
        None, "model=qwen2_5_0_5b", "model.attention=flash_attention_2", "prompt=boxed", "data=jsonl", "data.path=x",
        "trainer=single", "trainer.optimizer=adamw_8bit", "rollout=vllm_server",
    )  # fmt: skip
    texts = [check.text for check in static_checks(config, shape_of(config.model)) if check.name == "packages"]
    assert [text.split(",")[0] for text in texts] == [
        "rollout=vllm_server needs vllm", "trainer.optimizer=adamw_8bit needs bitsandbytes",
        "model.attention=flash_attention_2 needs flash_attn",
    ]  # fmt: skip


def test_golds_are_written_as_the_reward_looks_for_them() -> None:
    boxed = composed().reward
    assert gold_text(boxed, "7") == r"\boxed{7}"
    assert gold_text(composed(None, "reward.answer_format=[last_line]").reward, "7") == "7"
    both = composed(None, "reward=math_verify_format").reward
    assert gold_text(both, "7") == r"<think>It follows.</think><answer>\boxed{7}</answer>"
