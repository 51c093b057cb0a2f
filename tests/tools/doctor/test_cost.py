"""Tokens, operations and seconds worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from igrpo.models.flops import Work, known_shape
from igrpo.tools.doctor.cost import both_algorithms, compared_runs, default_assumptions, step_cost
from igrpo.tools.doctor.device import DEVICES
from igrpo.tools.doctor.shape import shape_of
from tests.composed import config as composed
from tests.composed import group_size

SEVEN = (
    "model=deepseek_r1_distill_qwen_7b", "data=jsonl", "data.path=x", "prompt=think_answer", "trainer=fsdp2",
    "rollout=vllm_server", "sampling.max_completion_tokens=2048", "trainer.questions_per_step=128", "trainer.steps=58",
)  # fmt: skip
P = 7_615_616_512
LAYERS, ATTENTION, HEAD = 28 * 233_046_016, 28 * 2 * 3_584, 152_064 * 3_584


def test_the_operations_of_the_model_by_hand() -> None:
    """A layer: 3,584 x (3,584 + 2 x 512) + 3,584 x 3,584 of attention, 3 x 3,584 x 18,944 of its MLP."""
    layer = 3_584 * (3_584 + 2 * 512) + 3_584 * 3_584 + 3 * 3_584 * 18_944
    assert layer == 233_046_016
    flops = shape_of(composed(None, *SEVEN).model).flops
    assert (flops.layers, flops.attention, flops.head) == (LAYERS, ATTENTION, HEAD)


def test_a_step_of_grpo_by_hand() -> None:
    config = composed(None, *SEVEN, "condition=grpo")
    shape = shape_of(config.model)
    assumed = replace(default_assumptions(config, DEVICES["a100"]), server_devices=8)
    assert (assumed.question_tokens, assumed.completion_tokens) == (256, 1_024)
    cost = step_cost(config, shape, assumed)
    assert (cost.samples, cost.trained_rows) == (1_024, 1_024)
    assert cost.generated == 1_024 * 1_024
    assert cost.prefilled == 128 * 256
    assert cost.trained_tokens == 1_024 * (256 + 1_024)
    row = Work(1_280, 1_280 * 1_281 // 2, 1_024)
    assert cost.training_flops == 3 * 1_024 * shape.flops.flops(row)
    # checkpointing computes the forward pass twice; 8 devices at 40 % of 312e12
    assert cost.training_seconds == pytest.approx(4 / 3 * cost.training_flops / (8 * 0.4 * 312e12))
    # 8 engines of 128 rows: 2,048 reads of the weights, and the keys and values that each token sees
    attended = 128 * sum(256 + i for i in range(1, 1_024))
    read = 2_048 * 2 * P + attended * 57_344
    computed = (cost.sampling_flops / 8) / (0.5 * 312e12)
    assert cost.sampling_seconds == pytest.approx(max(read / (0.7 * 2.039e12), computed))
    assert read / (0.7 * 2.039e12) > computed  # bound by memory
    assert cost.devices == 16
    assert cost.gpu_hours == pytest.approx(16 * 58 * (cost.sampling_seconds + cost.training_seconds) / 3_600)


def test_a_step_of_igrpo_by_hand() -> None:
    config = composed(None, *SEVEN)
    cost = step_cost(config, shape_of(config.model), default_assumptions(config, DEVICES["a100"]))
    assert (cost.samples, cost.trained_rows) == (1_024, 512)
    assert cost.prefilled == 128 * (256 + 256 + 1_024)
    assert cost.trained_tokens == 512 * (256 + 1_024 + 1_024)


@pytest.mark.parametrize(
    ("condition", "rows", "tokens", "prefilled"),
    [
        # 128 questions of 8; a question has 256 tokens, a completion 1,024, a shown draft 1,024
        ("igrpo_both", 1_024, 512 * (256 + 1_024) + 512 * (256 + 2 * 1_024), 128 * (256 + 1_280)),
        ("igrpo_internalize", 1_024, 512 * (256 + 2 * 1_024) + 512 * (256 + 1_024), 128 * (256 + 1_280)),
        ("igrpo_internalize_only", 512, 512 * (256 + 1_024), 128 * (256 + 1_280)),
        ("igrpo_two_rounds", 512, 512 * (256 + 2 * 1_024), 128 * (256 + 2 * 1_280)),
        ("igrpo_show_two", 512, 512 * (256 + 3 * 1_024), 128 * (256 + 2_304)),
        ("igrpo_bare_half", 768, 512 * 1_280 + 256 * 2_304, 64 * 256 + 64 * (256 + 1_280)),
    ],
)
def test_a_step_of_a_variant_by_hand(condition: str, rows: int, tokens: int, prefilled: int) -> None:
    config = composed(None, *SEVEN, f"condition={condition}")
    cost = step_cost(config, shape_of(config.model), default_assumptions(config, DEVICES["a100"]))
    assert (cost.samples, cost.trained_rows, cost.trained_tokens) == (1_024, rows, tokens)
    assert cost.prefilled == prefilled


def test_a_share_of_the_questions_costs_its_mean_over_steps() -> None:
    config = composed(None, *SEVEN, "algorithm.bare_fraction=0.1")
    cost = step_cost(config, shape_of(config.model), default_assumptions(config, DEVICES["a100"]))
    assert cost.samples == 1_024
    assert cost.trained_rows == round(115.2 * 4 + 12.8 * 8)  # of 128 questions 12.8 are answered once
    assert cost.prefilled == round(128 * 256 + 115.2 * 1_280)


def test_two_updates_and_a_reference_cost_more_passes() -> None:
    one = composed(None, *SEVEN)
    more = composed(None, *SEVEN, "trainer.epochs=2", "objective.kl_beta=0.01")
    shape, assumed = shape_of(one.model), default_assumptions(one, DEVICES["a100"])
    once, twice = (step_cost(config, shape, assumed) for config in (one, more))
    # forward, backward (2) and the reference in each of two passes, and the old log-probs once
    assert twice.training_flops / once.training_flops == pytest.approx((2 * 4 + 1) / 3)


def test_more_rows_than_the_cache_holds_wait() -> None:
    config = composed(None, *SEVEN, "rollout.max_num_seqs=64")
    shape = shape_of(config.model)
    assumed = replace(default_assumptions(config, DEVICES["a100"]), server_devices=8)
    patient, at_once = (
        step_cost(composed(None, *SEVEN, f"rollout.max_num_seqs={rows}"), shape, assumed) for rows in (16, 64)
    )
    assert patient.sampling_seconds > 2 * at_once.sampling_seconds


def test_a_server_has_the_devices_of_all_its_engines() -> None:
    """Two engines of four devices sample half of the rows each."""
    costs = {}
    for engines in (1, 2):
        config = composed(None, *SEVEN, "rollout.tensor_parallel=4", f"rollout.data_parallel_size={engines}")
        assumed = default_assumptions(config, DEVICES["a100"])
        assert assumed.server_devices == 4 * engines
        costs[engines] = step_cost(config, shape_of(config.model), assumed)
    assert costs[2].devices == costs[1].devices + 4
    same = composed(None, *SEVEN, "rollout.tensor_parallel=4", "rollout.data_parallel_size=2")
    by_hand = step_cost(
        same, shape_of(same.model), replace(default_assumptions(same, DEVICES["a100"]), server_devices=8)
    )
    assert costs[2] == by_hand
    assert costs[2].sampling_seconds < costs[1].sampling_seconds


def test_both_algorithms_at_the_same_samples() -> None:
    for name in ("grpo", "igrpo"):
        runs = both_algorithms(composed(None, *SEVEN, f"condition={name}"))
        assert [(run.plan.drafts, group_size(run)) for run in runs.values()] == [(0, 8), (4, 4)]
        assert list(runs) == ["GRPO", "iGRPO"]


def test_the_budget_s_operations_are_these() -> None:
    """What the page says of the tiny model is what a run's own counter would say of rows of that length."""
    config = composed()
    shape = shape_of(config.model)
    values = {
        "model_type": "qwen2", "hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 4, "intermediate_size": 256, "vocab_size": 40,
    }  # fmt: skip
    assert shape.flops == known_shape(values)


def test_a_step_of_the_baselines_by_hand() -> None:
    """256 tokens a question, 1,024 a completion; at most 8 completions of each of 128 questions."""
    critiques = composed(None, *SEVEN, "condition=critique_grpo")
    cost = step_cost(critiques, shape_of(critiques.model), default_assumptions(critiques, DEVICES["a100"]))
    assert (cost.samples, cost.trained_rows) == (1_024, 128 * 5)
    # the question; twice the question with an answer; twice the question with an answer and a critique
    assert cost.prefilled == 128 * (256 + 2 * (256 + 1_024) + 2 * (256 + 2 * 1_024))
    assert cost.trained_tokens == 128 * 5 * (256 + 1_024)  # all of them given the bare question
    verdicts = composed(None, *SEVEN, "condition=self_verification")
    cost = step_cost(verdicts, shape_of(verdicts.model), default_assumptions(verdicts, DEVICES["a100"]))
    assert (cost.samples, cost.trained_rows) == (1_024, 1_024)
    assert cost.prefilled == 128 * (256 + 256 + 1_024)
    assert cost.trained_tokens == 128 * (4 * (256 + 1_024) + 4 * (256 + 1_024 + 1_024))


def test_a_run_that_is_neither_stands_beside_both() -> None:
    runs = compared_runs(composed(None, *SEVEN, "condition=critique_grpo"))
    assert list(runs) == ["GRPO", "iGRPO", "Critique-GRPO"]
    assert {run.plan.samples for run in runs.values()} == {8}
    assert list(compared_runs(composed(None, *SEVEN))) == ["GRPO", "iGRPO"]
