"""`igrpo serve` from its command line to its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from igrpo.generation.vllm.client import VllmClient
from igrpo.generation.vllm.supervisor import free_port
from igrpo.processes import wait_ended
from tests.vllm.serving import told_until_ready

ROOT = Path(__file__).parents[2]


def test_it_serves_until_it_is_stopped_and_leaves_nothing_behind(tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    settings = ["model=byte_level", f"rollout.port={port}", "rollout.enforce_eager=true",
                "rollout.gpu_memory_utilization=0.3", "rollout.ready_timeout_s=300"]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "igrpo", "serve", *settings],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as serve:
        output = told_until_ready(serve)
        assert re.search(rf"rollout=vllm_server rollout\.url=http://127\.0\.0\.1:{port}$", output, re.MULTILINE), output
        status = VllmClient(f"http://127.0.0.1:{port}", None, request_timeout_s=60.0).status()
        assert status is not None
        assert status.weights is None
        processes = psutil.Process(serve.pid).children(recursive=True)
        assert len(processes) >= 3
        serve.send_signal(signal.SIGTERM)
        assert serve.wait(60) == 128 + signal.SIGTERM
    assert wait_ended(processes, 10) == []
    assert list(tmp_path.iterdir()) == []
