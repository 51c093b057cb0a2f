"""The comparison with another program: its task file, and the reason of each difference. Without that program."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.external_check import OUT, Asked, Asking, compared, summary, write_task
from igrpo.evaluation.samples import EvaluatedSample
from igrpo.types import Question, Score


def asked(text: str, answer: str | None, *, correct: bool) -> Asked:
    sample = EvaluatedSample(
        question="q", kind="greedy", index=0, seed=0, context=(), prompt_tokens=1, draft_tokens_cut=0, text=text,
        opened="", token_ids=(1,), finish_reason="stop", logprob=0.0, entropy=None,
        score=Score(float(correct), correct, "right" if correct else "wrong", answer),
    )  # fmt: skip
    return Asked(Question("q", "1+1", "0.5"), "Problem: 1+1", (1,), sample)


def harness(text: str, answer: str, *, correct: bool) -> dict[str, Any]:
    return {
        "doc_id": 0, "doc": {"id": "q"}, "resps": [[text]], "filtered_resps": [answer], "exact_match": float(correct)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("own", "other", "reason"),
    [
        (asked(r"\boxed{0.5}", "0.5", correct=True), harness(r"\boxed{0.5}", "0.5", correct=True), None),
        (asked(r"\boxed{3}", "3", correct=False), harness(r"\boxed{4}", "4", correct=False), None),
        (asked(r"\boxed{3}", "3", correct=False), harness(r"\boxed{0.5}", "0.5", correct=True), "text"),
        (asked(r"\boxed{1/2}", "1/2", correct=True), harness(r"\boxed{1/2} ", "1/2", correct=False), "equality"),
        (asked("<answer>0.5</answer>", "0.5", correct=True), harness("<answer>0.5</answer>", "[invalid]", correct=False),
         "extraction"),
    ],
)  # fmt: skip
def test_the_reason_of_a_difference(own: Asked, other: dict[str, Any], reason: str | None) -> None:
    row = compared(own, other)
    assert row.reason == reason
    counted = summary([row])
    assert counted["same_verdict"] == (reason is None)
    assert counted["reasons"] == ({} if reason is None else {reason: 1})
    assert len(counted["differing"]) == (reason is not None)


def test_the_task_has_the_prompts_and_greedy_decoding(tmp_path: Path) -> None:
    task = json.loads(
        write_task(tmp_path, Asking("chains", "boxed", 24, (asked("", None, correct=False),))).read_text()
    )
    assert task["generation_kwargs"] == {"do_sample": False, "until": [], "max_gen_toks": 24}
    (line,) = Path(task["dataset_kwargs"]["data_files"]["test"]).read_text().splitlines()
    assert json.loads(line) == {"id": "q", "prompt": "Problem: 1+1", "gold": "0.5"}
    pattern = task["filter_list"][0]["filter"][0]["regex_pattern"]
    assert re.findall(pattern, r"so \boxed{12} and \boxed {7}") == ["12", "7"]


def test_the_published_result_is_whole() -> None:
    published = json.loads(OUT.read_text())
    assert {"lm-eval", "transformers"} <= set(published["versions"])
    for name, result in published["tasks"].items():
        assert result["questions"] == result["same_verdict"] + len(result["differing"]), name
        assert sum(result["reasons"].values()) == len(result["differing"])
