"""A judge in this process: its prompt, its replies, and what does not fit."""

from __future__ import annotations

import asyncio
import copy
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from igrpo.assembly.judge import build_judge
from igrpo.generation.base import SamplingParams
from igrpo.rewards.judge.backend import JudgeRefusedError
from igrpo.rewards.judge.engine import EngineBackend
from igrpo.rewards.judge.judge import Judge
from igrpo.rewards.judge.store import Prices, ScoreCache, Spending
from igrpo.settings.judge import JudgeLocalConfig
from tests.algorithms.fakes import ScriptedEngine
from tests.assembly.parts import byte_policy, tiny_policy, write_model
from tests.composed import config
from tests.rewards.judge.making import QUESTION, Rule, completions, settings

PARAMS = SamplingParams(temperature=0.0, top_p=1.0, top_k=0, max_new_tokens=9, stop_token_ids=(1,))
MESSAGES = [{"role": "system", "content": "Grade."}, {"role": "user", "content": "2 + 2 = 4"}]


REPLY = '{"score": 0.75}'


class JudgeEngine(ScriptedEngine):
    """Gives every prompt the same reply; refuses prompts of more than ``longest`` tokens."""

    def __init__(self, longest: int = 100_000) -> None:
        super().__init__(self.reply)
        self.longest, self.closed = longest, 0

    def reply(self, prompt: tuple[int, ...], seed: int) -> str:
        if len(prompt) > self.longest:
            raise ValueError("the prompt does not fit the model")
        return REPLY

    def close(self) -> None:
        self.closed += 1


def made(engine: Any, tokenizer: Any) -> EngineBackend:
    return EngineBackend(engine, tokenizer, "m", PARAMS)


def test_the_chat_template_renders_the_prompt() -> None:
    engine, tokenizer = JudgeEngine(), byte_policy().tokenizer
    assert tokenizer.chat_template
    reply = asyncio.run(made(engine, tokenizer).ask(MESSAGES, 5))
    rendered = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    ((prompt, _),) = engine.calls
    assert tokenizer.decode(prompt) == rendered
    assert (reply.text, reply.input_tokens, reply.output_tokens) == (REPLY, len(prompt), 3)


def test_a_template_with_a_date_gets_that_of_the_run() -> None:
    tokenizer = copy.deepcopy(byte_policy().tokenizer)
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }}" + tokenizer.chat_template
    engine = JudgeEngine()
    judges = [
        EngineBackend(engine, tokenizer, "m", PARAMS, today=date(2001, 2, day))  # type: ignore[arg-type]
        for day in (3, 3, 4)
    ]
    for judge in judges:
        asyncio.run(judge.ask(MESSAGES, 5))
    first, second, third = (tokenizer.decode(prompt) for prompt, _ in engine.calls)
    assert first.startswith("03 Feb 2001")
    assert first == second != third
    # another prompt is another entry of the cache of votes
    assert judges[0].identity == judges[1].identity != judges[2].identity


def test_without_a_chat_template_messages_are_joined() -> None:
    engine, tokenizer = JudgeEngine(), tiny_policy().tokenizer
    assert not tokenizer.chat_template
    asyncio.run(made(engine, tokenizer).ask([{"role": "user", "content": "1+2"}, {"role": "user", "content": "3"}], 5))
    assert tokenizer.decode(engine.calls[0][0], skip_special_tokens=True).replace(" ", "").strip().startswith("1+2")


def test_a_prompt_that_does_not_fit_is_refused_alone() -> None:
    engine = JudgeEngine(longest=10)
    with pytest.raises(JudgeRefusedError, match="does not fit the model"):
        asyncio.run(made(engine, byte_policy().tokenizer).ask(MESSAGES, 5))


def test_the_identity_names_model_and_sampling() -> None:
    one = EngineBackend(JudgeEngine(), byte_policy().tokenizer, "m", PARAMS)  # type: ignore[arg-type]
    other = EngineBackend(JudgeEngine(), byte_policy().tokenizer, "n", PARAMS)  # type: ignore[arg-type]
    constrained = EngineBackend(JudgeEngine(), byte_policy().tokenizer, "m", PARAMS, "json_schema")  # type: ignore[arg-type]
    assert json.loads(one.identity)[:3] == ["m", 0.0, 9]
    assert len({one.identity, other.identity, constrained.identity}) == 3


@pytest.mark.parametrize(("longest", "value"), [(100_000, 0.75), (5, None)])
def test_the_judge_over_an_engine(longest: int, value: float | None) -> None:
    engine = JudgeEngine(longest=longest)
    judge = Judge(
        settings(),
        made(engine, byte_policy().tokenizer),
        cache=ScoreCache(None),
        spending=Spending(None, "m", Prices(0.0, 0.0, None), process=0, processes=1),
        verifier=Rule(),
        concurrency=4,
    )
    scores = asyncio.run(judge.score(QUESTION, completions("so 4", "so 5")))
    measures = judge.step_measures()
    judge.close()
    judge.close()
    assert [s and s.value for s in scores] == [value, value]
    assert measures["judge/refused"].total == (0 if value else 2)
    assert engine.closed == 1


def test_a_directory_is_loaded_and_samples(tmp_path: Path) -> None:
    """Random weights say nothing that can be read: two tries each, then no score."""
    path = write_model(tmp_path / "m")
    settings = config(
        None, "reward=judge_local", f"reward.model={path}", "reward.device=cpu", "reward.max_tokens=3"
    ).reward
    assert isinstance(settings, JudgeLocalConfig)
    judge = build_judge(settings.model_copy(update={"cache": None}), Rule(), None)
    scores = asyncio.run(judge.score(QUESTION, completions("so 4", "so 5")))
    measures = judge.step_measures()
    judge.close()
    assert scores == [None, None]
    assert (measures["judge/unparsable"].total, measures["judge/unscored"].total) == (4, 2)
    assert measures["judge/output_tokens"].total <= 12
    missing = settings.model_copy(update={"model": str(tmp_path / "none")})
    with pytest.raises(ValueError, match=r"^reward\.model=.*there is no such directory"):
        build_judge(missing, Rule(), None)


def test_judges_of_two_number_types_share_no_replies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("igrpo.rewards.judge.judge.parse_score", lambda text: 0.5)  # random weights give no score
    settings = config(
        None, "reward=judge_local", f"reward.model={write_model(tmp_path / 'm')}", "reward.device=cpu"
    ).reward
    assert isinstance(settings, JudgeLocalConfig)
    cached = []
    for dtype in ("float32", "bfloat16", "float32"):
        changes = {"cache": tmp_path / "replies", "dtype": dtype, "max_tokens": 3}
        judge = build_judge(settings.model_copy(update=changes), Rule(), None)
        asyncio.run(judge.score(QUESTION, completions("so 4")))
        cached.append(judge.step_measures()["judge/cached_share"].total)
        judge.close()
    assert cached == [0, 0, 1]  # the third judge finds the score of the first
