"""`igrpo serve --judge` from its command line to its end, with the judge's client in front of it."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from igrpo.assembly.judge import build_judge
from igrpo.generation.vllm.supervisor import free_port
from igrpo.rewards.base import measured_values
from igrpo.rewards.judge.backend import JudgeError, JudgeReply
from igrpo.rewards.judge.openai_client import OpenAIBackend
from igrpo.rewards.judge.parsing import parse_score
from tests.assembly.parts import completion
from tests.composed import config
from tests.end_to_end import runs
from tests.rewards.judge.making import QUESTION, Rule, judge, settings
from tests.rewards.judge.test_openai_client import MESSAGES
from tests.vllm.models import MAX_LEN
from tests.vllm.random_judge import make_judge, teach
from tests.vllm.serving import ROOT, end_by_sigterm, start_serve, told_until_ready
from tests.vllm.test_runs import SMALL

KEY = "a secret of this test"


def start(folder: Path, model: Path, port: int) -> AbstractContextManager[subprocess.Popen[str]]:
    settings = (f"model.name_or_path={model}", "rollout.dtype=float32", "rollout.api_key_env=IGRPO_JUDGE_API_KEY")
    return start_serve(folder, port, "--judge", *settings, IGRPO_JUDGE_API_KEY=KEY)


def last_line(script: str) -> str:
    """What a script prints last."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout.splitlines()[-1]


def ask(url: str, **changes: Any) -> JudgeReply:
    async def one() -> JudgeReply:
        backend = OpenAIBackend(settings(url, **changes), trust_env=False)
        try:
            return await backend.ask(MESSAGES, 3)
        finally:
            await backend.aclose()

    return asyncio.run(one())


def test_a_served_judge_replies_with_its_own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, port = make_judge(tmp_path / "judge"), free_port("127.0.0.1")
    work = tmp_path / "work"
    work.mkdir()
    with start(work, model, port) as serve:
        output = told_until_ready(serve)
        url = f"http://127.0.0.1:{port}/v1"
        settings = rf"reward=judge reward\.base_url={url} reward\.model={model} reward\.api_key_env=IGRPO_JUDGE_API_KEY"
        assert re.search(settings, output), output

        monkeypatch.delenv("IGRPO_JUDGE_API_KEY", raising=False)
        with pytest.raises(JudgeError, match="IGRPO_JUDGE_API_KEY"):
            ask(url, model=str(model))
        monkeypatch.setenv("IGRPO_JUDGE_API_KEY", KEY)
        with pytest.raises(JudgeError, match=r"reward\.model=another: it answered 404"):
            ask(url, model="another")

        # a random model writes what the schema makes it write; it may not come to its end, which is no score
        reply = ask(url, model=str(model), max_tokens=64, structured="json_schema")
        assert reply.text is not None
        assert reply.text.lstrip().startswith("{")
        assert reply.output_tokens > 0
        again = ask(url, model=str(model), max_tokens=64, structured="json_schema")
        assert again.text == reply.text, "greedy, from weights that stay"
        free = ask(url, model=str(model), max_tokens=16, structured="off")
        assert parse_score(free.text) is None

        made = judge(url, model=str(model), max_tokens=16)
        scores = asyncio.run(made.score(QUESTION, [completion("It is 4."), completion("x" * 2 * MAX_LEN)]))
        measured = measured_values(made.step_measures())
        made.close()
        assert all(one is None or 0 <= one.value <= 1 for one in scores)
        assert measured["judge/unscored"] == scores.count(None)
        assert measured["judge/input_tokens"] > 0

        end_by_sigterm(serve)
    assert list(work.iterdir()) == []


def test_a_judge_in_the_process_replies_as_the_local_engine(tmp_path: Path) -> None:
    """In a run of the program: one vLLM engine lives in a process, and the tests beside this one may have theirs."""
    model = make_judge(tmp_path / "judge")
    teach(model)
    free = "reward.structured=off"  # as the local engine's
    settings = (f"reward.model={model}", "reward.temperature=1.0", "reward.max_tokens=24")
    cache = tmp_path / "cache.sqlite"
    runs.run(
        [
            "train", f"hydra.run.dir={tmp_path / 'run'}", *SMALL, "trainer.steps=2", "evaluation.every=2",
            "reward=judge_vllm", free, *settings, f"reward.cache={cache}", "reward.enforce_eager=true", "reward.dtype=float32",
        ],
        tmp_path,
    )  # fmt: skip
    measured = [line for line in runs.metrics(tmp_path / "run") if "judge/requests" in line]
    assert len(measured) == 2
    for line in measured:
        assert line["judge/requests"] >= 16, "each completion of a step"
        assert line["judge/output_tokens"] > 0
    samples = [one for trace in runs.rollouts(tmp_path / "run") for one in trace["samples"]]
    values = {one["score"]["value"] for one in samples if one["score"] is not None}
    assert values, "it was taught to say what can be read"
    assert all(0 <= value < 1 for value in values)
    greedy = (f"reward.model={model}", "reward.max_tokens=24", "reward.cache=null")
    script = SCRIPT.format(
        settings=["reward=judge_vllm", free, *greedy, "reward.enforce_eager=true", "reward.dtype=float32"]
    )
    said = last_line(script)
    local = config(None, "reward=judge_local", *greedy, "reward.device=cpu").reward
    made = build_judge(local, Rule(), None)  # type: ignore[arg-type]
    scores = asyncio.run(made.score(QUESTION, COMPLETIONS))
    made.close()
    assert said == str([score and score.value for score in scores])
    assert None in scores, "the one that is too long for the model"
    assert any(scores)


def test_a_judge_in_the_process_replies_within_the_schema(tmp_path: Path) -> None:
    """It was taught to leave out the reason, which the schema asks for; and it comes to an end of its own."""
    model = make_judge(tmp_path / "judge")
    teach(model)
    settings = (f"reward.model={model}", "reward.max_tokens=64", "reward.cache=null", "reward.enforce_eager=true",
                "reward.dtype=float32")  # fmt: skip

    def replies(structured: str) -> list[str]:
        script = REPLIES.format(settings=["reward=judge_vllm", *settings, f"reward.structured={structured}"])
        found: list[str] = json.loads(last_line(script))
        return found

    assert all(re.match(r'\{"score": 0', text) for text in replies("off"))
    constrained = replies("json_schema")
    assert all(re.match(r'\{"reason":"', text) for text in constrained), constrained
    assert any(parse_score(text) is not None for text in constrained), constrained


COMPLETIONS = [completion("It is 4."), completion("It is 5, since 2 and 2 are two."), completion("x" * 9000)]

SCRIPT = """
import asyncio
from igrpo.assembly.judge import build_judge
from tests.composed import config
from tests.rewards.judge.making import QUESTION, Rule
from tests.vllm.test_judge import COMPLETIONS
made = build_judge(config(None, *{settings}).reward, Rule(), None)
scores = asyncio.run(made.score(QUESTION, COMPLETIONS))
again = asyncio.run(made.score(QUESTION, COMPLETIONS[:1]))  # from another event loop
made.close()
made.close()
assert again[0] == scores[0]
print([score and score.value for score in scores])
"""

REPLIES = """
import asyncio, json
from igrpo.assembly import judge
from igrpo.rewards.judge.engine import EngineBackend
from tests.composed import config
from tests.rewards.judge.making import Rule
backends = []
def kept(*args, **kwargs):
    backends.append(EngineBackend(*args, **kwargs))
    return backends[-1]
judge.EngineBackend = kept
made = judge.build_judge(config(None, *{settings}).reward, Rule(), None)
async def ask():
    asked = [[{{"role": "user", "content": "2 + 2 = " + str(i)}}] for i in range(6)]
    return await asyncio.gather(*(backends[0].ask(messages, 3) for messages in asked))
replies = asyncio.run(ask())
made.close()
print(json.dumps([reply.text for reply in replies]))
"""
