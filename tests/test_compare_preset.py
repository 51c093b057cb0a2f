"""experiment=compare: GRPO against iGRPO on a user's own file and model, a sweep by itself."""

from __future__ import annotations

from functools import cache

from igrpo.config.composing.composer import Composer
from igrpo.config.composing.planned import Sweep
from igrpo.config.facts import too_short

GIVEN = ("experiment=compare", "data.path=x.jsonl", "model.name_or_path=x")


@cache
def compare(*overrides: str) -> Sweep:
    with Composer("train") as composer:
        assert composer.has_grid([*GIVEN, *overrides])
        return composer.check_sweep([*GIVEN, *overrides])


def test_a_file_and_a_model_are_enough() -> None:
    cells = [cell.config for cell in compare().cells]
    names = ("grpo", "igrpo", "igrpo_both")
    assert [(one.condition, one.seed) for one in cells] == [(name, seed) for name in names for seed in range(5)]
    assert len({one.run_name for one in cells}) == 15
    for one in cells:
        assert list(too_short(one)) == []
        samples = one.trainer.steps * one.trainer.questions_per_step * one.plan.samples
        assert (one.data.name, one.model.name, samples) == ("jsonl", "huggingface", 12_800)
        assert one.sampling.max_completion_tokens >= 512
        assert (one.evaluation.questions, one.evaluation.samples) >= (200, 4)


def test_another_trainer_does_not_change_how_it_learns() -> None:
    (here, *_), (there, *_) = compare().cells, compare("trainer=cpu", "condition=grpo", "seed=0").cells
    assert (here.config.trainer.device, there.config.trainer.device) == ("cuda", "cpu")
    same = {"steps", "questions_per_step", "learning_rate", "schedule", "warmup_share", "minimum_lr_share", "epochs"}
    assert here.config.trainer.model_dump(include=same) == there.config.trainer.model_dump(include=same)
    assert here.config.trainer.learning_rate == 1e-6


def test_what_is_given_beside_it_wins() -> None:
    found = compare("condition=grpo,igrpo", "seed=7", "trainer.steps=30", "prompt=think_answer", "data.test=y.jsonl")
    assert [(cell.config.condition, cell.config.seed) for cell in found.cells] == [("grpo", 7), ("igrpo", 7)]
    config = found.cells[0].config
    assert config.data.name == "jsonl"
    assert (config.trainer.steps, config.prompt.name, config.data.test) == (30, "think_answer", "y.jsonl")
    (cell,) = compare("model=qwen2_5_0_5b", "condition=grpo", "seed=0").cells
    assert cell.config.sampling.max_completion_tokens == 512


def test_another_grid_brings_its_own_conditions() -> None:
    names = ("grpo", "igrpo", "grpo_half", "bare", "best_of_n")
    assert [cell.config.condition for cell in compare("sweep=grpo_vs_igrpo", "seed=0").cells] == list(names)


def test_its_learning_rate_is_searched_at_one_seed() -> None:
    found = compare("sweep=search_lr", "condition=igrpo")
    assert (found.keys, found.base.seed, found.base.condition) == (("trainer.learning_rate",), 100, "igrpo")
