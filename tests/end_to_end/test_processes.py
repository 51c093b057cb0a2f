"""Several processes (gloo, on the CPU) train what one trains, go on with each other's runs, and end together."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from igrpo.generation.vllm.supervisor import free_port
from igrpo.processes import wait_ended
from tests.end_to_end import runs, sweeps
from tests.end_to_end.checkpoints import assert_close, checkpoint, checkpoint_file, interrupted_copy
from tests.waiting import DEADLINE_S

# in one worker: its tests share finished runs
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("processes")]

DDP = ("trainer.strategy=ddp", "trainer.devices=2")
FSDP2 = ("trainer.strategy=fsdp2", "trainer.devices=2")
SINGLE = ("trainer.strategy=single", "trainer.devices=1")
PLACES = {"single": SINGLE, "ddp": DDP, "fsdp2": FSDP2}

STEPS, MIDDLE = 4, 2
#: Where a gradient is rounding noise, Adam with its usual 1e-8 would make a whole step of it.
SHORT = (
    f"trainer.steps={STEPS}", f"checkpoint.every={MIDDLE}", "evaluation.every=2", "evaluation.questions=5",
    "trainer.adam_eps=1e-6", "completions_per_question=6", "tracking=none",
)  # fmt: skip

#: Three questions for two processes: shares are uneven, and of the second minibatch one process has no row at all.
FULL = (
    *SHORT, "trainer.questions_per_step=3", "trainer.epochs=2", "trainer.minibatches=2", "objective.kl_beta=0.01",
    "trainer.activation_checkpointing=true", "trainer.tokens_per_microbatch=160",
)  # fmt: skip

#: One question a process, and no KL: a question whose answers are all wrong leaves its process without a gradient.
ADAPTERS = (*SHORT, "trainer.questions_per_step=2", "lora=rank_16", "trainer.learning_rate=3e-3")

SETTINGS = {"full": FULL, "adapters": ADAPTERS}

#: A run that nothing but a signal ends.
ENDLESS = (
    "trainer.steps=100000", "evaluation.every=50000", "evaluation.questions=4", "checkpoint.every=2",
    "trainer.questions_per_step=2", "trainer.collective_timeout_s=60",
)  # fmt: skip


class Runs:
    """Finished runs, each made when the first test asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def whole(self, kind: str, place: str) -> Path:
        """From the first step to the last in one place."""
        run_dir = self.folder / f"{kind}-{place}"
        if not run_dir.exists():
            runs.run_here(runs.train(self.folder, run_dir.name, *SETTINGS[kind], *PLACES[place]))
        return run_dir

    def resumed(self, kind: str, begun: str, place: str) -> Path:
        """Begun in one place, and taken up from the middle in another."""
        run_dir = interrupted_copy(self.whole(kind, begun), self.folder / f"{kind}-{begun}-{place}", STEPS)
        runs.run_here(["train", f"resume={run_dir}", *PLACES[place]])
        return run_dir


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("processes"))


def assert_same_run(one: Path, several: Path) -> None:
    """What was sampled, scored, measured, evaluated and learnt."""
    # log-probs are about 2 nats, rounded otherwise in a batch of another size
    assert_close(runs.rollouts(one), runs.rollouts(several), "rollouts", rel=1e-5, abs=1e-5)
    # the train/sampler_... metrics are rounding themselves: nothing is left of them but their being tiny
    assert_close(runs.metrics(one), runs.metrics(several), "metrics", rel=1e-4, abs=1e-5)
    learnt = [line for line in runs.metrics(one) if "train/loss" in line]
    for line, other in zip(learnt, [m for m in runs.metrics(several) if "train/loss" in m], strict=True):
        for name in ("train/loss", "train/gradient_norm"):
            assert other[name] == pytest.approx(line[name], rel=1e-5, abs=1e-7), (name, line["step"])
    assert len(learnt) >= 2
    assert all(line["train/gradient_norm"] > 1e-3 for line in learnt)

    files = sorted(path.name for path in (one / "evaluations").iterdir())
    assert files == sorted(path.name for path in (several / "evaluations").iterdir())
    assert [name for name in files if not name.startswith("samples")] == [
        *(f"development-{step:06d}.json" for step in (0, 2, 4)),
        *(f"test-{step:06d}.json" for step in (0, 4)),
    ]
    for name in files:
        mine, theirs = (json.loads((run_dir / "evaluations" / name).read_text()) for run_dir in (one, several))
        assert_close(mine, theirs, name, rel=1e-5, abs=1e-5)
    for step in (MIDDLE, STEPS):
        assert_same_checkpoint(checkpoint(one, step), checkpoint(several, step))
    counted = ("samples", "tokens", "flops", "single_shot", "draft_conditioned", "steps", "stopped_by")
    assert {k: runs.summary(one)[k] for k in counted} == {k: runs.summary(several)[k] for k in counted}


def assert_same_checkpoint(one: dict[str, Any], several: dict[str, Any]) -> None:
    assert list(one["state_dict"]) == list(several["state_dict"])
    assert one.keys() == several.keys()
    # whole files but for the seconds: weights and moments, groups of the optimizer, loops, counters of the budget
    assert_close(one, several, "checkpoint", rel=0.0, abs=2e-6)
    moments = one["optimizer_states"][0]["state"].values()
    assert min(float(moment["exp_avg_sq"].max()) for moment in moments) > 0  # there is something to compare
    assert one["igrpo"]["budget"]["trained_tokens"] == several["igrpo"]["budget"]["trained_tokens"] > 0


def moved(run_dir: Path) -> float:
    """How far the weights went between the two checkpoints."""
    before, after = (checkpoint(run_dir, step)["state_dict"] for step in (MIDDLE, STEPS))
    return max(float((after[name] - before[name]).abs().max()) for name in before)


@pytest.mark.parametrize("place", ["ddp", "fsdp2"])
def test_two_processes_train_what_one_trains(place: str, finished: Runs) -> None:
    one = finished.whole("full", "single")
    assert moved(one) > 1e-4  # a hundred times what is let pass
    assert_same_run(one, finished.whole("full", place))


def test_two_nodes_train_what_one_process_trains(finished: Runs, tmp_path: Path) -> None:
    """Two that call themselves nodes, on this machine: one starts the run, the other one joins it."""
    nodes = ("trainer.strategy=ddp", "trainer.devices=1", "trainer.nodes=2")
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port("127.0.0.1"))}
    run_dir = tmp_path / "run"
    joining = runs.start(["join", str(run_dir)], tmp_path, NODE_RANK="1", **meeting)  # it waits for the run to begin
    starting = runs.start(runs.train(tmp_path, "run", *FULL, *nodes), tmp_path, NODE_RANK="0", **meeting)
    try:
        printed, joined = runs.finish(starting), runs.finish(joining)
        assert (starting.returncode, joining.returncode) == (0, 0), printed + joined
    finally:
        for process in (starting, joining):
            process.terminate()  # nothing to one that has ended
            process.wait()
    assert sorted(path.name for path in (run_dir / "ranks").glob("rank-*")) == ["rank-0.json", "rank-1.json"]
    assert_same_run(finished.whole("full", "single"), run_dir)


@pytest.mark.parametrize(("begun", "place"), [("single", "fsdp2"), ("fsdp2", "single"), ("ddp", "single")])
def test_another_number_of_processes_goes_on(begun: str, place: str, finished: Runs) -> None:
    assert_same_run(finished.whole("full", "single"), finished.resumed("full", begun, place))


def test_adapters_are_trained_by_two_processes_as_by_one(finished: Runs) -> None:
    one = finished.whole("adapters", "single")
    assert moved(one) > 1e-3
    assert {step > MIDDLE for step in idle(one)} == {True, False}  # for those that begin and those that go on
    assert_same_run(one, finished.whole("adapters", "ddp"))
    assert_adapters_only(checkpoint(one, STEPS))


@pytest.mark.parametrize(("begun", "place"), [("single", "fsdp2"), ("ddp", "single")])
def test_another_number_of_processes_goes_on_with_adapters(begun: str, place: str, finished: Runs) -> None:
    run_dir = finished.resumed("adapters", begun, place)
    assert_same_run(finished.whole("adapters", "single"), run_dir)
    assert_adapters_only(checkpoint(run_dir, STEPS))


def idle(run_dir: Path) -> set[int]:
    """The steps in which one of two processes, with a question each, has a gradient and the other none."""
    learns: dict[int, list[bool]] = {step: [] for step in range(1, STEPS + 1)}
    for trace in runs.rollouts(run_dir):
        values = {tuple(one["id"]): one["score"]["value"] for one in trace["samples"]}
        trained = [{values[tuple(one)] for one in group["samples"]} for group in trace["groups"]]
        learns[trace["step"]].append(any(len(group) > 1 for group in trained))
    return {step for step, of_questions in learns.items() if set(of_questions) == {True, False}}


def assert_adapters_only(saved: dict[str, Any]) -> None:
    names = list(saved["state_dict"])
    assert len(names) == 2 * 7  # A and B beside q, k, v, o, gate, up and down of the one layer
    assert all(re.search(r"\.lora_[AB]\.default\.weight$", name) for name in names)
    assert len(saved["optimizer_states"][0]["state"]) == len(names)


@pytest.mark.parametrize("change", ["lora.rank=8", "lora.alpha=16", "objective=dapo", "trainer.optimizer=adamw_8bit"])
def test_resuming_refuses_what_changes_the_optimizer_state(
    change: str, finished: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = finished.whole("adapters", "single")
    capsys.readouterr()
    runs.run_here(["train", f"resume={run_dir}", "trainer.steps=5", change, *DDP], code=2)
    assert f"{change}: resuming may change only trainer.steps, " in capsys.readouterr().err
    assert not checkpoint_file(run_dir, 5).exists()


# ---- endings


def start(folder: Path, *overrides: str) -> tuple[subprocess.Popen[str], Path]:
    """A run that has taken a few steps."""
    run_dir = folder / "run"
    process = runs.start(runs.train(folder, "run", *ENDLESS, *overrides), folder)
    runs.wait_until(process, lambda: runs.steps_done(run_dir) >= 3)
    return process, run_dir


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """It and all that it started."""
    own = psutil.Process(process.pid)
    return [own, *own.children(recursive=True)]


def worker(process: subprocess.Popen[str], rank: int) -> psutil.Process:
    """The process of that rank."""
    workers = [each for each in family(process) if each.cmdline()[2:4] == ["-m", "igrpo.runs.worker"]]
    (found,) = [each for each in workers if each.environ()["RANK"] == str(rank)]
    return found


def end(process: subprocess.Popen[str], stop: Callable[[], object]) -> str:
    """Its output, after ``stop`` has ended it. Nobody of its family may live on."""
    members = family(process)
    assert len(members) >= 4  # igrpo, torchrun, two workers; and what checks their answers
    stop()
    output = runs.finish(process)
    assert wait_ended(members, DEADLINE_S) == []
    assert "Traceback" not in output
    return output


@pytest.mark.parametrize("rank", [1, 0])
def test_a_run_with_a_killed_process_ends_and_can_be_resumed(rank: int, tmp_path: Path) -> None:
    process, run_dir = start(tmp_path, *DDP)
    output = end(process, worker(process, rank).kill)
    assert process.returncode == 1
    assert output.count(f"igrpo: process {rank} of 2 (counted from 0) left no record of its end") == 1
    assert "gloo" not in output  # what the other one noticed explains nothing
    assert runs.status(run_dir) == "KILLED"  # in MLflow, too
    assert f"process {rank} of 2" in runs.error(run_dir)
    if rank == 0:
        return  # the rest once is enough
    reached = max(int(path.stem.removeprefix("step-")) for path in (run_dir / "checkpoints").glob("*.ckpt"))
    process = runs.start(["train", f"resume={run_dir}", *FSDP2], tmp_path)
    runs.wait_until(process, lambda: runs.steps_done(run_dir) >= reached + 3)
    output = end(process, lambda: process.send_signal(signal.SIGINT))
    assert f"resuming after step {reached} of 100000" in output
    assert process.returncode == 130
    assert f"igrpo: interrupted; resume with: igrpo train resume={run_dir}" in output
    assert runs.status(run_dir) == "KILLED"
    steps = [line["step"] for line in runs.training_steps(run_dir)]
    assert steps == list(range(1, steps[-1] + 1))  # none lost, none twice


def test_all_processes_end_with_a_killed_driver(tmp_path: Path) -> None:
    """kill -9, as a user or the system does it: nobody is left to hold the devices or the run's directory."""
    process, run_dir = start(tmp_path, *DDP)
    members = family(process)
    assert len(members) >= 4  # igrpo, torchrun, two workers; and what checks their answers
    process.kill()
    process.communicate()
    resumed = runs.start(["train", f"resume={run_dir}", *DDP], tmp_path)
    assert wait_ended(members, DEADLINE_S) == []
    reached = max(int(path.stem.removeprefix("step-")) for path in (run_dir / "checkpoints").glob("*.ckpt"))
    runs.wait_until(resumed, lambda: runs.steps_done(run_dir) >= reached + 3)
    output = end(resumed, lambda: resumed.send_signal(signal.SIGINT))
    assert f"resuming after step {reached} of 100000" in output
    assert "in use by" not in output


def test_processes_end_with_torchrun_and_their_driver_tells(tmp_path: Path) -> None:
    process, run_dir = start(tmp_path, *DDP)
    members = family(process)
    (torchrun,) = psutil.Process(process.pid).children()
    torchrun.kill()
    output = runs.finish(process)
    assert wait_ended(members, DEADLINE_S) == []
    assert process.returncode == 1
    assert "igrpo: torchrun ended with exit code -9" in output
    assert runs.status(run_dir) == "KILLED"


def test_a_node_that_joined_ends_with_its_own_driver(tmp_path: Path) -> None:
    nodes = ("trainer.strategy=ddp", "trainer.devices=1", "trainer.nodes=2")
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port("127.0.0.1"))}
    run_dir = tmp_path / "run"
    joining = runs.start(["join", str(run_dir)], tmp_path, NODE_RANK="1", **meeting)
    starting = runs.start(runs.train(tmp_path, "run", *ENDLESS, *nodes), tmp_path, NODE_RANK="0", **meeting)
    runs.wait_until(starting, lambda: runs.steps_done(run_dir) >= 3)
    members = family(joining)[1:] + family(starting)
    joining.kill()
    joining.communicate()
    runs.finish(starting)  # the other node notices that its partner is gone
    assert wait_ended(members, DEADLINE_S) == []


@pytest.mark.parametrize(("whom", "place"), [("igrpo", "fsdp2"), ("every process", "ddp")])
def test_sigterm_ends_every_process(whom: str, place: str, tmp_path: Path) -> None:
    """To the one that was started, as a user sends it, or to all at once, as a cluster does."""
    process, run_dir = start(tmp_path, *PLACES[place])
    members = family(process) if whom == "every process" else [psutil.Process(process.pid)]
    output = end(process, lambda: [member.terminate() for member in reversed(members)])
    assert process.returncode == 143
    assert f"igrpo: stopped; resume with: igrpo train resume={run_dir}" in output
    assert runs.status(run_dir) == "KILLED"


_BREAKS = """
import os

from igrpo.types import Score


class Reward:
    name = "mine"

    def __init__(self):
        self.asked = set()

    async def score(self, question, completions):
        self.asked.add(question.id)
        if os.environ["RANK"] == "1" and len(self.asked) > 6:
            raise LookupError("the second process has lost its book")
        return [Score(float(len(c.token_ids) % 2), True, "right") for c in completions]

    def close(self):
        pass
"""


def test_an_error_of_one_process_is_told_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "my_reward.py").write_text(_BREAKS)
    mine = ("reward=python", "reward.target=my_reward:Reward")
    output = runs.run(runs.train(tmp_path, "run", *ENDLESS, *mine, *DDP), tmp_path, code=1)
    (told,) = [line for line in output.splitlines() if line.startswith("igrpo: ")]
    assert told.startswith("igrpo: RewardError: reward 'mine' on question '")
    assert told.endswith("' raised LookupError: the second process has lost its book")
    assert "Traceback" not in output
    assert "LookupError" in (tmp_path / "run" / "log.txt").read_text()  # the traceback of a process without a log
    assert runs.status(tmp_path / "run") == "FAILED"
    assert "LookupError" in runs.error(tmp_path / "run")


def test_a_sweep_of_runs_of_several_processes(tmp_path: Path) -> None:
    output = runs.run(sweeps.sweep(tmp_path, "seed=0,1", *DDP), tmp_path)
    assert sweeps.states(tmp_path) == ["FINISHED", "FINISHED"]
    for number, folder in enumerate(sweeps.folders(tmp_path)):
        assert f"run {number} (s{number}): finished" in output
        assert runs.steps_done(folder) == 2
        assert len(runs.rollouts(folder)) == 2 * 4
    parent, cells = sweeps.in_mlflow(tmp_path)
    assert parent.info.status == "FINISHED"
    assert [(cell.info.run_name, cell.info.status) for cell in cells] == [("s0", "FINISHED"), ("s1", "FINISHED")]
