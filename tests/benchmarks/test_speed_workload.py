"""The work of the speed benchmark is what its cases say, and igrpo's engine keeps its lengths."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from benchmarks.speed import igrpo_runner, limits
from benchmarks.speed.arithmetic import check_tokens
from benchmarks.speed.workload import SHAPES, Case, Lengths, make_model, problems
from igrpo.generation.base import SamplingParams
from igrpo.generation.local.decode_batch import DecodeBatch
from igrpo.generation.local.engine import LocalEngine

CASE = Case("S", questions=3, group=4, prompt=44, completion=20, steps=2, uniform=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("S", tmp_path_factory.mktemp("speed") / "S")


@pytest.fixture
def tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(folder)


def test_prompts_have_the_lengths_of_the_case(tokenizer: PreTrainedTokenizerFast) -> None:
    for case in (CASE, Case("S", 8, 8, 426, 128, 2), Case("S", 1, 2, 32, 128, 2), Case("S", 64, 2, 44, 8, 1)):
        lengths = [len(tokenizer(row["problem"]).input_ids) for row in problems(case, seed=0)]
        assert lengths == case.prompt_lengths()
        assert sum(lengths) == case.prompt * case.questions


def test_every_token_is_one_in_the_next_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    sampled = list(range(2, SHAPES["S"]["vocab_size"]))
    assert tokenizer(tokenizer.decode(sampled)).input_ids == sampled


def test_each_step_has_all_lengths_in_another_order() -> None:
    lengths = Lengths(CASE, seed=0)
    first, second = lengths.take(5) + lengths.take(7), lengths.take(12)
    assert sorted(first) == sorted(second) == CASE.completion_lengths()
    assert first != second
    assert (min(first), max(first)) == (16, 20)


def test_the_matrices_are_those_of_the_model(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    assert limits.matrices("S") == [tuple(module.weight.shape) for module in linear]


def test_the_engine_ends_each_row_at_its_own_length(
    folder: Path, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DecodeBatch, "admit", DecodeBatch.admit)  # put back afterwards
    igrpo_runner.limit_rows(Lengths(CASE, seed=0))
    engine = LocalEngine(AutoModelForCausalLM.from_pretrained(folder), tokenizer, max_batch_rows=64)
    params = SamplingParams(temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=20, stop_token_ids=())

    async def sample() -> list[int]:
        groups = [engine.sample([5, 6, 7 + i], params, range(4 * i, 4 * i + 4)) for i in range(3)]
        return [len(one.token_ids) for group in await asyncio.gather(*groups) for one in group]

    assert sorted(asyncio.run(sample())) == CASE.completion_lengths()


def test_only_the_update_counts_as_the_update() -> None:
    class Clock:
        seconds = 0.0

        def now(self) -> float:
            self.seconds += 1
            return self.seconds

    budget = igrpo_runner.TimedBudget(meter=Clock())
    for name in ("update", "weight_sync", "update"):
        with budget.phase(name):
            pass
    assert budget.updating == 2
    assert budget.seconds.keys() == {"update", "weight_sync"}, "the run's own seconds are kept"


@pytest.mark.parametrize(("algorithm", "uniform"), [("grpo", True), ("igrpo", False)])
def test_a_run_measures_its_steps_and_their_parts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str, uniform: bool
) -> None:
    monkeypatch.setattr(DecodeBatch, "admit", DecodeBatch.admit)
    case = Case("S", questions=2, group=4, prompt=24, completion=20, steps=2, uniform=uniform)
    job = {"case": asdict(case), "algorithm": algorithm, "device": "cpu", "threads": 1, "seed": 0,
           "model": str(folder), "folder": str(tmp_path), "overrides": ["trainer.head_chunk=64"]}  # fmt: skip
    found = igrpo_runner.run(job)
    assert len(found["steps"]) == 2, "the first one is left out"
    check_tokens("a case", algorithm, found, sum(case.completion_lengths()))
    for step in found["steps"]:
        assert step["step"] == pytest.approx(step["generation"] + step["training"])
        assert 0 < step["update"] < step["training"]
    assert found["peak_mib"] > 100
