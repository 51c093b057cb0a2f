"""The training step on a real (random, tiny) model through Lightning: what is trained, on what, and what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from igrpo.generation.local.engine import LocalEngine
from igrpo.models.load import reference_copy
from igrpo.training.collect import Collector
from igrpo.training.module import IGRPOModule
from igrpo.training.update import NonFiniteError
from igrpo.types import Completion
from tests.rollouts import values
from tests.training.small_run import (
    TOKENIZER,
    ScriptedReward,
    fit,
    fit_and_save,
    kept,
    make,
    same_weights,
    updates_seen_by,
    weights,
)


@pytest.mark.parametrize(("algorithm", "completions"), [("igrpo", 2), ("grpo", 4)])
def test_one_step_trains_the_trained_group_given_its_own_prompt(
    algorithm: str, completions: int, tmp_path: Path
) -> None:
    module = make(algorithm)
    before = weights(module)
    fit(module, 1, tmp_path)
    assert not same_weights(before, module)
    assert module.rollout_step == 1
    assert module.budget.samples == 3 * 4  # the matched budget: 4 completions a question, whatever the algorithm

    (questions,) = kept(module).rows
    rollouts = kept(module).steps[1]
    assert [len(rows) for rows in questions] == [completions] * 3
    for rows, rollout in zip(questions, rollouts, strict=True):
        trained = rollout.rounds[-1]
        assert [row.completion_ids for row in rows] == [sample.completion.token_ids for sample in trained]
        assert [row.prompt_ids for row in rows] == [sample.prompt.token_ids for sample in trained]
        assert [row.sampler_logprobs for row in rows] == [sample.completion.logprobs for sample in trained]


def test_refinements_are_sampled_given_the_best_draft(tmp_path: Path) -> None:
    module = make("igrpo")
    fit(module, 1, tmp_path)
    for rows, rollout in zip(kept(module).rows[0], kept(module).steps[1], strict=True):
        drafts, refined = rollout.rounds
        best = max(range(2), key=lambda i: (values(drafts)[i], -i))
        assert {sample.context for sample in refined} == {((1, best),)}
        shown = [i for i in drafts[best].completion.token_ids if i not in TOKENIZER.all_special_ids]
        text = TOKENIZER.decode(rows[0].prompt_ids)
        assert text == f"<bos>Problem:{rollout.question.problem}Draft:{TOKENIZER.decode(shown)}Refine:"


def test_the_trainer_agrees_with_the_sampler_and_the_ratio_is_1(tmp_path: Path) -> None:
    module = make("igrpo")
    fit(module, 1, tmp_path)
    assert module.latest["train/sampler_logprob_gap_max"] < 1e-4
    assert module.latest["train/ratio_mean"] == 1.0
    assert module.latest["train/learning_rate"] == 0.01
    assert module.latest["budget/trained_tokens"] == module.budget.trained_tokens > 0


@pytest.mark.parametrize("algorithm", ["igrpo", "grpo"])
def test_each_step_samples_from_the_weights_of_the_step_before(algorithm: str, tmp_path: Path) -> None:
    module = make(algorithm)
    fit(module, 3, tmp_path)
    versions = {
        step: {sample.completion.policy_version for rollout in rollouts for sample in rollout.samples}
        for step, rollouts in kept(module).steps.items()
    }
    assert versions == {1: {0}, 2: {1}, 3: {2}}


def test_a_step_has_the_threads_of_the_settings_and_gives_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    collect = Collector.collect

    def watched(self: Collector, *arguments: Any) -> Any:
        seen.append(torch.get_num_threads())
        return collect(self, *arguments)

    monkeypatch.setattr(Collector, "collect", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        fit(make(threads=2), 2, tmp_path)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == [2, 2]


def test_several_updates_move_the_ratio(tmp_path: Path) -> None:
    module = make("grpo", epochs=2, minibatches=2)
    runner = fit(module, 1, tmp_path)
    assert runner.global_step == 4  # epochs * minibatches optimizer steps in one rollout cycle
    assert module.latest["train/ratio_mean"] != 1.0
    assert module.latest["train/kl_old"] > 0
    assert module.latest["train/sampler_logprob_gap_max"] < 1e-4  # measured against the weights that sampled


def huge(completion: Completion) -> float:
    """About the largest that a reward may be."""
    return 1e15 * (completion.token_ids[0] % 2)


def test_a_non_finite_loss_stops_and_keeps_data_and_weights(tmp_path: Path) -> None:
    module = make("grpo", ScriptedReward(huge), objective_changes=infinite_loss())
    before = weights(module)
    with pytest.raises(NonFiniteError, match=r"^step 1: the loss is .*failures/kept.*trainer\.on_nonfinite=skip"):
        fit(module, 2, tmp_path)
    assert same_weights(before, module)
    ((step, rollouts, reason),) = kept(module).failures
    assert (step, rollouts) == (1, kept(module).steps[1])
    assert "the loss is" in reason
    assert module.rollout_step == 0  # no step was finished, so a checkpoint would say so too


def test_a_non_finite_loss_may_be_skipped_and_counted(tmp_path: Path) -> None:
    module = make("grpo", ScriptedReward(huge), objective_changes=infinite_loss(), on_nonfinite="skip")
    before = weights(module)
    fit(module, 2, tmp_path)
    assert module.budget.skipped_updates == 2
    assert module.latest["budget/skipped_updates"] == 2
    assert same_weights(before, module)
    assert (module.rollout_step, kept(module).failures) == (2, [])


def infinite_loss() -> dict[str, Any]:
    """Advantages of 1e15 over a divisor of 1e-40 are more than float32 holds."""
    no_std = {"baseline": "mean", "scale": "none", "std": "sample", "std_eps": 0.0, "tolerance": 1e-6, "select": "all"}
    return {"advantage": no_std, "aggregation": "constant", "constant_divisor": 1e-40}


def test_the_kl_term_pulls_to_a_reference_outside_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    references: list[Any] = []

    def remembered(policy: Any) -> Any:
        references.append(reference_copy(policy))
        return references[-1]

    monkeypatch.setattr("tests.training.small_run.reference_copy", remembered)
    plain, pulled = make("grpo"), make("grpo", kl_beta=0.5)
    start = weights(plain)
    assert plain.state_dict().keys() == pulled.state_dict().keys()
    for module in (plain, pulled):
        fit(module, 3, tmp_path)
    assert "train/kl_reference" not in plain.latest
    assert pulled.latest["train/kl_reference"] > 0

    def distance(module: IGRPOModule) -> float:
        return sum(float((value - start[name]).square().sum()) for name, value in weights(module).items())

    assert 0 < distance(pulled) < distance(plain)
    (reference,) = references
    assert same_weights(start, reference.state_dict())  # frozen where training began


def test_without_a_gradient_nothing_moves(tmp_path: Path) -> None:
    module = make("grpo", ScriptedReward(lambda completion: 0.1))
    before = weights(module)
    fit(module, 1, tmp_path)
    assert same_weights(before, module)
    assert module.latest["groups/zero_variance_share"] == 1.0
    assert module.budget.trained_tokens == 0


@pytest.mark.parametrize("planned", [3, 2], ids=["interrupted", "prolonged"])
def test_a_checkpoint_goes_on_where_it_was_taken(planned: int, tmp_path: Path) -> None:
    whole, part = make("igrpo"), make("igrpo")
    fit(whole, 3, tmp_path)
    file = fit_and_save(part, planned, tmp_path)
    counters = torch.load(file, weights_only=True)["igrpo"]["budget"]

    resumed = make("igrpo")
    fit(resumed, 3, tmp_path, checkpoint=file, start_step=2)
    assert resumed.rollout_step == 3
    assert list(kept(resumed).steps) == [3]
    assert kept(resumed).steps[3] == kept(whole).steps[3]  # questions, tokens, log-probs, scores, policy version
    assert same_weights(whole, resumed)
    for name in ("samples", "generated_tokens", "prefilled_tokens", "trained_tokens"):
        assert resumed.budget.state_dict()[name] == whole.budget.state_dict()[name] > counters[name] > 0
    assert resumed.budget.seconds["update"] > counters["seconds"]["update"]


def test_what_an_algorithm_remembers_is_a_part_of_the_checkpoint(tmp_path: Path) -> None:
    """Self-Verification asks about the answers of earlier steps: also after a resume."""
    whole, part = make("self_verification"), make("self_verification")
    fit(whole, 3, tmp_path)
    assert any(rollout.of("verification") for rollout in kept(whole).steps[3])
    file = fit_and_save(part, 3, tmp_path)
    resumed = make("self_verification")
    fit(resumed, 3, tmp_path, checkpoint=file, start_step=2)
    assert kept(resumed).steps[3] == kept(whole).steps[3]
    assert same_weights(whole, resumed)


def test_a_checkpoint_of_adapters_holds_them_alone_and_goes_on(tmp_path: Path) -> None:
    whole, part = make("grpo", adapters=True), make("grpo", adapters=True)
    fit(whole, 3, tmp_path)
    file = fit_and_save(part, 3, tmp_path)
    assert all("lora_" in name for name in torch.load(file, weights_only=True)["state_dict"])
    resumed = make("grpo", adapters=True)
    fit(resumed, 3, tmp_path, checkpoint=file, start_step=2)
    assert same_weights(whole, resumed)
    with pytest.raises(ValueError, match="the checkpoint does not hold what this run trains"):
        fit(make("grpo"), 3, tmp_path, checkpoint=file, start_step=2)


def test_an_engine_sleeps_while_the_policy_is_updated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    class Sleepy(LocalEngine):
        def sleep(self) -> None:
            happened.append("sleep")

        def sync_weights(self, version: int) -> None:
            happened.append(f"sync {version}")
            super().sync_weights(version)

    monkeypatch.setattr("tests.training.small_run.LocalEngine", Sleepy)
    with updates_seen_by(lambda rows: happened.append("update")):
        fit(make("grpo"), 2, tmp_path)
    assert happened == ["sync 0", "sleep", "update", "sync 1", "sleep", "update", "sync 2"]


@pytest.mark.parametrize("lean", [True, False])
def test_lean_layers_are_used_in_the_update_alone(lean: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The update leads to the same weights with them; sampling is by transformers' own modules."""
    module, plain = make("igrpo", lean_layers=lean), make("igrpo", lean_layers=False)
    calls: list[bool] = []
    norm = module.policy.base_model.norm

    def in_update(found: torch.nn.Module, *_: Any) -> None:
        calls.append("forward" in vars(found))

    norm.register_forward_pre_hook(in_update)
    fit(module, 1, tmp_path)
    fit(plain, 1, tmp_path)
    assert set(calls) == ({True, False} if lean else {False})
    for name, weight in weights(plain).items():
        torch.testing.assert_close(weights(module)[name], weight, rtol=1e-4, atol=1e-6)


def test_dropout_stays_off(tmp_path: Path) -> None:
    module = make("grpo")
    fit(module, 1, tmp_path)
    assert not module.policy.training


def test_an_entropy_bonus_asks_for_entropies(tmp_path: Path) -> None:
    module = make("grpo", objective_changes={"entropy_bonus": 0.1})
    plain = make("grpo")
    for each in (module, plain):
        fit(each, 1, tmp_path)
    assert not same_weights(plain, module)
