"""The client of a vLLM server, against one that misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from igrpo.generation.base import Engine, Replicated
from igrpo.generation.vllm.client import LostError, VllmClient, parse_answer
from igrpo.generation.vllm.server import VllmServerEngine
from igrpo.models.flops import decode_work, model_shape, prefill_work
from tests.composed import config
from tests.generation.conftest import GREEDY, params
from tests.generation.vllm_fake import CACHED, FakeServer, fake_tokens

PROMPT = (5, 6, 7, 8)
SEEDS = tuple(range(100, 112))
NEW = 5
PARAMS = params(max_new_tokens=NEW)
Make = Callable[..., VllmServerEngine]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.close()


@pytest.fixture
def make(
    server: FakeServer, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> Iterator[Make]:
    engines = []

    def make(*, api_key: str | None = None, session: str = "run", **changes: Any) -> VllmServerEngine:
        quick = {"dtype": "float32", "request_timeout_s": 5.0, "ready_timeout_s": 5.0, "max_restarts": 2}
        rollout = config(None, "rollout=vllm_server").rollout.model_copy(update=quick | changes)
        engines.append(
            VllmServerEngine(
                model,
                tokenizer,
                rollout,  # type: ignore[arg-type]
                url=server.url,
                api_key=api_key,
                session=session,
                weights_dir=tmp_path / "weights",
                max_model_len=64,
                server=None,
            )
        )
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def ask(engine: VllmServerEngine, seeds: tuple[int, ...] = SEEDS) -> Any:
    return asyncio.run(engine.sample(PROMPT, PARAMS, seeds))


def expected(seeds: tuple[int, ...] = SEEDS) -> list[tuple[int, ...]]:
    return [tuple(fake_tokens(list(PROMPT), seed, NEW)) for seed in seeds]


def test_samples_come_in_the_order_of_their_seeds(make: Make, server: FakeServer) -> None:
    engine = make()
    assert isinstance(engine, Engine)
    engine.sync_weights(3)
    completions = ask(engine)
    assert [completion.token_ids for completion in completions] == expected()
    assert [completion.logprobs[0] for completion in completions] == [
        pytest.approx(-0.5 - 0.01 * tokens[0]) for tokens in expected()
    ]
    assert {completion.policy_version for completion in completions} == {3}
    assert {completion.finish_reason for completion in completions} == {"length"}
    assert completions[0].sampling_entropies is None
    assert completions[0].policy_entropies is None


def test_greedy_has_log_probs_of_zero(make: Make) -> None:
    engine = make()
    engine.sync_weights(0)
    (completion,) = asyncio.run(engine.sample(PROMPT, GREEDY, [1]))
    assert completion.logprobs == (0.0,) * GREEDY.max_new_tokens


def test_no_sample_before_the_first_sync(make: Make, server: FakeServer) -> None:
    with pytest.raises(RuntimeError, match="first sync_weights"):
        ask(make())
    assert server.asked == 0


@pytest.mark.parametrize("end", ["die", "cut", "cut in the answer", "500", "409", "other version", "two versions",
                                 "aborted"])  # fmt: skip
def test_what_was_lost_is_asked_again_and_what_came_is_kept(make: Make, server: FakeServer, end: str) -> None:
    engine = make(concurrency=3)
    engine.sync_weights(0)
    server.on_request = lambda number: end if number == 6 else None
    completions = ask(engine)
    assert [completion.token_ids for completion in completions] == expected()
    assert len(server.loads) == (2 if end == "die" else 1)
    # Of those that were on the way when the server went, some may have been answered into a broken connection.
    again = [seed for seed, times in server.answered.items() if times > 1]
    assert set(server.answered) == set(SEEDS)
    assert len(again) <= 2
    assert server.asked <= len(SEEDS) + 3


def test_a_restarted_server_is_waited_for(make: Make, server: FakeServer) -> None:
    engine = make()
    engine.sync_weights(0)

    def die(number: int) -> str | None:
        if number == 2:
            server.down_for = 3
            return "die"
        return None

    server.on_request = die
    assert [completion.token_ids for completion in ask(engine)] == expected()
    assert server.down_for == 0
    assert server.label == "run-0"


def test_losses_are_bounded_within_a_step_and_not_beyond(make: Make, server: FakeServer) -> None:
    engine = make(max_restarts=1)
    for step in range(3):
        engine.sync_weights(step)
        server.script.append("die")
        assert [completion.token_ids for completion in ask(engine)] == expected()


def test_a_server_that_always_fails_ends_in_one_error(make: Make, server: FakeServer) -> None:
    engine = make(max_restarts=2, concurrency=1)
    engine.sync_weights(0)
    server.on_request = lambda number: "500"
    with pytest.raises(RuntimeError, match=r"\(rollout.max_restarts=2\).*scripted 500"):
        ask(engine)
    assert server.asked == 3


def stays_away(server: FakeServer) -> None:
    """Let it die at the next request, and never come back."""

    def die(number: int) -> str:
        server.down_for = 1_000_000
        return "die"

    server.on_request = die


def test_a_server_that_stays_away_ends_in_one_error(make: Make, server: FakeServer) -> None:
    engine = make(ready_timeout_s=0.3)
    engine.sync_weights(0)

    stays_away(server)
    with pytest.raises(RuntimeError, match=r"no vLLM server answers at .*ready_timeout_s=0.3"):
        ask(engine)


def test_a_request_without_answer_ends_at_its_deadline(make: Make, server: FakeServer) -> None:
    engine = make(request_timeout_s=0.3)
    engine.sync_weights(0)
    server.script.append("hang")
    with pytest.raises(RuntimeError, match=r"within rollout.request_timeout_s=0.3"):
        ask(engine, (1,))
    assert server.asked == 1


def test_a_refused_request_is_not_asked_again(make: Make, server: FakeServer) -> None:
    engine = make()
    engine.sync_weights(0)
    server.script.append("400")
    with pytest.raises(RuntimeError, match=r"refused a request \(400\).*scripted 400"):
        ask(engine, (1,))
    assert server.asked == 1


def test_a_server_taken_by_another_run_is_an_error(make: Make, server: FakeServer) -> None:
    mine, other = make(session="mine"), make(session="other")
    mine.sync_weights(0)
    other.sync_weights(0)
    with pytest.raises(RuntimeError, match="another run has loaded its weights"):
        ask(mine)
    assert [completion.token_ids for completion in ask(other)] == expected()


def test_the_key_is_sent_and_a_wrong_one_told(make: Make, server: FakeServer) -> None:
    server.key = "secret"
    with pytest.raises(RuntimeError, match=r"another API key: rollout.api_key_env"):
        make(api_key="wrong").sync_weights(0)
    engine = make(api_key="secret")
    engine.sync_weights(0)
    assert [completion.token_ids for completion in ask(engine)] == expected()
    assert engine.fingerprints() == {"a": "float32:00"}


def test_the_server_gets_the_weights_of_the_moment(
    make: Make, server: FakeServer, model: PreTrainedModel, tmp_path: Path
) -> None:
    engine = make(dtype="bfloat16")
    for step in range(2):
        with torch.no_grad():
            model.get_input_embeddings().weight.add_(0.25)
        engine.sync_weights(step)
        assert server.has_weights_of(model)
        assert [path.name for path in (tmp_path / "weights").iterdir()] == [f"igrpo-run-{step}.safetensors"]
    engine.close()
    assert list((tmp_path / "weights").iterdir()) == []


def test_weights_that_cannot_be_loaded_leave_none(make: Make, server: FakeServer) -> None:
    engine = make()
    engine.sync_weights(0)
    server.load_failure = "KeyError: layers.0"
    with pytest.raises(RuntimeError, match=r"cannot load the weights.*KeyError: layers.0"):
        engine.sync_weights(1)
    with pytest.raises(RuntimeError, match="first sync_weights"):
        ask(engine)


def test_weights_that_cannot_be_written_are_an_error(make: Make, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("no folder")
    with pytest.raises(RuntimeError, match=r"cannot be written.*rollout\.weights_dir"):
        make().sync_weights(0)
    assert server.loads == []


def test_no_more_requests_at_a_time_than_asked_for(make: Make, server: FakeServer) -> None:
    engine = make(concurrency=3)
    engine.sync_weights(0)

    async def several() -> None:
        await asyncio.gather(*(engine.sample(PROMPT, PARAMS, SEEDS) for _ in range(3)))

    asyncio.run(several())
    assert server.most_at_a_time == 3


@pytest.mark.parametrize("engines", [1, 2, 3])
def test_a_sample_of_every_engine_by_its_rank(make: Make, server: FakeServer, engines: int) -> None:
    server.engines = engines
    engine = make()
    assert isinstance(engine, Replicated)
    engine.sync_weights(3)
    completions = asyncio.run(engine.sample_on_every_replica(PROMPT, PARAMS, 100))
    assert [completion.token_ids for completion in completions] == expected((100,)) * engines
    assert {completion.policy_version for completion in completions} == {3}
    ranks = list(range(engines)) if engines > 1 else [None]
    assert sorted(map(str, server.ranks)) == sorted(map(str, ranks))
    server.ranks.clear()
    ask(engine)
    assert set(server.ranks) == {None}  # vLLM's balancer chooses


def test_a_restarted_server_with_another_number_of_engines(make: Make, server: FakeServer) -> None:
    engine = make()
    for version, engines in enumerate((2, 1, 3)):
        server.engines = engines
        engine.sync_weights(version)
        assert len(asyncio.run(engine.sample_on_every_replica(PROMPT, PARAMS, 1))) == engines


def test_the_work_is_counted(make: Make, model: PreTrainedModel) -> None:
    engine = make()
    engine.sync_weights(0)
    ask(engine, (1, 2))
    # Of 4 prompt tokens 2 came from the cache, so that 2 were computed: they attended to 3 and 4 tokens.
    prefill = prefill_work(4)
    assert (prefill.attended, CACHED) == (10, 2)
    shape = model_shape(model)
    one = 2 * (shape.layers * 2 + shape.attention * (3 + 4) + shape.head) + shape.flops(decode_work(4, NEW))
    assert (engine.prefilled_tokens, engine.generated_tokens, engine.flops) == (4, 2 * NEW, 2 * one)
    assert engine.busy_seconds > 0


def test_a_cancelled_wait_for_the_server_ends_at_once(make: Make, server: FakeServer) -> None:
    engine = make(ready_timeout_s=60.0)
    engine.sync_weights(0)

    stays_away(server)

    async def cancelled() -> None:
        task = asyncio.ensure_future(engine.sample(PROMPT, PARAMS, (1,)))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before, started = threading.active_count(), time.monotonic()
    asyncio.run(cancelled())
    assert time.monotonic() - started < 20  # far from the 60 s that the server is waited for
    assert threading.active_count() <= before


GOOD: dict[str, Any] = {
    "choices": [
        {
            "token_ids": [4, 5],
            "logprobs": {"content": [{"token_id": 4, "logprob": -1.0}, {"token_id": 5, "logprob": -2.0}]},
            "finish_reason": "stop",
            "weight_versions": [{"version": "a-1", "start": 0, "end": 2}],
        }
    ],
    "usage": {"prompt_tokens_details": None},
}


def test_an_answer_is_read() -> None:
    answer = parse_answer(json.dumps(GOOD).encode())
    assert answer.token_ids == (4, 5)
    assert answer.logprobs == (-1.0, -2.0)
    assert answer.versions == ("a-1",)
    assert answer.cached_tokens == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"{}",
        b'{"choices": []}',
        json.dumps(GOOD | {"choices": GOOD["choices"] * 2}).encode(),
        json.dumps(GOOD | {"usage": None}).encode(),
        json.dumps(GOOD | {"choices": [GOOD["choices"][0] | {"token_ids": [4, 6]}]}).encode(),
        json.dumps(GOOD | {"choices": [GOOD["choices"][0] | {"token_ids": ["x"]}]}).encode(),
        json.dumps(GOOD | {"choices": [GOOD["choices"][0] | {"logprobs": None}]}).encode(),
        json.dumps(GOOD | {"choices": [GOOD["choices"][0] | {"weight_versions": [{}]}]}).encode(),
    ],
)
def test_an_answer_of_another_form_counts_as_lost(content: bytes) -> None:
    with pytest.raises(LostError):
        parse_answer(content)


def test_a_server_whose_engine_has_died_is_not_ready(server: FakeServer) -> None:
    """Its front, and the gate in it, answer for a while; asking again then would use up the restarts."""
    client = VllmClient(server.url, None, request_timeout_s=5.0)
    assert client.status() is not None
    server.dying = True
    assert client.status() is None
