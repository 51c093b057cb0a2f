"""Each variant of iGRPO in conf/condition, from its YAML to real steps: what is sampled, shown and trained, token by token."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from igrpo.generation.local.engine import LocalEngine
from igrpo.training.module import IGRPOModule
from igrpo.training.rows import Row
from igrpo.types import Completion, Rollout, Sample
from tests.algorithms.fakes import ScriptedEngine, context, run
from tests.composed import config as composed
from tests.rollouts import shape, values
from tests.training import small_run
from tests.training.small_run import mixed, rollouts_of

#: (role, trained, samples) of a question's rounds, with eight completions in the budget.
SAMPLED = {
    "igrpo": [("draft", False, 4), ("refinement", True, 4)],
    "igrpo_both": [("draft", True, 4), ("refinement", True, 4)],
    "igrpo_two_rounds": [("draft", False, 4), ("refinement", True, 2), ("refinement", True, 2)],
    "igrpo_show_two": [("draft", False, 4), ("refinement", True, 4)],
    "igrpo_wrong": [("draft", False, 4), ("refinement", True, 4)],
    "igrpo_quarter": [("draft", False, 2), ("refinement", True, 6)],
    "igrpo_internalize": [("draft", False, 4), ("refinement", True, 4)],
    "igrpo_internalize_only": [("draft", False, 4), ("refinement", True, 4)],
    "igrpo_internalize_unweighted": [("draft", False, 4), ("refinement", True, 4)],
    "igrpo_answers": [("draft", True, 4), ("refinement", True, 4)],
    "igrpo_answers_unweighted": [("draft", True, 4), ("refinement", True, 4)],
    "igrpo_no_thinking": [("draft", False, 4), ("refinement", True, 4)],
}


def seldom(completion: Completion) -> float:
    """Right for about one answer in eight."""
    return float(sum(completion.token_ids) % 8 == 0)


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., tuple[IGRPOModule, list[Rollout], list[list[Row]]]]:
    """``trained(condition)``: the module after two steps, its rollouts, and the rows of each question that is trained."""

    def two_steps(
        name: str, value: Callable[[Completion], float] = mixed
    ) -> tuple[IGRPOModule, list[Rollout], list[list[Row]]]:
        config = composed(None, f"condition={name}")
        module = small_run.make(
            config.algorithm, small_run.ScriptedReward(value), total=8,
            max_attempts=config.dynamic_sampling.max_attempts, draft_thinking=config.prompt.draft_thinking,
        )  # fmt: skip
        small_run.fit(module, 2, tmp_path)
        return module, rollouts_of(module), [rows for step in small_run.kept(module).rows for rows in step]

    return two_steps


def rows_of(
    samples: Sequence[Sample], prompt: tuple[int, ...] | None = None, *, cross_prompt: bool = False
) -> list[tuple[Any, ...]]:
    """As answers to ``prompt``, or to the prompts that they were sampled from."""
    completions = [sample.completion for sample in samples]
    prompts = [sample.prompt.token_ids if prompt is None else prompt for sample in samples]
    return [(p, c.token_ids, c.logprobs, cross_prompt) for p, c in zip(prompts, completions, strict=True)]


def plain(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [(row.prompt_ids, row.completion_ids, row.sampler_logprobs, row.cross_prompt) for row in rows]


@pytest.mark.parametrize("name", SAMPLED)
def test_a_variant_samples_and_trains_what_it_says(name: str, trained: Any) -> None:
    module, rollouts, rows = trained(name)
    assert module.budget.samples == 2 * 3 * 8
    assert any(row.advantage for one in rows for row in one)
    for rollout, one in zip(rollouts, rows, strict=True):
        assert shape(rollout) == SAMPLED[name]
        drafts, refinements = rollout.of("draft"), rollout.of("refinement")
        bare = drafts[0].prompt.token_ids
        only_answers = "answers" in name or name in {"igrpo_internalize_only", "igrpo_internalize_unweighted"}
        expected = rows_of(drafts) if SAMPLED[name][0][1] else []
        expected += [] if only_answers else rows_of(refinements)
        if "internalize" in name or "answers" in name:
            # the refinements' tokens, after the bare question, with the log-probs given q'
            expected += rows_of(refinements, bare, cross_prompt=True)
        assert plain(one) == expected
        assert {row.prompt_ids for row in one if row.cross_prompt} <= {bare}


@pytest.mark.parametrize("name", [name for name in SAMPLED if name != "igrpo_wrong"])
def test_the_prompt_shows_the_best_of_the_round_before(name: str, trained: Any) -> None:
    _, rollouts, _ = trained(name)
    count = 2 if name == "igrpo_show_two" else 1
    separator = small_run.TOKENIZER.encode("Draft:", add_special_tokens=False)
    for rollout in rollouts:
        for before, (after, *_) in zip(rollout.rounds, rollout.rounds[1:], strict=False):
            assert len(after.context) == count
            shown = [before[index] for _, index in after.context]
            assert values(shown) == sorted(values(before), reverse=True)[:count]
            texts = [visible(sample.completion) for sample in shown]
            if all(len(text) <= 8 for text in texts):  # of small_run's draft budget
                joined = [*texts[0], *(token for text in texts[1:] for token in (*separator, *text))]
                assert contains(after.prompt.token_ids, joined)


@pytest.mark.parametrize("name", ["igrpo_answers", "igrpo_answers_unweighted"])
def test_drafts_and_refinements_as_answers_share_a_baseline(name: str, trained: Any) -> None:
    _, rollouts, rows = trained(name)
    for rollout, one in zip(rollouts, rows, strict=True):
        rewards = values(rollout.samples)
        mean, std = statistics.fmean(rewards), statistics.stdev(rewards)
        expected = [(reward - mean) / (std + 1e-6) if std else 0.0 for reward in rewards]
        assert [row.advantage for row in one] == pytest.approx(expected, abs=1e-3)


def test_the_weight_of_what_is_internalized_can_be_left_out(trained: Any) -> None:
    """The same samples: with a weight the update is another one, and the measured gap is the same."""
    weighed, plain_one = (trained(name)[0] for name in ("igrpo_internalize_only", "igrpo_internalize_unweighted"))
    assert weighed.latest["transferred/kl"] > 0
    assert plain_one.latest["transferred/capped_share"] == 0 < weighed.latest["transferred/capped_share"]
    assert not small_run.same_weights(weighed, plain_one)


def test_a_wrong_draft_goes_before_a_right_one(trained: Any) -> None:
    _, rollouts, _ = trained("igrpo_wrong")
    mixed_drafts = [one for one in rollouts if len(set(values(one.of("draft")))) == 2]
    assert mixed_drafts
    for one in mixed_drafts:
        shown = one.shown(one.of("refinement")[0])
        assert shown is not None
        assert values([shown]) == [0.0]


def test_half_of_the_questions_are_answered_once(trained: Any) -> None:
    module, rollouts, rows = trained("igrpo_bare_half")  # of three questions a step, one and then two
    kinds = [shape(rollout) for rollout in rollouts]
    once = [kind == [("answer", True, 8)] for kind in kinds]
    assert [sum(once[:3]), sum(once[3:])] == [1, 2]
    assert kinds.count(SAMPLED["igrpo"]) == 3
    for rollout, one in zip(rollouts, rows, strict=True):
        assert plain(one) == rows_of(rollout.rounds[-1])
    assert {name.split("/")[0] for name in module.latest} >= {"answer", "draft", "refinement"}
    assert module.budget.samples == 2 * 3 * 8


@pytest.fixture
def thinking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sample's text has a part between <think> and </think>, its first two tokens: the tokens have no such
    words."""
    original = LocalEngine.sample

    async def sample(self: LocalEngine, *request: Any) -> tuple[Completion, ...]:
        drawn = await original(self, *request)
        texts = [tuple(small_run.TOKENIZER.decode(ids) for ids in parts(one)) for one in drawn]
        return tuple(
            replace(one, text=f"<think>{thought}</think>{answer}")
            for one, (thought, answer) in zip(drawn, texts, strict=True)
        )

    monkeypatch.setattr(LocalEngine, "sample", sample)


def parts(completion: Completion) -> tuple[list[int], list[int]]:
    """The tokens of its thinking, and those of its answer."""
    ids = visible(completion)
    return ids[:2], ids[2:]


@pytest.mark.usefixtures("thinking")
@pytest.mark.parametrize("name", ["igrpo", "igrpo_no_thinking"])
def test_a_draft_is_shown_with_its_thinking_or_without(name: str, trained: Any) -> None:
    _, rollouts, rows = trained(name)
    space = small_run.TOKENIZER.convert_tokens_to_ids("Ġ")
    for rollout, one in zip(rollouts, rows, strict=True):
        refinements = rollout.of("refinement")
        shown, prompt = rollout.shown(refinements[0]), refinements[0].prompt
        assert shown is not None
        thought, answer = parts(shown.completion)
        while name == "igrpo_no_thinking" and answer[:1] == [space]:
            answer = answer[1:]  # blanks before the answer go with the thinking
        tokens = answer if name == "igrpo_no_thinking" else [*thought, *answer]
        question = small_run.TOKENIZER.encode(rollout.question.problem, add_special_tokens=False)
        assert list(prompt.token_ids) == filled(question, tokens)
        # what is trained is what was sampled, thinking included
        assert plain(one) == rows_of(refinements)
        assert prompt.draft_tokens == len(tokens)


def filled(question: list[int], draft: list[int]) -> list[int]:
    """The tokens of small_run's layout of a refinement prompt."""
    names = small_run.TOKENIZER.convert_tokens_to_ids(["<bos>", "Problem:", "Draft:", "Refine:"])
    bos, problem, before, after = names
    return [bos, problem, *question, before, *draft, after]


def test_both_roles_of_kept_questions_are_trained(trained: Any) -> None:
    module, rollouts, rows = trained("igrpo_both_dapo", seldom)
    kept = [rollout for rollout in rollouts if rollout.dropped is None]
    assert 0 < len(kept) < len(rollouts), "some are dropped"
    assert {rollout.dropped for rollout in rollouts} == {None, "all_wrong"}
    for rollout in rollouts:
        assert shape(rollout) == SAMPLED["igrpo_both"]
        verdicts = [set(values(samples)) for samples in rollout.rounds]
        assert ({0.0, 1.0} in verdicts) == (rollout.dropped is None), "a group that teaches is enough"
    for rollout, one in zip(kept, rows, strict=True):
        assert plain(one) == rows_of(rollout.samples)
    assert module.budget.samples == 8 * len(rollouts), "dropped ones cost, too"


@pytest.mark.parametrize("places", [1, 3, 8])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.29, 0.5, 0.7, 1.0])
def test_the_bare_fraction_holds_over_steps(fraction: float, places: int) -> None:
    algorithm = composed(None, f"algorithm.bare_fraction={fraction}").algorithm
    share, asked, once = Fraction(str(fraction)), 0, 0
    for step in range(1, 101):
        found = [answered_once(algorithm, step, place, places) for place in range(places)]
        assert abs(sum(found) - share * places) < 1, "a step has its share to less than one question"
        asked, once = asked + places, once + sum(found)
        assert once == math.floor(asked * share), "the rest is carried over"
    # A later step alone, as after a resume, is as it was.
    assert [answered_once(algorithm, 100, place, places) for place in range(places)] == found


def answered_once(algorithm: Any, step: int, place: int, places: int) -> bool:
    engine = ScriptedEngine(lambda prompt, seed: "a")
    rollout = run(algorithm, context(engine, 8, step=step, question_index=place, questions=places))
    return len(rollout.rounds) == 1


def visible(completion: Completion) -> list[int]:
    return [token for token in completion.token_ids if token not in small_run.TOKENIZER.all_special_ids]


def contains(whole: tuple[int, ...], part: list[int]) -> bool:
    return any(list(whole[i : i + len(part)]) == part for i in range(len(whole) - len(part) + 1))
