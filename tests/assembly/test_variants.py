"""Each variant of iGRPO in conf/condition, from its YAML to real steps: what is sampled, shown and trained, token by token."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from igrpo import assembly
from igrpo.algorithms.base import RolloutContext
from igrpo.generation.local.engine import LocalEngine
from igrpo.training.batching import Row
from igrpo.training.update import Updater
from igrpo.types import Completion, Group, Question, Trace
from tests.algorithms.fakes import PARAMS, PlainPrompts, ScriptedEngine, TextReward
from tests.composed import config as composed
from tests.training import small_run

#: (stage, trained, completions) of a question's groups, with eight completions in the budget.
SAMPLED = {
    "igrpo": [(1, False, 4), (2, True, 4)],
    "igrpo_both": [(1, True, 4), (2, True, 4)],
    "igrpo_two_rounds": [(1, False, 4), (2, True, 2), (2, True, 2)],
    "igrpo_show_two": [(1, False, 4), (2, True, 4)],
    "igrpo_wrong": [(1, False, 4), (2, True, 4)],
    "igrpo_quarter": [(1, False, 2), (2, True, 6)],
    "igrpo_internalize": [(1, False, 4), (2, True, 4)],
    "igrpo_internalize_only": [(1, False, 4), (2, False, 4)],
    "igrpo_internalize_unweighted": [(1, False, 4), (2, False, 4)],
    "igrpo_answers": [(1, False, 4), (2, False, 4)],
    "igrpo_answers_unweighted": [(1, False, 4), (2, False, 4)],
    "igrpo_no_thinking": [(1, False, 4), (2, True, 4)],
}


def mixed(completion: Completion) -> float:
    """Right for about half of the answers of a random model."""
    return float(sum(completion.token_ids) % 2)


def seldom(completion: Completion) -> float:
    """Right for about one answer in eight."""
    return float(sum(completion.token_ids) % 8 == 0)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, list[Trace], list[list[Row]]]]:
    """``trained(condition)``: the module after two steps, its traces, and the rows of each question that is trained."""

    def run(name: str, value: Callable[[Completion], float] = mixed) -> tuple[Any, list[Trace], list[list[Row]]]:
        seen: list[list[Row]] = []
        original = Updater.run

        def spy(self: Updater, questions_S: Any, *rest: Any) -> Any:
            seen.extend(questions_S)
            return original(self, questions_S, *rest)

        monkeypatch.setattr(Updater, "run", spy)
        config = composed(None, f"condition={name}")
        monkeypatch.setitem(small_run.ALGORITHMS, name, assembly.build_algorithm(config))
        module = small_run.make(
            name, small_run.ScriptedReward(value), transfer=config.transfer,
            max_attempts=config.dynamic_sampling.max_attempts, draft_thinking=config.prompt.draft_thinking,
        )  # fmt: skip
        small_run.fit(module, 2, tmp_path)
        traces = [trace for step in small_run.kept(module).steps.values() for trace in step]
        return module, traces, seen

    return run


def rows_of(group: Group, prompt: tuple[int, ...], *, transferred: bool) -> list[tuple[Any, ...]]:
    return [(prompt, c.token_ids, c.logprobs, transferred) for c in group.completions]


def plain(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [(row.prompt_ids, row.completion_ids, row.sampler_logprobs, row.transferred) for row in rows]


@pytest.mark.parametrize("name", SAMPLED)
def test_a_variant_samples_and_trains_what_it_says(name: str, trained: Any) -> None:
    module, traces, rows = trained(name)
    assert module.budget.samples == 2 * 3 * 8
    assert any(row.advantage for one in rows for row in one)
    for trace, one in zip(traces, rows, strict=True):
        assert [(g.stage, g.trained, len(g.completions)) for g in trace.groups] == SAMPLED[name]
        bare = trace.groups[0].prompt.token_ids
        expected = []
        for group, (_, is_trained, _) in zip(trace.groups, SAMPLED[name], strict=True):
            if is_trained:
                expected += rows_of(group, group.prompt.token_ids, transferred=False)
        if "answers" in name:  # the drafts, in one group with what follows
            expected += rows_of(trace.groups[0], bare, transferred=False)
        if (
            "internalize" in name or "answers" in name
        ):  # the refinements' tokens, after the bare question, with the log-probs given q'
            expected += rows_of(trace.groups[1], bare, transferred=True)
        assert plain(one) == expected
        assert {row.prompt_ids for row in one if row.transferred} <= {bare}


@pytest.mark.parametrize("name", [name for name in SAMPLED if name != "igrpo_wrong"])
def test_the_prompt_shows_the_best_of_the_group_before(name: str, trained: Any) -> None:
    _, traces, _ = trained(name)
    count = 2 if name == "igrpo_show_two" else 1
    separator = small_run.TOKENIZER.encode("Draft:", add_special_tokens=False)
    for trace in traces:
        for before, after in zip(trace.groups, trace.groups[1:], strict=False):
            assert len(after.shown) == count
            best = sorted((score.value for score in before.scores), reverse=True)[:count]
            assert [before.scores[i].value for i in after.shown] == best
            texts = [visible(before.completions[i])[:8] for i in after.shown]
            if all(len(visible(before.completions[i])) <= 8 for i in after.shown):  # of small_run's draft budget
                joined = [*texts[0], *(token for text in texts[1:] for token in (*separator, *text))]
                assert contains(after.prompt.token_ids, joined)


@pytest.mark.parametrize("name", ["igrpo_answers", "igrpo_answers_unweighted"])
def test_drafts_and_refinements_as_answers_share_a_baseline(name: str, trained: Any) -> None:
    _, traces, rows = trained(name)
    for trace, one in zip(traces, rows, strict=True):
        values = [score.value for group in trace.groups for score in group.scores]
        mean, std = statistics.fmean(values), statistics.stdev(values)
        expected = [(value - mean) / (std + 1e-6) if std else 0.0 for value in values]
        assert [row.advantage for row in one] == pytest.approx(expected, abs=1e-3)


def test_the_weight_of_what_is_internalized_can_be_left_out(trained: Any) -> None:
    """The same samples: with a weight the update is another one, and the measured gap is the same."""
    weighed, plain_one = (trained(name)[0] for name in ("igrpo_internalize_only", "igrpo_internalize_unweighted"))
    assert weighed.latest["transferred/kl"] > 0
    assert plain_one.latest["transferred/capped_share"] == 0 < weighed.latest["transferred/capped_share"]
    pairs = zip(weighed.policy.parameters(), plain_one.policy.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_a_wrong_draft_goes_before_a_right_one(trained: Any) -> None:
    _, traces, _ = trained("igrpo_wrong")
    mixed_groups = [t for t in traces if len({score.correct for score in t.groups[0].scores}) == 2]
    assert mixed_groups
    assert all(t.groups[0].scores[t.groups[1].shown[0]].correct is False for t in mixed_groups)


def test_half_of_the_questions_are_answered_once(trained: Any) -> None:
    module, traces, rows = trained("igrpo_bare_half")  # of three questions a step, one and then two
    kinds = [[(g.stage, g.trained, len(g.completions)) for g in trace.groups] for trace in traces]
    once = [kind == [(1, True, 8)] for kind in kinds]
    assert [sum(once[:3]), sum(once[3:])] == [1, 2]
    assert kinds.count(SAMPLED["igrpo"]) == 3
    for trace, one in zip(traces, rows, strict=True):
        assert plain(one) == rows_of(trace.groups[-1], trace.groups[-1].prompt.token_ids, transferred=False)
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
    _, traces, rows = trained(name)
    space = small_run.TOKENIZER.convert_tokens_to_ids("Ġ")
    for trace, one in zip(traces, rows, strict=True):
        drafts, refinements = trace.groups
        (shown,) = refinements.shown
        thought, answer = parts(drafts.completions[shown])
        while name == "igrpo_no_thinking" and answer[:1] == [space]:
            answer = answer[1:]  # blanks before the answer go with the thinking
        tokens = answer if name == "igrpo_no_thinking" else [*thought, *answer]
        question = small_run.TOKENIZER.encode(trace.question.problem, add_special_tokens=False)
        assert list(refinements.prompt.token_ids) == filled(question, tokens)
        # what is trained is what was sampled, thinking included
        assert plain(one) == rows_of(refinements, refinements.prompt.token_ids, transferred=False)
        assert refinements.prompt.draft_tokens == len(tokens)


def filled(question: list[int], draft: list[int]) -> list[int]:
    """The tokens of small_run's layout of a refinement prompt."""
    names = small_run.TOKENIZER.convert_tokens_to_ids(["<bos>", "Problem:", "Draft:", "Refine:"])
    bos, problem, before, after = names
    return [bos, problem, *question, before, *draft, after]


def test_both_stages_are_trained_of_the_questions_that_dynamic_sampling_keeps(trained: Any) -> None:
    module, traces, rows = trained("igrpo_both_dapo", seldom)
    kept = [trace for trace in traces if trace.dropped is None]
    assert 0 < len(kept) < len(traces), "some are dropped"
    assert {trace.dropped for trace in traces} == {None, "all_wrong"}
    for trace in traces:
        assert [(g.stage, g.trained, len(g.completions)) for g in trace.groups] == SAMPLED["igrpo_both"]
        verdicts = [{score.correct for score in group.scores} for group in trace.groups]
        assert ({True, False} in verdicts) == (trace.dropped is None), "a stage that teaches is enough"
    for trace, one in zip(kept, rows, strict=True):
        of_both = [row for g in trace.groups for row in rows_of(g, g.prompt.token_ids, transferred=False)]
        assert plain(one) == of_both
    assert module.budget.samples == 8 * len(traces), "dropped ones cost, too"


@pytest.mark.parametrize("places", [1, 3, 8])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.29, 0.5, 0.7, 1.0])
def test_the_bare_fraction_holds_over_steps(fraction: float, places: int) -> None:
    algorithm = assembly.build_algorithm(composed(None, f"algorithm.bare_fraction={fraction}"))
    share, asked, once = Fraction(str(fraction)), 0, 0
    for step in range(1, 101):
        found = [answered_once(algorithm, step, place, places) for place in range(places)]
        assert abs(sum(found) - share * places) < 1, "a step has its share to less than one question"
        asked, once = asked + places, once + sum(found)
        assert once == math.floor(asked * share), "the rest is carried over"
    # A later step alone, as after a resume, is as it was.
    assert [answered_once(algorithm, 100, place, places) for place in range(places)] == found


def answered_once(algorithm: Any, step: int, place: int, places: int) -> bool:
    prompts: Any = PlainPrompts()
    context = RolloutContext(
        ScriptedEngine(lambda prompt, seed: "a"), TextReward(frozenset()), prompts, PARAMS, 0, step
    )
    trace = asyncio.run(algorithm(Question("q", "1 + 1", "2"), replace(context, place=place, places=places)))
    return len(trace.groups) == 1


def visible(completion: Completion) -> list[int]:
    return [token for token in completion.token_ids if token not in small_run.TOKENIZER.all_special_ids]


def contains(whole: tuple[int, ...], part: list[int]) -> bool:
    return any(list(whole[i : i + len(part)]) == part for i in range(len(whole) - len(part) + 1))
