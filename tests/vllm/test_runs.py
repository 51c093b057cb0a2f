"""Whole runs of the program on both vLLM engines: GRPO and iGRPO, a server that dies, adapters, two processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from igrpo.evaluation.store import read_samples
from igrpo.runs.evaluation_directory import EvaluationDirectory
from tests.end_to_end import runs

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(600)]

#: Attention heads of 32, the smallest that vLLM computes on a CPU.
SMALL = (
    "model.hidden=64", "model.layers=1", "model.heads=2", "model.mlp=48", "model.warm_start.steps=120",
    "trainer.steps=5", "trainer.questions_per_step=4", "completions_per_question=4",
    "evaluation.questions=8", "evaluation.samples=2", "evaluation.every=5", "checkpoint.every=5", "tracking=none",
    "trainer.learning_rate=1e-3",
)  # fmt: skip


def trained(folder: Path, *overrides: str) -> Path:
    """The directory of a finished run."""
    output = runs.run(["train", f"hydra.run.dir={folder / 'run'}", *SMALL, *overrides], folder)
    assert "Traceback" not in output
    return folder / "run"


def check(run_dir: Path, *, algorithm: str) -> None:
    """Every sample came from the weights before its step, the log-probs are the trainer's, and something was learnt."""
    traces = runs.rollouts(run_dir)
    assert len(traces) == 5 * 4
    for trace in traces:
        completions = trace["samples"]
        assert [c["policy_version"] for c in completions] == [trace["step"] - 1] * 4
        seeds_differ = {tuple(c["token_ids"]) for c in completions}
        assert len(seeds_differ) > 1 or completions[0]["policy_entropy"] < 0.1
    steps = [line for line in runs.metrics(run_dir) if "train/loss" in line]
    assert len(steps) >= 1
    for line in steps:
        assert line["train/sampler_logprob_gap_max"] < 1e-3
        assert line["train/sampler_ess"] > 0.999
    roles = ("draft", "refinement") if algorithm == "igrpo" else ("answer",)
    measured = runs.training_steps(run_dir)
    assert len(measured) == 5
    assert all(line[f"{role}/entropy"] > 0 for line in measured for role in roles)
    summary = runs.summary(run_dir)
    assert summary["samples"] == 5 * 4 * 4
    assert summary["tokens"]["generated"] == sum(len(c["token_ids"]) for trace in traces for c in trace["samples"])
    assert summary["tokens"]["prefilled"] > 0
    assert summary["single_shot"]["after"] is not None


@pytest.mark.parametrize("algorithm", ["grpo", "igrpo"])
@pytest.mark.parametrize("rollout", ["vllm_colocate", "vllm_server"])
def test_a_run_on_each_engine(rollout: str, algorithm: str, tmp_path: Path) -> None:
    check(trained(tmp_path, f"rollout={rollout}", f"algorithm={algorithm}"), algorithm=algorithm)


def test_a_run_on_a_server_of_its_own_with_two_engines(tmp_path: Path) -> None:
    check(
        trained(tmp_path, "rollout=vllm_server", "rollout.data_parallel_size=2", "algorithm=igrpo"), algorithm="igrpo"
    )


KILLER = """
import os, signal
from pathlib import Path
import psutil
from igrpo.types import Score

class Reward:
    # kills the run's vLLM server once, in the middle of the third step
    name = "killer"
    def __init__(self): self.calls = 0
    async def score(self, question, completions):
        marker = Path("killed.txt")
        steps = Path("run/metrics.jsonl")
        done = steps.read_text().count('"train/learning_rate"') if steps.exists() else 0
        self.calls += done == 2
        if self.calls == int(os.environ["KILL_AT"]) and not marker.exists():
            servers = [p for p in psutil.Process().children(recursive=True) if any("api_server" in a for a in p.cmdline())]
            assert servers, "there is no server to kill"
            marker.write_text(str(len(servers)))
            for server in servers:
                os.kill(server.pid, signal.SIGKILL)
        values = [sum(c.token_ids) % 5 / 4 for c in completions]  # so that groups differ
        return [Score(v, v == 1, "right" if v == 1 else "wrong") for v in values]
    def close(self): ...
"""


@pytest.mark.parametrize("call", [1, 8], ids=["while others sample", "when all have been sampled"])
def test_a_server_killed_in_a_step_returns_with_its_weights(
    call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the third step's 4 questions in 2 stages; after the last one the server is dead when its weights are due."""
    monkeypatch.setenv("KILL_AT", str(call))
    (tmp_path / "killer.py").write_text(KILLER)
    run_dir = trained(tmp_path, "rollout=vllm_server", "reward=python", "reward.target=killer:Reward")
    assert (tmp_path / "killed.txt").exists()
    check(run_dir, algorithm="igrpo")


GREEDY = """
import json, os, sys
os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "HF_HUB_OFFLINE": "1",
               "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
from vllm import LLM, SamplingParams
llm = LLM(sys.argv[1], dtype="float32", max_model_len=64, enforce_eager=True, gpu_memory_utilization=0.3)
prompts = [{"prompt_token_ids": ids} for ids in json.loads(sys.argv[2])]
params = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True, detokenize=False)
print("GREEDY", json.dumps([list(o.outputs[0].token_ids) for o in llm.generate(prompts, params, use_tqdm=False)]))
"""


def test_adapters_are_merged_for_sampling_and_for_export(tmp_path: Path) -> None:
    run_dir = trained(tmp_path, "rollout=vllm_colocate", "lora=rank_16")
    check(run_dir, algorithm="igrpo")
    out = tmp_path / "exported"
    runs.run(["export", str(run_dir), "--out", str(out)], tmp_path)
    prompts = [[1, 5 + i, 7, 9 + i, 6] for i in range(4)]
    command = [sys.executable, "-c", GREEDY, str(out), json.dumps(prompts)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, cwd=tmp_path).stdout
    line = next(line for line in output.splitlines() if line.startswith("GREEDY "))
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    for prompt, tokens in zip(prompts, json.loads(line.removeprefix("GREEDY ")), strict=True):
        logits = model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
        assert tokens == logits.argmax(-1).tolist()


@pytest.mark.parametrize(("rollout", "strategy"), [("vllm_server", "fsdp2"), ("vllm_colocate", "ddp")])
def test_two_processes_sample_by_vllm(rollout: str, strategy: str, tmp_path: Path) -> None:
    processes = (f"trainer.strategy={strategy}", "trainer.devices=2")
    check(trained(tmp_path, f"rollout={rollout}", *processes), algorithm="igrpo")


def test_a_run_resumes_on_another_engine_instance(tmp_path: Path) -> None:
    run_dir = trained(tmp_path, "rollout=vllm_colocate", "trainer.steps=5", "checkpoint.every=2")
    runs.run(["train", f"resume={run_dir}", "trainer.steps=6"], tmp_path)
    assert runs.steps_done(run_dir) == 6


def test_igrpo_eval_on_each_engine(tmp_path: Path) -> None:
    run_dir = trained(tmp_path, "algorithm=grpo")
    greedy: dict[str, list[str]] = {}
    for rollout in ("local", "vllm_colocate", "vllm_server"):
        of = EvaluationDirectory(tmp_path / rollout)
        asked = [str(run_dir), f"rollout={rollout}", "evaluation.greedy=true", "--out", str(of.path)]
        assert "Traceback" not in runs.run(["eval", *asked], tmp_path)
        rows = read_samples(of.samples("test"))
        assert len(rows) == 8 * (2 + 1 + 2), "two answers, one greedy, and two refinements per question"
        assert of.read_results().complete
        assert of.read_record().engine["name"] == rollout
        greedy[rollout] = [row.text for row in sorted(rows, key=lambda row: row.question) if row.kind == "greedy"]
    assert greedy["vllm_colocate"] == greedy["local"]
    assert greedy["vllm_server"] == greedy["local"]
