"""`igrpo serve` from its command line to its end."""

from __future__ import annotations

import re
from pathlib import Path

from igrpo.generation.vllm.client import VllmClient
from igrpo.generation.vllm.supervisor import free_port
from tests.vllm.serving import end_by_sigterm, start_serve, told_until_ready


def test_it_serves_until_it_is_stopped_and_leaves_nothing_behind(tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    with start_serve(tmp_path, port, "model=byte_level") as serve:
        output = told_until_ready(serve)
        assert re.search(rf"rollout=vllm_server rollout\.url=http://127\.0\.0\.1:{port}$", output, re.MULTILINE), output
        status = VllmClient(f"http://127.0.0.1:{port}", None, request_timeout_s=60.0).status()
        assert status is not None
        assert status.weights is None
        assert end_by_sigterm(serve) >= 3
    assert list(tmp_path.iterdir()) == []
