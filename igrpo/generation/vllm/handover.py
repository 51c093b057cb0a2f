"""Transfer of the trainer's weights to the server, and reloading after the server was lost."""

from __future__ import annotations

import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from igrpo import distributed
from igrpo.generation.vllm.client import LostError, ServerRefusedError, Status, VllmClient
from igrpo.generation.vllm.launch import is_loopback
from igrpo.generation.vllm.nccl import NcclTransfer
from igrpo.generation.vllm.supervisor import Supervisor
from igrpo.generation.vllm.weights_file import WeightFiles
from igrpo.models.weights import named_weights
from igrpo.settings.rollout import VllmServerConfig

_POLL_S = 0.25


class Handover:
    """Loads weights into the server.

    ``label`` names the loaded weights: the run's unique name (``session``) and the version. ``engines`` is the number
    of data-parallel engines of the server that has them.
    """

    def __init__(
        self,
        model: Any,
        client: VllmClient,
        config: VllmServerConfig,
        *,
        session: str,
        weights_dir: Path,
        server: Supervisor | None,
    ) -> None:
        self.label: str | None = None
        self.engines = 1
        self._model, self._client, self._config, self._server = model, client, config, server
        self._dtype: torch.dtype = getattr(torch, config.dtype)
        self._session = session
        self._files = WeightFiles(weights_dir, session, self._dtype)
        self._path: Path | None = None
        self._by_nccl: bool | None = None
        self._nccl: NcclTransfer | None = None
        self._boot: str | None = None
        self._stopping = threading.Event()

    def send(self, version: int) -> None:
        """Make the server load the trainer's weights. All processes must call this at the same point.

        Raises:
            RuntimeError: the server did not load them; raised in every process.
        """
        self.label = None
        self._stopping.clear()
        self._choose()
        label = f"{self._session}-{version}"
        failure = None
        try:
            if self._by_nccl:
                self._send_by_nccl(label)
            else:
                self._send_by_file(version, label)
        except (LostError, ServerRefusedError) as error:
            failure = str(error)
        except OSError as error:
            failure = f"the weights cannot be written for the vLLM server (rollout.weights_dir): {error}"
        outcomes = distributed.gather((failure, self._path, self.engines))
        failures = [text for text, _, _ in outcomes if text is not None]
        if failures:
            raise RuntimeError(failures[0])
        self.label, (_, self._path, self.engines) = label, outcomes[0]

    def restore(self, reason: str) -> None:
        """Wait for a lost server and load the same weights again. Any process may call this, at any time.

        Raises:
            ServerRefusedError: the server does not come back, or another run uses it now. The message includes
                ``reason``, which says how the server was lost.
        """
        assert self.label is not None
        if self._by_nccl:
            if distributed.world() > 1:
                raise ServerRefusedError(
                    f"the vLLM server was lost in the middle of a step ({reason}), and rollout.transfer=nccl with "
                    "several trainer processes cannot load it again within a step: resume the run (resume=RUN_DIR), or "
                    "set rollout.transfer=path"
                )
            self._leave_group()
            self._send_by_nccl(self.label)
        else:
            self._load(self.label, reason, taken_is_fatal=True)

    def give_up(self) -> None:
        """Stop a ``restore`` that waits in another thread."""
        self._stopping.set()

    def close(self) -> None:
        """Delete the weights file and leave the NCCL group."""
        self._stopping.set()
        self._files.forget()
        self._leave_group()

    def _choose(self) -> None:
        """Choose NCCL or a file: the main process queries the server and decides for all processes, once."""
        if self._by_nccl is not None:
            return
        status = self._status_for_all()
        served, here = status.device == "cuda" and status.nccl, torch.cuda.is_available()
        possible = served and here and find_spec("vllm") is not None
        if self._config.transfer == "nccl" and not possible:
            raise ServerRefusedError(
                f"rollout.transfer=nccl needs GPUs and vLLM on both sides, and a server that was started with it; the "
                f"server runs on {status.device}, and here torch sees {torch.cuda.device_count()} GPUs: set it to path"
            )
        # a server of the run's own may share the trainer's GPU, where NCCL refuses to work
        mine = distributed.from_main(self._server is not None)
        self._by_nccl = self._config.transfer == "nccl" or (self._config.transfer == "auto" and possible and not mine)

    def _status_for_all(self) -> Status:
        """Return the status as the main process sees it; raises in all processes if the server does not answer."""
        failure, status = None, None
        if distributed.is_main():
            try:
                status = self._wait_ready("")
            except ServerRefusedError as error:
                failure = str(error)
        failure, status = distributed.from_main((failure, status))
        if status is None:
            raise ServerRefusedError(failure)
        return status

    def _send_by_file(self, version: int, label: str) -> None:
        if not distributed.is_main():
            for _ in named_weights(self._model):
                pass  # takes part in gathering the shards
        else:
            self._path = self._files.write(version, named_weights(self._model))
            self._load(label, "", taken_is_fatal=False)
            self._files.forget_before(self._path)

    def _send_by_nccl(self, label: str) -> None:
        if self._nccl is not None and self._status_for_all().boot != self._boot:
            self._leave_group()  # the server was restarted, so it is no longer the one in the group
        if self._nccl is None:
            status = self._status_for_all()
            self._boot = status.boot
            self._nccl = NcclTransfer(
                self._model,
                self._client,
                self._dtype,
                workers=status.workers,
                address=_own_address(self._client.url),
                timeout_s=self._config.request_timeout_s,
            )
        self._nccl.send(label)

    def _leave_group(self) -> None:
        if self._nccl is not None:
            self._nccl.close()
            self._nccl = None

    def _load(self, label: str, reason: str, *, taken_is_fatal: bool) -> None:
        """Load the file, waiting for the server each time it stops meanwhile, at most ``max_restarts`` times."""
        assert self._path is not None
        for _ in range(self._config.max_restarts + 1):
            before = self._wait_ready(reason)
            if taken_is_fatal and before.weights is not None and not before.weights.startswith(f"{self._session}-"):
                raise ServerRefusedError(
                    f"another run has loaded its weights into the server at {self._client.url}; every run needs a "
                    "server of its own"
                )
            try:
                self._client.load(str(self._path), label)
            except LostError as error:
                reason = str(error)
            else:
                return
            after = self._client.status()
            if after is not None and after.boot == before.boot:
                raise ServerRefusedError(f"the vLLM server cannot load the weights: {reason}")
        raise ServerRefusedError(f"the vLLM server ends when it loads the weights: {reason}")

    def _wait_ready(self, reason: str) -> Status:
        deadline = time.monotonic() + self._config.ready_timeout_s
        while not self._stopping.is_set():
            if self._server is not None and self._server.failure is not None:
                raise ServerRefusedError(self._server.failure)
            status = self._client.status()
            if status is not None:
                self.engines = status.engines
                return status
            if time.monotonic() > deadline:
                break
            self._stopping.wait(_POLL_S)
        after = f" after it was lost ({reason})" if reason else ""
        raise ServerRefusedError(
            f"no vLLM server answers at {self._client.url}{after}, for rollout.ready_timeout_s="
            f"{self._config.ready_timeout_s:g} s; is `igrpo serve` running there?"
        )


def _own_address(url: str) -> str:
    """Return the address at which a server at ``url`` reaches this machine."""
    host = urlsplit(url).hostname or ""
    if is_loopback(host):
        return "127.0.0.1"
    from vllm.utils.network_utils import get_ip

    return str(get_ip())
