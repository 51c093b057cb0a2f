"""The table of what settings resolve to; expected numbers are worked out by hand beside them."""

from typing import Any

import pytest

from igrpo.config.facts import resolved_facts
from tests.composed import config


def facts(changes: dict[str, Any] | None = None, *overrides: str) -> tuple[dict[str, str], list[str]]:
    rows = resolved_facts(config(changes, *overrides))
    return {name: text for name, text in rows if name != "note"}, [text for name, text in rows if name == "note"]


def test_numbers_of_igrpo() -> None:
    table, _ = facts(
        {
            "trainer.questions_per_step": 10,
            "completions_per_question": 8,
            "algorithm.drafts": 5,
            "trainer.steps": 100,
            "trainer.epochs": 2,
            "trainer.minibatches": 4,
            "prompt.max_question_tokens": 20,
            "prompt.max_draft_tokens": 30,
            "sampling.max_completion_tokens": 50,
            "trainer.tokens_per_microbatch": 250,
        }
    )
    assert table["questions per step (S)"] == "10"
    assert table["completions per question"] == "8 = 5 drafts + 3 refinements"
    assert table["completions per step"] == "80, of which 30 are trained on"  # 10 x 8, 10 x 3
    assert table["updates per step"] == "8 (2 passes x 4 minibatches)"
    # a row is at most 20 + 30 + 50 = 100: 250 // 100 = 2; an update is ceil(10 / 4) = 3 questions of 3 rows
    assert table["sequences per micro-batch"] == "about 2 to 9, as their lengths allow"
    assert table["tokens, at most: trained row"].startswith("100,")
    assert table["training"] == "100 steps, 8,000 samples"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trainer.steps": 6, "trainer.questions_per_step": 4}, "6 steps of 4 questions hardly change the model"),
        ({"trainer.steps": 19}, "raise trainer.steps"),
        ({"trainer.steps": 20}, None),
        ({"trainer.steps": 5, "trainer.epochs": 2, "trainer.minibatches": 2}, None),  # 20 optimizer steps
        ({"budget.max_samples": 1280}, "raise budget.max_samples"),  # 10 steps of 16 x 8
        ({}, None),
    ],
)
def test_too_few_steps_to_learn_anything(changes: dict[str, Any], said: str | None) -> None:
    found = [note for note in facts(changes)[1] if "a smoke test" in note]
    assert len(found) == (said is not None)
    assert all(said is not None and said in note for note in found)


def test_numbers_of_grpo() -> None:
    changes = {"completions_per_question": 8, "trainer.questions_per_step": 4, "trainer.tokens_per_microbatch": 8192}
    table, _ = facts(changes, "algorithm=grpo")
    assert table["completions per question"] == "8 answers"
    assert table["completions per step"] == "32, of which 32 are trained on"
    assert table["updates per step"] == "1 (1 pass x 1 minibatch)"
    assert table["sequences per micro-batch"] == "32 (all of an update)"
    assert "tokens, at most: shown draft" not in table


def test_numbers_of_the_controls() -> None:
    # 16 questions a step, 80 steps, a budget of 8 a question
    half, _ = facts(None, "condition=grpo_half")
    assert half["completions per question"] == "4 answers of a budget of 8"
    assert half["completions per step"] == "64, of which 64 are trained on"
    assert half["training"] == "80 steps, 5,120 samples"
    bare, _ = facts(None, "condition=bare")
    assert bare["completions per question"] == "8 answers"
    assert bare["training"] == "80 steps, 10,240 samples"
    assert "tokens, at most: shown draft" not in bare
    best, notes = facts(None, "condition=best_of_n")
    assert best["completions per step"] == "128, of which up to 16 are trained on"
    assert best["sequences per micro-batch"] == "16 (all of an update)"
    assert "imitation: the best right completion of each group has weight 1, all others have none" in notes
    pulled, _ = facts({"objective.kl_beta": 0.1}, "condition=best_of_n")
    assert pulled["completions per step"] == "128, of which 128 are trained on"  # the KL term is on all of them


def test_numbers_of_the_variants() -> None:
    # 16 questions a step, a budget of 8 a question: 4 drafts and 4 refinements
    both, _ = facts(None, "condition=igrpo_both")
    assert both["completions per step"] == "128, of which 128 are trained on"
    assert both["trained on"] == "drafts; refinements"
    twice, _ = facts(None, "condition=igrpo_internalize")
    assert twice["completions per step"] == "128, of which 128 are trained on"  # 64 refinements, each after two prompts
    assert twice["trained on"].endswith("refinements as answers to the bare question, weighted by at most 1 (token)")
    rounds, _ = facts(None, "condition=igrpo_two_rounds")
    assert rounds["completions per question"] == "8 = 4 drafts + 2 rounds of 2 refinements"
    assert rounds["completions per step"] == "128, of which 64 are trained on"
    two, _ = facts(None, "condition=igrpo_show_two")
    assert two["tokens, at most: shown draft"] == "2 x 24 (a longer one loses its middle)"
    assert two["tokens, at most: trained row"].startswith("96,")  # 24 + 2 x 24 + 24
    half, _ = facts(None, "condition=igrpo_bare_half")
    assert half["answered once, all trained on"] == "50 % of the questions (8 of a step's 16), 8 completions each"
    assert half["completions per step"] == "128, of which 96 are trained on"  # 8 questions of 8, 8 of 4


def test_a_share_of_less_than_a_question_is_carried_over() -> None:
    few, _ = facts({"algorithm.bare_fraction": 0.1, "trainer.questions_per_step": 8})
    assert few["answered once, all trained on"] == "10 % of the questions (0 or 1 of a step's 8), 8 completions each"
    assert few["completions per step"] == "64, of which 32 or 36 are trained on"  # 8 of 4; 7 of 4 and 1 of 8
    exact, _ = facts({"algorithm.bare_fraction": 0.7, "trainer.questions_per_step": 10})  # 10 x 0.7 is not 7 in floats
    assert "(7 of a step's 10)" in exact["answered once, all trained on"]


def test_limits_of_the_budget() -> None:
    table, notes = facts()
    assert not [name for name in table if name.startswith("ends")]
    assert not any(note.startswith("budget") for note in notes)
    # 16 questions of 8 samples: 128 a step; 1,000 / 128 = 7.8, so 8 steps and 1,024 samples
    table, notes = facts({"budget.max_samples": 1000, "budget.max_flops": 1e15})
    first = "after the first step that comes to "
    assert table["ends earlier"] == first + "budget.max_samples=1,000 or budget.max_flops=1e+15"
    assert table["ends at max_samples"] == "after 8 steps, 1,024 samples"
    assert "budget: trainer.steps stays the upper bound, and the horizon of the learning rate's schedule" in notes
    half, _ = facts({"budget.max_samples": 1024}, "algorithm=grpo", "algorithm.answers=4")  # 64 a step
    assert half["ends at max_samples"] == "after 16 steps, 1,024 samples"
    for enough in (80 * 128, 79 * 128 + 1):  # the 80th step is the last one anyway
        assert facts({"budget.max_samples": enough})[0]["ends at max_samples"].startswith("never")
    assert facts({"budget.max_samples": 79 * 128})[0]["ends at max_samples"] == "after 79 steps, 10,112 samples"
    seconds, _ = facts({"budget.max_seconds": 90.5})
    assert seconds["ends earlier"] == first + "budget.max_seconds=90.5"
    assert "ends at max_samples" not in seconds


def test_dynamic_sampling_says_what_it_may_cost() -> None:
    # 16 questions of 8 samples: 128 a step, and up to 10 further questions in each place: 11 x 128
    table, _ = facts(None, "condition=igrpo_dapo")
    assert table["completions per step"] == "at least 128, of which up to 64 are trained on"
    assert table["dynamic sampling"] == (
        "up to 10 replacements of each question that is answered all right or all wrong: up to 1,408 completions "
        "per step"
    )
    assert table["training"] == "80 steps, at least 10,240 samples, at most 112,640"
    once, _ = facts({"dynamic_sampling.max_attempts": 1})
    assert once["dynamic sampling"].startswith("up to 1 replacement of each question")
    assert "dynamic sampling" not in facts()[0]

    # 3,000 / 1,408 = 2.1 and 3,000 / 128 = 23.4; 20,000 / 1,408 = 14.2, and 80 steps may come to fewer
    def end(limit: int) -> str:
        return facts({"budget.max_samples": limit}, "condition=dapo")[0]["ends at max_samples"]

    assert end(3000) == "after 3 to 24 steps, as dynamic sampling needs"
    assert end(20_000) == "after 15 to 80 steps, as dynamic sampling needs"
    assert end(80 * 1408) == "never: trainer.steps end it"
    assert end(100) == "after 1 step, 128 samples"


def test_notes_of_what_the_objective_adds() -> None:
    _, notes = facts({"objective.overlong_buffer": 5, "objective.entropy_control.target": 0.25})
    assert "entropy control: the bonus is on below 0.25 nats per token, at most 0.05" in notes
    assert "soft overlong penalty: the reward that is trained on falls by up to 1 in the last 5 of 24 tokens" in notes
    assert not [note for note in facts()[1] if "entropy control" in note or "overlong" in note]
    controlled, _ = facts({"objective.entropy_control.target": 0.25}, "condition=best_of_n")
    assert controlled["completions per step"] == "128, of which 128 are trained on"  # the bonus may be on all of them


def test_evaluation_row() -> None:
    table, _ = facts({"evaluation.questions": 100, "data.test": 30, "evaluation.oracle_drafts": 3})
    assert table["evaluation"] == (
        "100 development questions every 20 steps, 30 test questions before and after; 4 samples each, "
        "draft-conditioned, best of 3 drafts (oracle)"
    )
    greedy, _ = facts({"evaluation.greedy": True, "evaluation.draft_conditioned": False})
    assert greedy["evaluation"].endswith("; 4 samples each, greedy")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "4 samples each (development: from 2, until the 95 % interval is narrower than 12.5 points)"),
        ({"evaluation.oracle_drafts": 3}, "4 samples each (development: from 3, until "),
        ({"evaluation.samples": 2}, "2 samples each, draft"),
        ({"evaluation.interval_width": None}, "4 samples each, draft"),
    ],
)
def test_the_evaluation_row_says_from_how_many_samples_it_may_stop(changes: dict[str, Any], told: str) -> None:
    table, _ = facts({"evaluation.interval_width": 0.125, **changes})
    assert told in table["evaluation"]


def test_one_update_makes_clipping_inert_and_several_do_not() -> None:
    on_policy = "on-policy: clipping is inert (the ratio is 1)"
    assert facts()[1] == ["reference model: none (objective.kl_beta=0)", on_policy]
    assert on_policy not in facts({"trainer.epochs": 2})[1]
    assert on_policy not in facts({"trainer.minibatches": 2})[1]
    reference = "reference model: a frozen copy of the policy before training (objective.kl_beta=0.01)"
    assert facts({"objective.kl_beta": 0.01})[1] == [reference, on_policy]


def test_what_is_identical_by_construction() -> None:
    same = "identical by construction"
    assert any(note.startswith(same) and "GSPO and GRPO" in note for note in facts({}, "objective=gspo")[1])
    assert any(note.startswith(same) and "CISPO and the DAPO" in note for note in facts({}, "objective=cispo")[1])
    rloo = facts({"completions_per_question": 8, "algorithm.drafts": 4}, "objective=rloo")[1]
    assert any(note.startswith(same) and "G/(G-1) = 4/3 times" in note for note in rloo)
    assert "on-policy: one update per step, no ratio" in rloo
    for objective in ("grpo", "dr_grpo", "dapo"):
        assert not any(note.startswith(same) for note in facts({}, f"objective={objective}")[1])
    for objective in ("gspo", "cispo", "rloo"):
        assert not any(note.startswith(same) for note in facts({"trainer.epochs": 2}, f"objective={objective}")[1])
    assert any("off-policy and not corrected" in note for note in facts({"trainer.epochs": 2}, "objective=rloo")[1])


def test_words_for_what_is_trained_without_a_weight() -> None:
    refinements = "refinements as answers to the bare question"
    weighed, bare = (
        facts(None, f"condition={name}")[0]["trained on"] for name in ("igrpo_answers", "igrpo_answers_unweighted")
    )
    together = "all of a question are one group"
    assert weighed == f"drafts; {refinements}, weighted by at most 1 (token); {together}"
    without = "without a weight for the prompt that they were sampled from"
    assert bare == f"drafts; {refinements}, {without}; {together}"


def test_numbers_of_critique_grpo() -> None:
    # 16 questions a step; n = 4, which leaves 2 pairs of a critique and a refinement, of which one refinement is kept
    table, notes = facts({"budget.max_samples": 1000}, "condition=critique_grpo")
    assert table["completions per question"] == ("at most 8 = 4 answers + 2 critiques + 2 refinements; at least 4")
    assert table["completions per step"] == "at most 128, of which up to 80 are trained on"  # 16 x (4 + 1)
    refinements = "up to 1 refinements as answers to the bare question, each token's term A pi / (pi + 0.1)"
    assert table["trained on"] == f"answers; {refinements}"
    assert table["tokens, at most: shown text"].startswith("2 x 24 ")  # an answer and its critique
    assert table["training"] == "80 steps, at most 10,240 samples"
    assert table["ends at max_samples"] == "after 8 steps or more, 1,024 samples"
    assert "critiques and refinements are sampled where no answer is known to be right" in notes
    assert not any("Critique-GRPO's own" in note for note in notes)
    for change in ("objective=grpo", "objective=rloo", "objective.kl_beta=0.1"):
        foreign = facts(None, "algorithm=critique_grpo", "objective=dr_grpo", change)[1]
        own = change == "objective=rloo"  # no std, no length, no KL either
        assert any("Critique-GRPO's own" in note for note in foreign) is not own


def test_numbers_of_self_verification() -> None:
    table, notes = facts({"algorithm.answers": 5}, "algorithm=self_verification")
    assert table["completions per question"] == ("at most 8 = 5 answers + 3 verifications; at least 5")
    assert table["completions per step"] == "at most 128, of which up to 128 are trained on"
    assert table["trained on"] == "answers; up to 3 verifications"
    assert any("there is none in the first step" in note for note in notes)


def test_leave_one_out_matters_where_groups_differ_in_size() -> None:
    same = "identical by construction up to a factor"
    for overrides, factor in (
        (("algorithm=grpo",), True),
        (("algorithm=self_verification",), True),  # 4 and 4
        (("algorithm=self_verification", "algorithm.answers=5"), False),
        (("algorithm=critique_grpo",), False),  # 4, or 5
        (("algorithm.train_on=[draft,refine]", "algorithm.drafts=2"), False),
        (("condition=igrpo_answers", "algorithm.drafts=2"), True),  # one group of 8
    ):
        assert any(note.startswith(same) for note in facts(None, "objective=rloo", *overrides)[1]) is factor


def test_completions_too_short_to_think() -> None:
    real = ("model=qwen2_5_1_5b", "data=gsm8k", "prompt=think_answer")
    _, notes = facts({"sampling.max_completion_tokens": 255}, *real)
    assert [note for note in notes if note.startswith("short completions: prompt=think_answer asks for <think>")]
    for changes, overrides in (({"sampling.max_completion_tokens": 256}, real), (None, real), (None, ())):
        assert not [note for note in facts(changes, *overrides)[1] if "short completions" in note]
