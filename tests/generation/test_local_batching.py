"""Batching in LocalEngine: shared forward passes, work that is done once, removal of rows, and failures."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from igrpo.generation.local.admission import Admission, Request, prefill_passes, take_admissions
from igrpo.generation.local.engine import LocalEngine
from igrpo.generation.local.kv_cache import SlotCache

from .conftest import EOS, params, rule_out, sample_all

PROMPT = [1, 5, 9, 12, 20]


def test_a_prompt_is_prefilled_once_for_all_its_samples(
    engine: LocalEngine, model: PreTrainedModel, watch: Any
) -> None:
    rule_out(model, EOS)
    seen = watch(model)
    sample_all(engine, (PROMPT, params(max_new_tokens=4), range(8)), (PROMPT[:3], params(max_new_tokens=4), range(4)))
    # One pass over both prompts; the first of 4 tokens comes from it, the others from 3 steps of 12 rows.
    assert seen.shapes == [(2, 5), (12, 1), (12, 1), (12, 1)]
    assert engine.prefilled_tokens == 8


def test_only_last_positions_go_through_the_head(engine: LocalEngine, model: PreTrainedModel) -> None:
    shapes = []
    model.lm_head.register_forward_hook(lambda _module, inputs, _output: shapes.append(tuple(inputs[0].shape)))
    sample_all(
        engine,
        (PROMPT, params(max_new_tokens=2, stop=()), range(8)),
        (PROMPT[:3], params(max_new_tokens=2, stop=()), [0]),
    )
    assert shapes == [(2, 1, 32), (9, 1, 32)]


def test_finished_rows_leave_the_batch(engine: LocalEngine, model: PreTrainedModel, watch: Any) -> None:
    seen = watch(model)
    groups = sample_all(engine, (PROMPT, params(max_new_tokens=30), range(32)))
    lengths = [len(done.token_ids) for done in groups[0]]
    assert len(set(lengths)) > 5
    # The step that makes token t (from 2 on) holds exactly the samples that have at least t.
    assert seen.decode_rows == [sum(length >= t for length in lengths) for t in range(2, max(lengths) + 1)]


def test_both_stages_share_the_batch(engine: LocalEngine, model: PreTrainedModel, watch: Any) -> None:
    rule_out(model, EOS)
    seen = watch(model)

    async def question(first_tokens: int, n: int) -> None:
        draft = (await engine.sample(PROMPT, params(max_new_tokens=first_tokens), range(n)))[0]
        await engine.sample([*PROMPT, *draft.token_ids], params(max_new_tokens=6), range(n))

    async def both() -> None:
        await asyncio.gather(question(4, 2), question(12, 3))

    asyncio.run(both())
    # 2 + 3 drafts for the tokens 2 to 4, then at once 2 refinements beside the 3 drafts.
    assert seen.decode_rows[:8] == [5, 5, 5, 5, 5, 5, 5, 5]
    assert seen.prefills == [(2, 5), (1, 9), (1, 17)]


def test_who_is_ready_at_the_start_is_in_the_first_wave(
    engine: LocalEngine, model: PreTrainedModel, watch: Any
) -> None:
    rule_out(model, EOS)
    seen = watch(model)

    async def question(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await engine.sample(PROMPT, params(max_new_tokens=4), [turns])

    async def both() -> None:
        await asyncio.gather(question(0), question(1))

    asyncio.run(both())
    assert seen.shapes == [(2, 5), (2, 1), (2, 1), (2, 1)]


def test_other_coroutines_run_between_steps(engine: LocalEngine, model: PreTrainedModel, watch: Any) -> None:
    rule_out(model, EOS)
    seen = watch(model)
    ticks: list[int] = []

    async def reward() -> None:
        while len(ticks) < 1000:
            ticks.append(len(seen.shapes))
            await asyncio.sleep(0)

    async def both() -> None:
        other = asyncio.ensure_future(reward())
        await engine.sample(PROMPT, params(max_new_tokens=20), [1])
        other.cancel()

    asyncio.run(both())
    assert len(set(ticks)) >= 19  # it ran once for nearly every forward pass


def test_a_fresh_event_loop_each_time_and_nothing_left_over(engine: LocalEngine) -> None:
    call = (PROMPT, params(), range(3))
    assert [sample_all(engine, call) for _ in range(3)] == [sample_all(engine, call)] * 3

    async def leftovers() -> set[str]:
        await engine.sample(*call)
        await asyncio.sleep(0)
        return {task.get_name() for task in asyncio.all_tasks()}

    assert "igrpo-decode" not in asyncio.run(leftovers())
    engine.sync_weights(1)  # refused while a request is being decoded
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is SlotCache]


def test_the_model_is_as_it_was_when_the_last_sample_arrives(engine: LocalEngine, model: PreTrainedModel) -> None:
    model.train()
    model.model.layers[0].eval()  # a module of its own mode keeps it
    modes = [module.training for module in model.modules()]
    inside = []
    model.register_forward_pre_hook(lambda module, _args: inside.append((module.training, torch.is_grad_enabled())))

    async def step() -> None:
        await engine.sample(PROMPT, params(), range(3))
        assert [module.training for module in model.modules()] == modes
        assert model.config._attn_implementation == "sdpa"
        assert torch.is_grad_enabled()
        engine.sync_weights(1)

    asyncio.run(step())
    assert set(inside) == {(False, False)}


class BrokenError(Exception):
    pass


@pytest.mark.parametrize("breaks_at", [0, 3])
def test_a_failure_reaches_every_waiter_and_the_engine_lives_on(
    breaks_at: int, engine: LocalEngine, model: PreTrainedModel
) -> None:
    rule_out(model, EOS)
    passes: list[int] = []

    def fail(*_args: Any) -> None:
        passes.append(1)
        if len(passes) > breaks_at:
            raise BrokenError("out of memory")

    call = (PROMPT, params(), range(2))
    handle = model.register_forward_pre_hook(fail)

    async def everyone() -> list[Any]:
        return await asyncio.gather(*(engine.sample(*call) for _ in range(40)), return_exceptions=True)  # 80 rows > 64

    results = asyncio.run(asyncio.wait_for(everyone(), 20))
    assert [type(result) for result in results] == [BrokenError] * 40
    handle.remove()
    assert len(sample_all(engine, call)[0]) == 2
    assert not model.training or model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_logits_that_are_not_finite_say_so(bad: float, engine: LocalEngine, model: PreTrainedModel) -> None:
    with torch.no_grad():
        model.lm_head.weight.fill_(bad)
    with pytest.raises(FloatingPointError, match=r"logits are not finite .* after a prompt of 5 tokens"):
        sample_all(engine, (PROMPT, params(), [1]))


def test_a_cancelled_caller_frees_its_rows(engine: LocalEngine, model: PreTrainedModel, watch: Any) -> None:
    rule_out(model, EOS)
    long = params(max_new_tokens=30)
    alone = sample_all(engine, (PROMPT, long, [1, 2]))[0]
    generated = engine.generated_tokens
    seen = watch(model)

    async def scene() -> Any:
        stays = asyncio.ensure_future(engine.sample(PROMPT, long, [1, 2]))
        leaves = asyncio.ensure_future(engine.sample(PROMPT, long, range(10, 15)))
        halved = asyncio.ensure_future(engine.sample(PROMPT, long, range(100, 164)))  # only 57 of them find room
        queued = asyncio.ensure_future(engine.sample(PROMPT, long, [7]))
        for _ in range(10):
            await asyncio.sleep(0)
        for task in (leaves, halved, queued):
            task.cancel()
        return await stays

    assert [done.token_ids for done in asyncio.run(scene())] == [done.token_ids for done in alone]
    assert (set(seen.decode_rows), seen.decode_rows[-1]) == ({64, 2}, 2)
    assert engine.generated_tokens == generated + 60


def test_a_loop_that_is_torn_down_leaves_a_working_engine(engine: LocalEngine) -> None:
    async def impatient() -> None:
        await asyncio.wait_for(engine.sample(PROMPT, params(max_new_tokens=100, stop=()), range(8)), 0.005)

    with pytest.raises(TimeoutError):
        asyncio.run(impatient())
    loop = asyncio.new_event_loop()
    task = loop.create_task(engine.sample(PROMPT, params(), [1]))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()  # rudely, with the task in it
    assert len(sample_all(engine, (PROMPT, params(), [1]))) == 1
    engine.sync_weights(2)
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_sync_while_decoding_and_use_after_close_are_errors(engine: LocalEngine) -> None:
    async def scene() -> None:
        task = asyncio.ensure_future(engine.sample(PROMPT, params(max_new_tokens=50, stop=()), [1]))
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="1 requests are being decoded"):
            engine.sync_weights(1)
        engine.close()
        with pytest.raises(RuntimeError, match="closed while"):
            await task
        with pytest.raises(RuntimeError, match="engine is closed"):
            await engine.sample(PROMPT, params(), [1])

    asyncio.run(scene())
    engine.close()


def request(prompt_tokens: int, seeds: int, admitted: int = 0) -> Request:
    return Request(tuple(range(prompt_tokens)), params(), tuple(range(seeds)), None, admitted=admitted)  # type: ignore[arg-type]


def test_admission_keeps_the_order_and_waits_for_whole_groups() -> None:
    waiting = [request(3, 4), request(3, 4), request(3, 1)]
    taken = take_admissions(waiting, free=6, max_rows=16)
    assert [(admission.count, len(waiting)) for admission in taken] == [
        (4, 2)
    ]  # 2 rows are no group, and nobody overtakes
    assert take_admissions([], free=6, max_rows=16) == []
    large = [request(3, 100, admitted=90)]
    assert take_admissions(large, free=3, max_rows=16) == []
    assert [admission.count for admission in take_admissions(large, free=5, max_rows=16)] == [5]
    assert len(large) == 1
    assert [admission.count for admission in take_admissions(large, free=16, max_rows=16)] == [10]
    assert not large


def test_prefill_passes_respect_the_padded_budget() -> None:
    admissions = [Admission(request(tokens, 1), 1) for tokens in (30, 4, 5, 50, 4)]
    passes = [[len(a.request.prompt) for a in chunk] for chunk in prefill_passes(admissions, max_tokens=20)]
    assert passes == [[4, 4, 5], [30], [50]]
