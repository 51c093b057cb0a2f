"""Two trainer processes that sample from one server: the main one hands the weights over, errors reach both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from igrpo.generation.vllm.supervisor import free_port
from tests.generation.vllm_fake import FakeServer, fake_tokens

RANK = """
import asyncio, json, sys
from pathlib import Path
import torch
from igrpo import distributed
from igrpo.generation.vllm.server import VllmServerEngine
from tests.composed import config
from tests.generation.conftest import make_model, make_tokenizer, params

url, folder = sys.argv[1], Path(sys.argv[2])
distributed.start_process(60.0, cuda=False)
rank = distributed.rank()
quick = {"dtype": "float32", "request_timeout_s": 20.0, "ready_timeout_s": 20.0, "max_restarts": 2}
rollout = config(None, "rollout=vllm_server").rollout.model_copy(update=quick)
engine = VllmServerEngine(make_model(), make_tokenizer(), rollout, url=url, api_key=None, session="both",
                          weights_dir=folder / "weights", max_model_len=64, server=None)
engine.sync_weights(1)
engines = engine.replicas  # before a restore, in which the other process would ask for it, too
seeds = range(10 * rank, 10 * rank + 6)  # the server dies at the sixth request of both
tokens = [c.token_ids for c in asyncio.run(engine.sample((5, 6, 7), params(max_new_tokens=4), seeds))]
distributed.barrier()
everywhere = [c.token_ids for c in asyncio.run(engine.sample_on_every_replica((5, 6, 7), params(max_new_tokens=4), rank))]
distributed.barrier()
if rank == 0:
    (folder / "weights").rename(folder / "away")
    (folder / "weights").write_text("no folder")
try:
    engine.sync_weights(2)
    error = ""
except RuntimeError as failure:
    error = str(failure)
Path(folder, f"rank{rank}.json").write_text(json.dumps({"tokens": tokens, "everywhere": everywhere, "engines": engines, "error": error}))
distributed.barrier()
torch.distributed.destroy_process_group()
"""


def test_both_ranks_get_their_samples_and_the_errors_of_rank_0(tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    server = FakeServer()
    server.engines = 2  # the main process alone asks the server for it
    server.on_request = lambda number: "die" if number == 6 else None
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port("127.0.0.1"))}
    environment = os.environ | group | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    try:
        ranks = [
            subprocess.Popen(
                [sys.executable, script, server.url, tmp_path],
                env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in (0, 1)
        ]
        outputs = [rank.communicate(timeout=120)[0] for rank in ranks]
    finally:
        server.close()
    assert [rank.returncode for rank in ranks] == [0, 0], outputs
    for rank in (0, 1):
        told = json.loads((tmp_path / f"rank{rank}.json").read_text())
        assert told["tokens"] == [fake_tokens([5, 6, 7], seed, 4) for seed in range(10 * rank, 10 * rank + 6)]
        assert told["engines"] == 2
        assert told["everywhere"] == [fake_tokens([5, 6, 7], rank, 4)] * 2
        assert "cannot be written" in told["error"]
    assert server.loads == ["igrpo-both-1.safetensors"] * 2  # once at the sync, once by whoever noticed the death first
