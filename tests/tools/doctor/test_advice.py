"""Advice is followed as it is printed, on the command line, and must make the run fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from igrpo.config.checks import cross_field_problems
from igrpo.tools.doctor.advice import FittingPlan, applied, memory_of, plans
from igrpo.tools.doctor.changes import MILD, adapters, eight_bit, half_weights, more_devices
from igrpo.tools.doctor.device import GIB
from igrpo.tools.doctor.shape import shape_of
from tests.composed import config as composed

COMMON = ("data=jsonl", "data.path=x", "prompt=think_answer", "sampling.max_completion_tokens=2048")
#: Runs that do not fit, each for a reason of its own: what must be said, and what must not be needed.
CASES = {
    "weights": (("model=qwen2_5_7b", "trainer=single", "rollout=vllm_server"), 80, "trainer.strategy=fsdp2"),
    "activations": (
        ("model=qwen2_5_0_5b", "trainer=single", "trainer.activation_checkpointing=false"), 60,
        "trainer.activation_checkpointing=true",
    ),
    "micro-batch": (
        ("model=qwen2_5_7b", "trainer=fsdp2", "trainer.tokens_per_microbatch=200000", "rollout=vllm_server"), 80,
        "trainer.tokens_per_microbatch=",
    ),
    "logits": (("model=qwen2_5_0_5b", "trainer=single", "trainer.head_chunk=32768"), 40, "trainer.head_chunk="),
    "rows": (
        ("model=qwen2_5_1_5b", "trainer=fsdp2", "trainer.questions_per_step=1024", "rollout.max_batch_rows=2048"), 80,
        "rollout.max_batch_rows=",
    ),
    "colocated": (
        ("model=qwen2_5_1_5b", "trainer=single", "rollout=vllm_colocate", "rollout.sleep=false",
         "rollout.gpu_memory_utilization=0.85"), 80,
        "rollout.sleep=true",
    ),
    "engine": (("model=deepseek_r1_distill_qwen_14b", "trainer=fsdp2", "trainer.nodes=8", "trainer.questions_per_step=64", "rollout=vllm_server",
                "rollout.gpu_memory_utilization=0.3"), 80, "rollout.gpu_memory_utilization="),
    "reference": (
        ("model=qwen2_5_1_5b", "trainer=single", "objective.kl_beta=0.01", "rollout=vllm_server"), 32,
        "trainer.optimizer=adamw_8bit",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_following_the_printed_advice_makes_it_fit(case: str) -> None:
    given_, memory, expected = CASES[case]
    overrides = (*COMMON, *given_)
    config = composed(None, *overrides)
    shape, limit = shape_of(config.model), memory * GIB
    assert not memory_of(config, shape, limit).fits
    found = plans(config, shape, limit)
    assert any(expected in change.text for plan in found for change in plan.changes), found
    for plan in found:
        text = [word for change in plan.changes for word in change.text.split()]
        followed = composed(None, *overrides, *text)  # composed anew and checked, as a user would
        assert memory_of(followed, shape_of(followed.model), limit).fits, plan
        assert followed == applied(config, plan.changes)


@pytest.mark.parametrize("case", CASES)
def test_no_change_is_superfluous(case: str) -> None:
    given_, memory, _ = CASES[case]
    config = composed(None, *COMMON, *given_)
    shape, limit = shape_of(config.model), memory * GIB
    for plan in plans(config, shape, limit):
        for left_out in plan.changes:
            rest = [change for change in plan.changes if change is not left_out]
            assert not memory_of(applied(config, rest), shape, limit).fits, (plan, left_out)


def test_no_advice_if_a_run_fits_or_never_can() -> None:
    config = composed()
    assert plans(config, shape_of(config.model), 8 * GIB) == []
    large = composed(None, *COMMON, "model=qwen2_5_7b", "trainer=single")
    assert plans(large, shape_of(large.model), GIB) == []


def test_what_costs_nothing_comes_first_and_alone() -> None:
    config = composed(None, *COMMON, "model=qwen2_5_0_5b", "trainer=single", "trainer.activation_checkpointing=false")
    (plan,) = plans(config, shape_of(config.model), 60 * GIB)
    assert plan.name == "on the same devices"
    assert [change.text for change in plan.changes] == ["trainer.activation_checkpointing=true"]


def test_adapters_are_those_of_the_shipped_file() -> None:
    config = composed(None, *COMMON, "model=qwen2_5_7b", "trainer=single")
    (change,) = adapters(config, shape_of(config.model))
    assert change.text == "lora=rank_16"
    assert change.applied(config).lora == composed(None, *COMMON, "model=qwen2_5_7b", "lora=rank_16").lora


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    memory=st.sampled_from([8, 16, 24, 40, 80, 141]),
    model=st.sampled_from(["qwen2_5_0_5b", "qwen3_1_7b", "qwen2_5_7b", "deepseek_r1_distill_qwen_14b"]),
    rollout=st.sampled_from(["local", "vllm_server", "vllm_colocate"]),
    changes=st.fixed_dictionaries(
        {
            "trainer.tokens_per_microbatch": st.integers(7_168, 300_000),
            "trainer.head_chunk": st.integers(256, 65_536),
            "trainer.strategy": st.sampled_from(["single", "ddp", "fsdp2"]),
            "objective.kl_beta": st.sampled_from([0.0, 0.01]),
            "trainer.activation_checkpointing": st.booleans(),
        }
    ),
)
def test_every_plan_fits_whatever_the_run(memory: int, model: str, rollout: str, changes: dict[str, Any]) -> None:
    devices = {"trainer.devices": 1 if changes["trainer.strategy"] == "single" else 8}
    config = composed({**changes, **devices}, *COMMON, f"model={model}", "trainer=ddp", f"rollout={rollout}")
    shape, limit = shape_of(config.model), memory * GIB
    found = plans(config, shape, limit)
    assert (found == []) or not memory_of(config, shape, limit).fits
    for plan in found:
        assert isinstance(plan, FittingPlan)
        after = applied(config, plan.changes)
        assert memory_of(after, shape, limit).fits
        assert cross_field_problems(after) == []


def test_each_single_change_makes_something_smaller() -> None:
    changes = {"trainer.activation_checkpointing": False, "trainer.questions_per_step": 1024}
    config = composed(changes, *COMMON, "model=qwen2_5_7b", "trainer=single", "rollout=local")
    shape = shape_of(config.model)
    before = memory_of(config, shape, GIB).trainer.excess
    for step in (*MILD, eight_bit, more_devices, adapters, half_weights):
        for change in step(config, shape):
            after = memory_of(change.applied(config), shape, GIB).trainer.excess
            assert after < before or change.key == "trainer.nodes", change  # one device stays one
