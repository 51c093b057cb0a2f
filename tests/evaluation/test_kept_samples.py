"""Evaluations with kept samples: what an interrupted one draws again, and that its result is the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from igrpo.evaluation.sampler import KEPT_PER_REQUEST, Sampler
from igrpo.evaluation.store import SampleFile, read_samples
from igrpo.generation.base import SamplingParams
from igrpo.generation.batch_barrier import BatchBarrier
from igrpo.seeding import derive_seed
from igrpo.types import Completion, Prompt, Question
from tests.evaluation.fakes import DRAFT_MARK, SAMPLING, DigitEngine, EqualityReward, run

QUESTIONS = [Question(f"q{i}", str(1 + i % 4), str(1 + i % 4)) for i in range(6)]
ALL = {"questions": QUESTIONS, "samples": 11, "oracle_drafts": 3}
#: single-shot, greedy, one refinement of each, and of the best of each whole block of 3
PER_QUESTION = 11 + 1 + 11 + 3


class KilledError(Exception):
    """The death of the process."""


class DyingEngine(DigitEngine):
    """Dies at its n-th call."""

    left = 0

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        if self.left == 0:
            raise KilledError
        self.left -= 1
        return await super().sample(prompt_ids, params, seeds)


def seeds(engine: DigitEngine) -> list[int]:
    return [seed for call in engine.calls for seed in call.seeds]


def test_every_sample_is_kept_once_and_nothing_else_changes(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    engine = DigitEngine()
    assert run(engine, **ALL, store=SampleFile(path)) == run(DigitEngine(), **ALL)
    rows = read_samples(path)
    assert len(rows) == len(QUESTIONS) * PER_QUESTION
    assert sorted(row.seed for row in rows) == sorted(seeds(engine))
    by_key = {(row.question, *row.key): row for row in rows}
    for question in QUESTIONS:
        for j in range(11):
            row = by_key[question.id, "draft_conditioned", j]
            assert row.context == (("single_shot", j),)
            assert row.draft_tokens_cut == int(by_key[question.id, "single_shot", j].text == "1")
            assert row.correct == (row.text == question.answer)
            assert row.seed == derive_seed("evaluation", 11, question.id, 2, j)
        assert by_key[question.id, "single_shot", 2].seed == derive_seed("evaluation", 11, question.id, 1, 2)
        assert by_key[question.id, "greedy", 0].seed == derive_seed("evaluation", 11, question.id, "greedy", 0)
        oracle = by_key[question.id, "draft_conditioned_oracle", 2]
        assert oracle.seed == derive_seed("evaluation", 11, question.id, "oracle", 2)
        assert oracle.context[0][1] in {6, 7, 8}


@pytest.mark.parametrize("barrier", [False, True])
@pytest.mark.parametrize("calls", [0, 1, 7, 18, 40, 90])
def test_a_killed_evaluation_draws_only_what_is_missing(tmp_path: Path, calls: int, barrier: bool) -> None:
    settings: dict[str, Any] = {**ALL, "wrap": BatchBarrier if barrier else None}
    whole = run(DigitEngine(), **settings)
    path = tmp_path / "test.jsonl"
    first, second, third = DyingEngine(), DigitEngine(), DigitEngine()
    first.left = calls
    with pytest.raises(KilledError):
        run(first, **settings, store=SampleFile(path))
    kept = {row.seed for row in read_samples(path)}
    assert run(second, **settings, store=SampleFile(path)) == whole
    assert not kept & set(seeds(second)), "no kept sample is drawn again"
    assert len(kept) + len(seeds(second)) == len(QUESTIONS) * PER_QUESTION
    assert run(third, **settings, store=SampleFile(path)) == whole
    assert third.calls == []


def test_an_interval_width_goes_on_from_what_is_kept(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"questions": QUESTIONS, "samples": 8, "interval_width": 0.9, "wrap": BatchBarrier}
    whole, path = run(DigitEngine(), **settings), tmp_path / "test.jsonl"
    assert len(whole.per_question[0].single_shot) < 8
    dying, engine = DyingEngine(), DigitEngine()
    dying.left = 15
    with pytest.raises(KilledError):
        run(dying, **settings, store=SampleFile(path))
    assert run(engine, **settings, store=SampleFile(path)) == whole


def test_requests_of_kept_samples_are_small_and_refinements_have_their_own() -> None:
    engine = DigitEngine()
    run(engine, **{**ALL, "samples": 2 * KEPT_PER_REQUEST + 3, "store": Nowhere()})
    bare = [len(call.seeds) for call in engine.calls if DRAFT_MARK not in call.prompt and call.params == SAMPLING]
    assert sorted(bare) == sorted([KEPT_PER_REQUEST, KEPT_PER_REQUEST, 3] * len(QUESTIONS))
    assert {len(call.seeds) for call in engine.calls if DRAFT_MARK in call.prompt} == {1}


class Nowhere:
    """A store that has nothing and keeps nothing."""

    def get(self, question: str, key: tuple[str, int]) -> None:
        return None

    def add(self, samples: Sequence[object]) -> None: ...


def test_a_kind_of_its_own_has_seeds_of_its_own() -> None:
    sampler = Sampler(DigitEngine(), EqualityReward(), 11)
    drawn = asyncio.run(sampler.sample(QUESTIONS[0], Prompt((1,)), SAMPLING, "self_consistency", [4, 2]))
    assert [sample.index for sample in drawn] == [4, 2]
    expected = [derive_seed("evaluation", 11, "q0", "self_consistency", index) for index in (4, 2)]
    assert [sample.seed for sample in drawn] == expected
    assert sampler.requests(QUESTIONS[0], "self_consistency", range(64)) == 1
    assert sampler.requests(QUESTIONS[0], "self_consistency", []) == 0
