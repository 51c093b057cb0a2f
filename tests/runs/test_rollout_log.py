import gzip
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from igrpo.runs.rollout_lines import rollout_line, table_row
from igrpo.runs.rollout_log import RolloutLog, read_rollouts, rollout_files
from igrpo.types import Completion, Prompt, Question, Role, Sample, Score
from tests.rollouts import WRONG, rollout, samples


def lines(step: int, count: int = 2) -> list[dict[str, Any]]:
    return [
        {"step": step, "n": n, "text": f"draft {n} of step {step}\nsecond line, ä \u2028 end"} for n in range(count)
    ]


def log_of(folder: Path, steps: range, **settings: Any) -> RolloutLog:
    log = RolloutLog(folder, **settings)
    for step in steps:
        log.append(step, lines(step))
    return log


def steps_in(path: Path) -> list[int]:
    return [line["step"] for line in read_rollouts(path) if line["n"] == 0]


def names(folder: Path) -> list[str]:
    return [path.name for path in rollout_files(folder)]


def test_files_rotate_and_any_gzip_reader_takes_them(tmp_path: Path) -> None:
    log_of(tmp_path, range(1, 26), steps_per_file=10)
    assert names(tmp_path) == [
        "steps-000001-000010.jsonl.gz",
        "steps-000011-000020.jsonl.gz",
        "steps-000021-000030.jsonl.gz",
    ]
    assert list(read_rollouts(tmp_path)) == [line for step in range(1, 26) for line in lines(step)]
    with gzip.open(tmp_path / "steps-000011-000020.jsonl.gz", "rt", encoding="utf-8", newline="\n") as file:
        assert [json.loads(line) for line in file] == [line for step in range(11, 21) for line in lines(step)]


def test_step_0_and_an_empty_step(tmp_path: Path) -> None:
    log = log_of(tmp_path, range(3), steps_per_file=2)
    log.append(3, [])
    assert names(tmp_path) == ["steps-000000-000000.jsonl.gz", "steps-000001-000002.jsonl.gz"]
    assert steps_in(tmp_path) == [0, 1, 2]


def test_every_tear_of_the_last_member_loses_that_step_only(tmp_path: Path) -> None:
    log_of(tmp_path, range(1, 3))
    (path,) = rollout_files(tmp_path)
    two = path.read_bytes()
    log_of(tmp_path, range(3, 4))
    three = path.read_bytes()
    assert three.startswith(two)
    for size in range(len(two), len(three)):
        path.write_bytes(three[:size])
        assert steps_in(path) == [1, 2], size


@pytest.mark.parametrize("tail", [1, 5, 11, 40])
def test_append_after_a_tear_cuts_it_off(tmp_path: Path, tail: int, caplog: pytest.LogCaptureFixture) -> None:
    log_of(tmp_path, range(1, 4))
    (path,) = rollout_files(tmp_path)
    path.write_bytes(path.read_bytes()[:-tail])
    log_of(tmp_path, range(3, 5))
    assert steps_in(tmp_path) == [1, 2, 3, 4]
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 8
    assert "not written to its end" in caplog.text


@given(last=st.integers(1, 12), cut=st.integers(0, 13), per_file=st.integers(1, 5))
def test_truncation_keeps_the_steps_up_to_the_checkpoint(last: int, cut: int, per_file: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = log_of(folder, range(1, last + 1), steps_per_file=per_file)
        log.truncate_after(cut)
        kept = list(range(1, min(last, cut) + 1))
        assert steps_in(folder) == kept
        log.append(cut + 1, lines(cut + 1))
        assert steps_in(folder) == [*kept, cut + 1]


def test_the_oldest_files_beyond_the_limit_are_deleted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_of(tmp_path / "count", range(1, 10), steps_per_file=2, keep_files=2)
    assert steps_in(tmp_path / "count") == [7, 8, 9]
    assert caplog.text.count("dropped the rollout log") == 3
    assert "steps-000001-000002.jsonl.gz" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps_per_file": 0}, "steps_per_file is 0"),
        ({"keep_files": 0}, "keep_files is 0"),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RolloutLog(tmp_path, **settings)


def completion(text: str, logprobs: tuple[float, ...]) -> Completion:
    count = len(logprobs)
    return Completion(tuple(range(count)), text, logprobs, (0.25,) * count, (0.5,) * count, "stop", 7)


def made(
    role: Role, texts: str, rewards: Sequence[float], number: int = 1, shows: Sequence[Sample] = ()
) -> tuple[Sample, ...]:
    scores = [Score(reward, reward > 0, "right" if reward > 0 else "wrong", "2") for reward in rewards]
    prompt = Prompt((1, 2, 3), draft_tokens=2 if role == "refinement" else 0)
    completions = [completion(text, (-0.5, -0.25)) for text in texts]
    return samples(role, completions, scores, number=number, prompt=prompt, shows=shows)


QUESTION = Question("q1", "1+1?", "2")
DRAFTS = made("draft", "abc", (0.0, 1.0, 0.0))
REFINED = made("refinement", "de", (1.0, 0.0), 2, DRAFTS[1:2])
IGRPO = rollout(DRAFTS, REFINED, trained=[REFINED], question=QUESTION)


def test_recorded_rollouts_hold_everything(tmp_path: Path) -> None:
    RolloutLog(tmp_path).append(3, [rollout_line(3, IGRPO), rollout_line(3, IGRPO)])
    first, second = read_rollouts(tmp_path)
    assert first == second
    assert (first["step"], first["question"]) == (3, {"id": "q1", "problem": "1+1?", "answer": "2", "options": []})
    assert [(one["role"], one["text"]) for one in first["samples"]] == [
        *(("draft", text) for text in "abc"),
        *(("refinement", text) for text in "de"),
    ]
    assert [(one["context"], one["draft_tokens"]) for one in first["samples"]] == [([], 0)] * 3 + [([[1, 1]], 2)] * 2
    assert first["groups"] == [{"samples": [[2, 0], [2, 1]], "prompt_tokens": None}]
    assert first["samples"][1] == {
        "id": [1, 1],
        "role": "draft",
        "context": [],
        "verified": None,
        "prompt_tokens": 3,
        "draft_tokens": 0,
        "draft_tokens_cut": 0,
        "critique_tokens": 0,
        "text": "b",
        "token_ids": [0, 1],
        "logprobs": [-0.5, -0.25],
        "sampling_entropy": 0.25,
        "policy_entropy": 0.5,
        "finish_reason": "stop",
        "policy_version": 7,
        "score": {"value": 1.0, "correct": True, "outcome": "right", "answer": "2", "parts": {}},
    }


@given(st.lists(st.floats(width=32), max_size=20))
def test_logprobs_come_back_as_the_same_float32(values: list[float]) -> None:
    one = rollout(samples("answer", [completion("x", tuple(values))], [WRONG]))
    text = json.dumps(rollout_line(1, one), allow_nan=False)
    back = [float(value) for value in json.loads(text)["samples"][0]["logprobs"]]
    np.testing.assert_array_equal(np.float32(back), np.float32(values))


def test_an_empty_completion_has_no_mean_entropy() -> None:
    one = rollout(samples("answer", [completion("", ())], [Score(math.nan, None, "wrong")]))
    (line,) = rollout_line(1, one)["samples"]
    assert line["policy_entropy"] is None
    assert line["score"]["value"] == "nan"


def test_table_row_shows_the_draft_that_was_shown() -> None:
    assert table_row(IGRPO) == {
        "question": "1+1?",
        "gold": "2",
        "drafts": ["a", "b", "c"],
        "draft_scores": [0.0, 1.0, 0.0],
        "best_draft": "b",
        "refinements": ["d", "e"],
        "refinement_scores": [1.0, 0.0],
    }
    grpo = table_row(rollout(made("answer", "abc", (0.0, 1.0, 0.0))))
    assert (grpo["drafts"], grpo["best_draft"], grpo["refinements"]) == (["a", "b", "c"], None, [])
    again = table_row(rollout(DRAFTS, REFINED, made("refinement", "fg", (1.0, 1.0), 3, REFINED[:1])))
    assert (again["best_draft"], again["refinements"]) == ("d", ["f", "g"])  # of the last round
    unshown = rollout(DRAFTS, made("refinement", "f", (1.0,), 2))
    assert table_row(unshown)["best_draft"] is None
