"""Adaptive entropy control: on synthetic series, in a run, resumed, and shared by two processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from igrpo.distributed import rank
from igrpo.training.entropy_control import EntropyControl, entropy_control, trained_entropy
from igrpo.types import Completion, Prompt, Rollout
from tests.gloo import in_processes
from tests.rollouts import BARE, RIGHT, WRONG, group, rollout, samples
from tests.training.models import objective
from tests.training.small_run import SaveAfter, ScriptedReward, fit, kept, make, same_weights, spread


def followed(entropies: Sequence[float], *, start: float = 0.0, maximum: float = 1.0) -> tuple[list[float], float]:
    """The weight of each step of a series, target 1, step 0.1; and the coefficient at its end."""
    control = EntropyControl(target=1.0, step=0.1, maximum=maximum, coefficient=start)
    weights = []
    for entropy in entropies:
        weights.append(control.weight(entropy))
        control.adapt(entropy)
    return weights, control.coefficient


def test_below_the_target_the_bonus_grows_from_step_to_step() -> None:
    found, after = followed([0.5, 0.4, 0.3, 0.2])
    assert found == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert after == pytest.approx(0.4)


def test_above_the_target_the_bonus_is_off_at_once() -> None:
    found, after = followed([0.5, 0.5, 1.5, 1.5, 0.5, 2.0, 2.0])
    #                c:     0    .1   .2   .1   0    .1   0
    assert found == pytest.approx([0.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert after == 0.0  # never below


def test_on_the_target_nothing_moves() -> None:
    assert followed([1.0, 1.0], start=0.3) == ([0.3, 0.3], 0.3)


def test_it_is_bounded() -> None:
    found, after = followed([0.1] * 10, maximum=0.25)
    assert max(found) == after == 0.25
    assert followed([9.0] * 10, start=0.2, maximum=0.25)[1] == 0.0


def test_it_begins_with_the_constant_bonus() -> None:
    settings = {"target": 0.7, "step": 0.01, "maximum": 0.2}
    assert entropy_control(objective(entropy_bonus=0.1)) is None
    goal = objective(entropy_bonus=0.1, entropy_control=settings)
    assert entropy_control(goal) == EntropyControl(0.7, 0.01, 0.2, coefficient=0.1)


# --- which entropy ------------------------------------------------------------------------------------------------


def completion(token: int, entropies: tuple[float, ...] | None) -> Completion:
    return Completion((token, 2), "", (-1.0, -1.0), None, entropies, "stop", 0)


def refined(*, dropped: Any = None, trained: bool = True, internalized: bool = False) -> Rollout:
    drafts = samples("draft", (completion(3, (9.0, 9.0)), completion(4, (9.0, 9.0))), (RIGHT, WRONG))
    made = (completion(5, (1.0, 2.0)), completion(6, None))
    refinements = samples("refinement", made, (RIGHT, WRONG), number=2, prompt=Prompt((1, 1)))
    groups = [group(refinements)] * trained + [group(refinements, BARE)] * internalized
    return rollout(drafts, refinements, groups=tuple(groups), dropped=dropped)


def test_the_entropy_is_of_measured_tokens_that_are_trained() -> None:
    assert trained_entropy([refined(), refined(dropped="all_right")]) == (3.0, 2)
    assert trained_entropy([refined(trained=False)]) == (0.0, 0)
    assert trained_entropy([refined(trained=False, internalized=True)]) == (3.0, 2)
    assert trained_entropy([refined(internalized=True)]) == (3.0, 2)  # once, however often it is trained
    control = EntropyControl(1.0, 0.1, 1.0, 0.5)
    assert control.control([]) == {
        "train/entropy_coefficient": 0.0
    }  # nothing trained: nothing to weigh, nothing learnt
    assert control.coefficient == 0.5
    assert control.control([refined()]) == {"train/entropy": 1.5, "train/entropy_coefficient": 0.0}
    assert control.coefficient == pytest.approx(0.4)


def in_two_processes() -> tuple[dict[str, float], float]:
    """The first process has the measured tokens, the second has none."""
    control = EntropyControl(target=2.0, step=0.1, maximum=1.0, coefficient=0.5)
    return control.control([refined()] if rank() == 0 else []), control.coefficient


def test_two_processes_have_one_entropy_and_one_state(tmp_path: Path) -> None:
    first, second = in_processes(2, tmp_path, in_two_processes)
    assert first == second == ({"train/entropy": 1.5, "train/entropy_coefficient": 0.5}, 0.6)


# --- a run --------------------------------------------------------------------------------------------------------

HIGH = {"target": 9.0, "step": 0.5, "maximum": 1.2}  # ln(vocabulary) is less: the entropy is below it always


def series(module: Any, steps: int, folder: Path, **how: Any) -> list[dict[str, float]]:
    lines: list[dict[str, float]] = []

    class Look(SaveAfter):
        def on_train_batch_end(self, _trainer: Any, _module: Any, *_args: Any, **_kwargs: Any) -> None:
            lines.append(dict(module.latest))

    fit(module, steps, folder, callbacks=[Look(0, folder), *how.pop("callbacks", [])], **how)
    return lines


def controlled(control: dict[str, float], reward: Any = None, **changes: Any) -> Any:
    return make("grpo", reward, objective_changes={"entropy_control": control}, **changes)


def test_the_weight_of_a_run_rises_and_its_entropy_stays_up(tmp_path: Path) -> None:
    reward = ScriptedReward(spread)
    plain = series(make("grpo", reward, steps=5, learning_rate=0.03), 5, tmp_path)
    held = series(controlled(HIGH, reward, steps=5, learning_rate=0.03), 5, tmp_path)
    assert [line["train/entropy_coefficient"] for line in held] == pytest.approx([0.0, 0.5, 1.0, 1.2, 1.2])
    assert [line["train/entropy"] for line in held] == pytest.approx([line["answer/entropy"] for line in held])
    assert held[-1]["train/entropy"] > plain[-1]["answer/entropy"]
    assert held[0].keys() - plain[0].keys() == {"train/entropy_coefficient"}


def test_above_the_target_a_run_is_the_run_without_control(tmp_path: Path) -> None:
    plain, low = make("grpo"), controlled({"target": 1e-6, "step": 0.5, "maximum": 1.2})
    for module in (plain, low):
        fit(module, 2, tmp_path)
    assert low.latest["train/entropy_coefficient"] == 0.0
    assert same_weights(plain, low)


def test_with_a_bonus_rows_without_an_advantage_are_trained(tmp_path: Path) -> None:
    module = controlled(HIGH, ScriptedReward(lambda completion: 1.0), steps=2)  # all right: no advantage anywhere
    first, second = series(module, 2, tmp_path)
    assert (first["train/entropy_coefficient"], first["budget/trained_tokens"]) == (0.0, 0)
    answers = [sample for one in kept(module).steps[2] for sample in one.samples]
    tokens = [len(sample.prompt.token_ids) + len(sample.completion.token_ids) for sample in answers]
    assert second["budget/trained_tokens"] == sum(tokens)
    assert second["train/gradient_norm"] > 0


def test_a_resumed_run_goes_on_with_the_same_coefficient(tmp_path: Path) -> None:
    file = tmp_path / "x.ckpt"
    whole = controlled(HIGH, steps=4)
    lines = series(whole, 4, tmp_path, callbacks=[SaveAfter(2, file)])
    assert torch.load(file, weights_only=True)["igrpo"]["entropy_coefficient"] == pytest.approx(1.0)
    resumed = controlled(HIGH, steps=4)
    later = series(resumed, 4, tmp_path, checkpoint=file, start_step=2)
    names = ("train/entropy_coefficient", "train/entropy")
    assert [[line[name] for name in names] for line in later] == [[line[name] for name in names] for line in lines[2:]]
    assert same_weights(whole, resumed)
