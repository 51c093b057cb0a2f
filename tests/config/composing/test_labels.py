"""The label of a shipped condition is that condition's alone."""

from pathlib import Path

import pytest

from igrpo.config import ConfigError
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.folders import choices

OWN = "or set a label of your own (`condition: LABEL` in a file of yours in experiments/ or sweeps/)"

#: How the problem begins, by what is given.
REFUSED = {
    "condition=igrpo algorithm=grpo": "algorithm=grpo: it stands for algorithm=igrpo",
    "condition=critique_grpo algorithm=self_verification": (
        "algorithm=self_verification: it stands for algorithm=critique_grpo"
    ),
    "condition=critique_grpo objective=grpo": "objective=grpo: it stands for objective=dr_grpo",
    "condition=best_of_n objective=grpo": "objective=grpo: it stands for objective=best_of_n",
    "condition=igrpo_both_dapo objective=grpo": "objective=grpo: it stands for objective=dapo",
    "condition=dapo dynamic_sampling=none": "dynamic_sampling=none: it stands for dynamic_sampling=refill",
    "condition=igrpo_both algorithm.train_on=[refine]": (
        "algorithm.train_on=[refine]: it stands for algorithm.train_on=[draft,refine]"
    ),
    "condition=igrpo_no_thinking prompt.draft_thinking=keep": (
        "prompt.draft_thinking=keep: it stands for prompt.draft_thinking=strip"
    ),
    "condition=grpo_half algorithm.answers=8": "algorithm.answers=8: it stands for algorithm.answers=4",
    "condition=bare algorithm.drafts=2": "algorithm.drafts=2: it stands for algorithm.drafts=0",
    # what a choice of the condition changes, taken back
    "condition=best_of_n objective.advantage.select=all": (
        "objective.advantage.select=all: it stands for objective.advantage.select=best"
    ),
    "condition=igrpo_dapo dynamic_sampling.max_attempts=0": (
        "dynamic_sampling.max_attempts=0: it stands for dynamic_sampling.max_attempts=10"
    ),
    # what the file leaves open, but not to become another condition
    "condition=igrpo algorithm.train_on=[draft,refine]": "algorithm.train_on=[draft,refine]: that is condition=igrpo_both",
    "condition=igrpo_dapo algorithm.train_on=[draft,refine]": (
        "algorithm.train_on=[draft,refine]: that is condition=igrpo_both_dapo"
    ),
    "condition=igrpo algorithm.drafts=0": "algorithm.drafts=0: that is condition=bare",
    "condition=grpo completions_per_question=6 algorithm.answers=3": "algorithm.answers=3: that is condition=grpo_half",
}

#: Settings that a condition leaves open, or the label of no condition.
ALLOWED = (
    "condition=igrpo objective=dapo dynamic_sampling=refill",  # a comparison under another loss
    "condition=bare objective=gspo",
    "condition=dapo dynamic_sampling.max_attempts=3 objective.clip_high=0.25",
    "condition=critique_grpo algorithm.transfer.gamma=0.2",
    "condition=igrpo prompt.draft_thinking=strip",
    "condition=igrpo algorithm.ties=first algorithm.drafts=3",
    "condition=igrpo_both algorithm.drafts=2",
    "condition=igrpo_both algorithm.train_on=[draft,refine]",
    "condition=igrpo completions_per_question=3",  # one draft, as a quarter has: the half and the quarter are the same
    "condition=igrpo_quarter completions_per_question=16",
    "algorithm=igrpo algorithm.train_on=[draft,refine]",  # its label is the algorithm's name, whatever its settings
)


@pytest.mark.parametrize("given", REFUSED)
def test_a_run_that_is_not_what_its_label_says_is_refused(composer: Composer, given: str) -> None:
    with pytest.raises(ConfigError) as raised:
        composer.check_run(given.split())
    label = given.split(maxsplit=1)[0]
    assert raised.value.problems[-1] == f"{label} cannot go with {REFUSED[given]}; leave one of them out, {OWN}"
    assert len(raised.value.problems) == 1


@pytest.mark.parametrize("given", ALLOWED)
def test_what_a_condition_leaves_open_is_free(composer: Composer, given: str) -> None:
    label = given.split(maxsplit=1)[0].partition("=")[2]
    assert composer.check_run(given.split()).config.condition == label


@pytest.mark.parametrize("name", [choice.name for choice in choices("condition")])
@pytest.mark.parametrize("total", [8, 16])
def test_every_condition_is_what_it_says(composer: Composer, name: str, total: int) -> None:
    assert composer.check_run([f"condition={name}", f"completions_per_question={total}"]).config.condition == name


def test_only_a_label_of_ones_own_takes_any_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiments").mkdir()
    text = "# @package _global_\nalgorithm:\n  train_on: [draft, refine]\ncondition: "
    for label in ("mine", "igrpo", "igrpo_both", "igrpo_wrong"):
        (tmp_path / "experiments" / f"{label}.yaml").write_text(f"{text}{label}\n")
    monkeypatch.chdir(tmp_path)
    with Composer("train") as composer:
        for label in ("mine", "igrpo_both"):
            assert composer.check_run([f"experiment={label}"]).config.condition == label
        for label, says in (("igrpo", "that is condition=igrpo_both"), ("igrpo_wrong", "it stands for algorithm.sel")):
            with pytest.raises(ConfigError, match=f"condition={label} cannot go with algorithm.*: {says}"):
                composer.check_run([f"experiment={label}"])


def test_a_sweep_names_the_runs_that_contradict_their_condition(composer: Composer) -> None:
    with pytest.raises(ConfigError) as raised:
        composer.check_sweep(["condition=igrpo", "algorithm.drafts=2,3,4"])
    (problem,) = raised.value.problems
    assert problem.startswith("condition=igrpo cannot go with algorithm.drafts=2: that is condition=igrpo_quarter; ")
    assert problem.endswith("(in 1 of 3 runs; run 0: algorithm.drafts=2)")
    free = composer.check_sweep(["algorithm=igrpo", "algorithm.drafts=2,3,4"])
    assert [cell.config.plan.drafts for cell in free.cells] == [2, 3, 4]
