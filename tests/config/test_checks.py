"""Each contradiction between settings: refused with the setting, its value and what to do; its neighbour passes."""

from pathlib import Path
from typing import Any

import pytest

from igrpo.config import ConfigError, parse_config
from igrpo.config.checks import longest_row, missing_files
from igrpo.config.composing.composer import Composer
from tests.composed import changed, config, values

REINFORCE = ("objective=rloo",)
DETACHED = ("objective=cispo",)
TEXT = ("experiment=math_local", "data.path=x.jsonl")

CONTRADICTIONS: list[tuple[tuple[str, ...], dict[str, Any], str]] = [
    (
        (),
        {"completions_per_question": 4, "algorithm.drafts": 3},
        "completions_per_question=4 leaves after algorithm.drafts=3 a group of 1; a baseline within the group needs at "
        "least 2: set completions_per_question to 5 or more or algorithm.drafts lower",
    ),
    (
        ("algorithm=grpo",),
        {"algorithm.answers": 1},
        "algorithm.answers=1, of completions_per_question=8, is a group of 1; a baseline within the group needs at "
        "least 2: raise algorithm.answers, or completions_per_question if it follows it",
    ),
    (
        ("algorithm=grpo",),
        {"algorithm.answers": 9},
        "algorithm.answers=9 is more than completions_per_question=8, the budget of a question; lower it, or raise",
    ),
    (
        ("condition=bare",),
        {"completions_per_question": 1},
        "completions_per_question=1 leaves a group of 1; a baseline within the group needs at least 2: set "
        "completions_per_question to 2 or more",
    ),
    (
        (),
        {"algorithm.rounds": 3},
        "completions_per_question=8 leaves after algorithm.drafts=4 a group of 1 for each of algorithm.rounds=3; a "
        "baseline within the group needs at least 2: set completions_per_question to 10 or more or algorithm.drafts",
    ),
    (
        (),
        {"algorithm.rounds": 2, "algorithm.drafts": 3},
        "completions_per_question=8 leaves after algorithm.drafts=3 5 refinements, which algorithm.rounds=2 cannot "
        "share evenly; change one of them",
    ),
    ((), {"algorithm.show": 5}, "algorithm.show=5 is more than the 4 drafts there are to choose from; lower it"),
    (
        (),
        {"algorithm.show": 3, "algorithm.rounds": 2},
        "algorithm.show=3 is more than the 2 drafts there are to choose from; lower it",
    ),
    (("condition=bare",), {"algorithm.rounds": 2}, "algorithm.rounds=2 needs drafts, and algorithm.drafts=0; set it"),
    (("condition=bare",), {"algorithm.show": 2}, "algorithm.show=2 needs drafts, and algorithm.drafts=0; set it to 1"),
    (
        ("condition=bare",),
        {"algorithm.train_on": ["draft", "refine"]},
        "algorithm.train_on=['draft', 'refine'] needs drafts, and algorithm.drafts=0; set it to [refine]",
    ),
    (
        ("condition=bare",),
        {"algorithm.bare_fraction": 0.5},
        "algorithm.bare_fraction needs drafts, and algorithm.drafts=0 asks the bare question always; set it to 0",
    ),
    (
        (),
        {"algorithm.train_on": ["refine", "refine"]},
        "algorithm.train_on=['refine', 'refine'] names refine twice; once is enough",
    ),
    (
        (),
        {"algorithm.train_on": ["draft", "refine"], "algorithm.joint_baseline": True},
        "algorithm.joint_baseline=true cannot go with algorithm.train_on=['draft', 'refine']: one baseline needs one",
    ),
    (
        (),
        {"algorithm.train_on": ["draft", "refine"], "algorithm.drafts": 1},
        "algorithm.train_on=['draft', 'refine'] and algorithm.drafts=1 make a group of one draft; a baseline within",
    ),
    (
        ("objective=gspo",),
        {"algorithm.train_on": ["internalize"]},
        "algorithm.name=igrpo trains samples as answers to a prompt other than their own",
    ),
    (
        ("algorithm=critique_grpo",),
        {"algorithm.answers": 7},
        "algorithm.answers=7 leaves 1 of completions_per_question=8; there must be 2 answers or more, for a baseline, and "
        "2 completions left, for a critique and a refinement: set completions_per_question to 4 or more, and",
    ),
    (
        ("algorithm=critique_grpo",),
        {"algorithm.answers": 1},
        "algorithm.answers=1 leaves 7 of completions_per_question=8",
    ),
    (
        ("algorithm=critique_grpo",),
        {"algorithm.answers": 5},
        "algorithm.answers=5 leaves 3 of completions_per_question=8, which critiques and refinements cannot share evenly",
    ),
    (
        ("algorithm=critique_grpo",),
        {"algorithm.kept": 3},
        "algorithm.kept=3 must be less than algorithm.answers=4, and at most the 2 refinements that the budget leaves to",
    ),
    (
        ("algorithm=critique_grpo",),
        {"algorithm.answers": 2, "algorithm.kept": 2},
        "algorithm.kept=2 must be less than algorithm.answers=2, and at most the 3 refinements",
    ),
    (
        ("algorithm=critique_grpo",),
        {"objective.ratio": "sequence"},
        "algorithm.name=critique_grpo trains samples as answers to a prompt other than their own (algorithm.transfer), which",
    ),
    (
        ("algorithm=self_verification",),
        {"algorithm.answers": 7},
        "algorithm.answers=7 leaves 1 verifications of completions_per_question=8; a baseline within the group needs at "
        "least 2 of each: set completions_per_question to 4 or more, and algorithm.answers to at most 2 less",
    ),
    (
        ("algorithm=self_verification",),
        {"prompt.verdict_right": "no", "prompt.verdict_wrong": "No "},
        "prompt.verdict_right=no and prompt.verdict_wrong=No  are the same word; a verdict could not be read: change one",
    ),
    (
        (),
        {"objective.advantage.select": "best", "objective.advantage.scale": "none"},
        "objective.advantage.baseline=mean is ignored by objective.advantage.select=best; set it to none",
    ),
    (
        ("objective=best_of_n",),
        {"objective.advantage.scale": "std"},
        "objective.advantage.scale=std is ignored by objective.advantage.select=best; set it to none",
    ),
    (
        (),
        {"objective.advantage.baseline": "none"},
        "objective.advantage.scale=std cannot go with objective.advantage.baseline=none: rewards that are all equal",
    ),
    (
        (),
        {"trainer.minibatches": 17, "trainer.questions_per_step": 16},
        "trainer.minibatches=17 is more than trainer.questions_per_step=16; every minibatch needs a question",
    ),
    (REINFORCE, {"objective.clip_low": 0.2}, "objective.clip_low=0.2 is ignored by objective.surrogate=reinforce"),
    (REINFORCE, {"objective.clip_high": 0.2}, "objective.clip_high=0.2 is ignored by objective.surrogate=reinforce"),
    (REINFORCE, {"objective.ratio": "sequence"}, "objective.ratio=sequence is ignored by objective.surrogate=reinf"),
    ((), {"objective.clip_high": None}, "objective.clip_high=null: objective.surrogate=clip needs an upper bound"),
    (DETACHED, {"objective.clip_high": None}, "objective.clip_high=null: objective.surrogate=detached needs an upper"),
    ((), {"objective.clip_low": None}, "objective.clip_low=null: objective.surrogate=clip needs a lower bound"),
    ((), {"objective.clip_low": 1.0}, "objective.clip_low=1.0 must be below 1: a ratio cannot fall to 0 or less"),
    (DETACHED, {"objective.ratio": "sequence"}, "objective.ratio=sequence cannot go with objective.surrogate=detached"),
    (
        (),
        {"objective.aggregation": "constant"},
        "objective.constant_divisor=null: objective.aggregation=constant needs a number of tokens to divide by",
    ),
    (
        (),
        {"objective.constant_divisor": 24.0},
        "objective.constant_divisor=24.0 is ignored by objective.aggregation=sequence_mean; set it to null",
    ),
    ((), {"sampling.top_p": 0.9}, "sampling.top_p=0.9: training samples must come from the whole distribution"),
    ((), {"sampling.top_k": 5}, "sampling.top_k=5: training samples must come from the whole distribution"),
    ((), {"sampling.max_completion_tokens": 500}, "the token budgets add up to"),
    ((), {"model.hidden": 100}, "model.hidden=100 must be a multiple of twice model.heads=4"),
    (
        TEXT,
        {"data.development": 0.6, "data.test": 0.4},
        "data.development=0.6 and data.test=0.4 leave nothing to train",
    ),
    (
        (),
        {"profile": True, "trainer.steps": 2, "profiling.after": 2},
        "profile=true traces steps after profiling.after=2, and trainer.steps=2 has none: raise trainer.steps, or lower",
    ),
    ((), {"profile": True, "profiling": None}, "profile=true: profiling is missing; set profiling.after and"),
]


@pytest.mark.parametrize(("overrides", "changes", "message"), CONTRADICTIONS)
def test_contradiction(overrides: tuple[str, ...], changes: dict[str, Any], message: str) -> None:
    given = changed(changes, *overrides)
    with pytest.raises(ConfigError) as raised:
        parse_config(given)
    assert any(problem.startswith(message) for problem in raised.value.problems), raised.value.problems


def test_text_data_cannot_go_with_the_small_model() -> None:
    given = values(*TEXT) | {"model": values()["model"]}
    with pytest.raises(ConfigError, match="data=jsonl cannot go with model=tiny"):
        parse_config(given)


NEIGHBOURS: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    ((), {"completions_per_question": 5, "algorithm.drafts": 3}),
    (("algorithm=grpo",), {"completions_per_question": 2, "algorithm.answers": 2}),
    (("algorithm=grpo",), {"algorithm.answers": 2}),
    (("condition=bare",), {"completions_per_question": 2}),
    (("algorithm=critique_grpo",), {"algorithm.answers": 6}),
    (("algorithm=critique_grpo",), {"completions_per_question": 4, "algorithm.answers": 2}),
    (("algorithm=critique_grpo",), {"algorithm.kept": 2}),
    (("algorithm=critique_grpo",), {"algorithm.transfer": {"method": "truncate", "level": "token", "cap": 1.0}}),
    (("algorithm=self_verification",), {"algorithm.answers": 6}),
    (("algorithm=grpo",), {"condition": "my_own"}),
    ((), {"objective.advantage.baseline": "none", "objective.advantage.scale": "none"}),
    ((), {"trainer.minibatches": 16, "trainer.questions_per_step": 16}),
    ((), {"objective.clip_low": 0.99}),
    ((), {"objective.aggregation": "constant", "objective.constant_divisor": 24.0}),
    ((), {"evaluation.top_p": 0.9, "evaluation.top_k": 5}),
    ((), {"model.hidden": 104}),
    (TEXT, {"data.development": 0.5, "data.test": 0.4}),
    (TEXT, {"data.development": 0.9, "data.test": "test.jsonl"}),
]


@pytest.mark.parametrize(("overrides", "changes"), NEIGHBOURS)
def test_what_is_just_allowed(overrides: tuple[str, ...], changes: dict[str, Any]) -> None:
    parsed = config(changes, *overrides)
    assert min(parsed.plan.group_sizes) >= 2


def test_contradictions_are_reported_together() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_config(changed({"objective.clip_high": None, "objective.clip_low": None, "sampling.top_k": 3}))
    assert len(raised.value.problems) == 3


def test_a_data_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    present = tmp_path / "x.jsonl"
    present.touch()
    absent = tmp_path / "y.jsonl"
    with Composer("train") as composer:
        config = composer.check_run(
            ["experiment=math_local", f"data.path={present}", f"data.test={absent}", "data.development=0.1"]
        ).config
        chains = composer.check_run([]).config
    assert missing_files(config) == [f"data.test={absent}: there is no such file"]
    with Composer("train") as composer:
        text = ["experiment=math_local", f"data.path={present}", "model=huggingface"]
        missing = composer.check_run([*text, "model.name_or_path=./nowhere", "reward=python", "reward.target=noway:X"])
        fine = composer.check_run([*text, f"model.name_or_path={tmp_path}", "reward=python", "reward.target=json:X"])
        hub = composer.check_run([*text, "model.name_or_path=somebody/something"])
    assert missing_files(missing.config) == [
        "model.name_or_path=./nowhere: there is no such directory",
        "reward.target=noway:X: there is no module 'noway' in the working directory, and none is installed",
    ]
    assert missing_files(fine.config) == missing_files(hub.config) == []
    assert missing_files(chains) == []


CHATS = ("prompt=turns", "model=byte_level")
TURNS = [{"user": "{problem}"}, {"assistant": "{draft}"}, {"user": "{problem}"}]


@pytest.mark.parametrize(
    ("key", "layout", "message"),
    [
        ("refinement", TURNS[:2], "turns user, assistant, user"),
        ("refinement", [*TURNS[:2], {"user": "again", "assistant": "so"}], "prompt.refinement.2"),
        ("refinement", [{"system": "{problem}"}, *TURNS[1:]], "prompt.refinement.0.system"),
        ("refinement", [{"user": "What?"}, *TURNS[1:2], {"user": "Again"}], "must hold {problem} at least once"),
        ("question", "{problem} {draft}", "prompt.question holds {draft}, which nothing fills there"),
        ("question", "What?", "prompt.question must hold {problem} at least once"),
    ],
)
def test_a_layout_that_cannot_be_filled_is_refused(key: str, layout: Any, message: str) -> None:
    changes = changed({f"prompt.{key}": layout}, *CHATS)
    with pytest.raises(ConfigError) as error:
        parse_config(changes)
    assert message in str(error.value)


def test_a_conversation_without_a_chat_template_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"prompt\.refinement has 3 turns.*prompt\.chat_template=off"):
        parse_config(changed({"prompt.chat_template": "off"}, *CHATS))


def test_a_row_counts_what_its_layout_repeats() -> None:
    """Budgets of 16384 tokens: a conversation that shows question and draft twice needs two of each."""
    plain, twice = (
        parse_config(changed({"prompt.refinement": layout}, *CHATS))
        for layout in ("{problem}{draft}", "{problem}{problem}{draft}{draft}")
    )
    shown = plain.prompt.max_question_tokens + plain.prompt.max_draft_tokens
    assert longest_row(plain) == shown + plain.sampling.max_completion_tokens
    assert longest_row(twice) == longest_row(plain) + shown
