"""An evaluation that is killed at a random place and resumed is the one that was not; Ctrl-C says how to go on."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest

from igrpo.evaluation.store import read_samples
from igrpo.runs.evaluation_directory import EvaluationDirectory
from tests.end_to_end import runs
from tests.evaluated import rounded
from tests.trained_runs import trained_run

pytestmark = pytest.mark.slow

#: 2 benchmarks of 24 questions: 24 * 16 samples each, in 2 requests per question
QUESTIONS, SAMPLES = 24, 16


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    path = tmp_path / "problems.jsonl"
    rows = [{"q": f"{i % 10}+2*{i // 10}", "a": str((i % 10 + 2 * (i // 10)) % 10)} for i in range(QUESTIONS)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    fields = "{id: null, problem: q, answer: a, answer_form: plain}"
    one = f"{{dataset: '{path}', subset: null, revision: null, split: train, fields: {fields}, samples: {SAMPLES}}}"
    small = "rollout.max_batch_rows=16"  # so that the samples do not all end at once
    return ["eval", str(trained_run()), small, *(f"+evaluation.benchmarks.{name}={one}" for name in ("one", "other"))]


def kept(of: EvaluationDirectory) -> int:
    files = [of.samples(name) for name in ("one", "other")]
    return sum(file.read_bytes().count(b"\n") for file in files if file.exists())


def test_kill_9_and_resume_is_the_uninterrupted_evaluation(tmp_path: Path, arguments: list[str]) -> None:
    whole, killed = EvaluationDirectory(tmp_path / "whole"), EvaluationDirectory(tmp_path / "killed")
    runs.run_here([*arguments, "--out", "whole"])
    at = random.Random().randrange(8, 2 * QUESTIONS * SAMPLES - 40)
    process = runs.start([*arguments, "--out", "killed"], tmp_path)
    runs.wait_until(process, lambda: kept(killed) >= at)
    process.send_signal(signal.SIGKILL)
    runs.finish(process)
    before = {name: killed.samples(name).read_bytes() for name in ("one", "other") if killed.samples(name).exists()}
    assert at <= kept(killed) < 2 * QUESTIONS * SAMPLES, f"killed in the middle (at {at})"
    assert not killed.read_results().complete

    runs.run_here(["eval", f"resume={killed.path}"])
    for name in ("one", "other"):
        rows = read_samples(killed.samples(name))
        assert len(rows) == killed.samples(name).read_bytes().count(b"\n"), "no sample was drawn twice"
        lines = before.get(name, b"").rpartition(b"\n")[0]
        assert killed.samples(name).read_bytes().startswith(lines)
        assert rounded(rows) == rounded(read_samples(whole.samples(name)))
        results = [of.read_results().benchmarks[name] for of in (killed, whole)]
        assert results[0].metrics == pytest.approx(results[1].metrics, rel=1e-5)
    assert killed.read_results().complete
    assert killed.read_record().benchmarks == whole.read_record().benchmarks


def test_ctrl_c_ends_with_130_and_keeps_what_is_done(tmp_path: Path, arguments: list[str]) -> None:
    of = EvaluationDirectory(tmp_path / "stopped")
    process = runs.start([*arguments, "--out", "stopped"], tmp_path)
    runs.wait_until(process, lambda: kept(of) >= 16)
    process.send_signal(signal.SIGINT)
    output = runs.finish(process)
    assert process.returncode == 130, output
    assert "interrupted; resume with: igrpo eval resume=stopped" in output
    assert "Traceback" not in output
    assert 16 <= kept(of) < 2 * QUESTIONS * SAMPLES
    assert "stopped: ended by Ctrl-C" in of.log.read_text()
