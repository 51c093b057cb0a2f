"""Two trainer processes, each with vLLM in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from igrpo.generation.vllm.supervisor import free_port
from tests.vllm.models import Small

RANK = """
import os, sys
from pathlib import Path
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from igrpo import distributed
from igrpo.generation.vllm.colocate import VllmColocateEngine
from igrpo.generation.vllm.served import ServedModel
from tests.composed import config
from tests.vllm.conftest import QUICK
from tests.vllm.models import MAX_LEN, Small, engine_labels, greedy, local_greedy, perturb, trainer_labels

distributed.start_process(120.0, cuda=False)
rank, path = distributed.rank(), sys.argv[1]
small = Small(AutoModelForCausalLM.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path), ServedModel(path))
rollout = config(None, "rollout=vllm_colocate").rollout.model_copy(update=QUICK)
engine = VllmColocateEngine(small.model, small.tokenizer, small.served, rollout, max_model_len=MAX_LEN, seed=rank)
for version in range(2):
    perturb(small.model, version + 10 * rank)  # unlike in a training, so that mixing them up would show
    engine.sync_weights(version)
    # one asks for more than the other: they must not wait for each other
    for _ in range(1 + rank):
        assert greedy(engine, small) == local_greedy(small), "greedy"
    assert engine_labels(engine) == trainer_labels(small), "fingerprints"
labels = distributed.gather(sorted(engine.fingerprints().values()))
assert labels[0] != labels[1]
engine.close()
assert torch.distributed.is_initialized(), "the trainer's group has to stay"
assert distributed.gather(rank) == [0, 1]
Path(sys.argv[2], f"fine{rank}").touch()
"""


def test_each_of_two_processes_samples_from_its_own_engine(untied_llama: Small, tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port('127.0.0.1')}"]  # fmt: skip
    done = subprocess.run(
        [*command, str(script), untied_llama.served.path, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    assert sorted(path.name for path in tmp_path.glob("fine*")) == ["fine0", "fine1"]
