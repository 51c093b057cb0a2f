"""Client of the vLLM server: one request per sample, and a classification of failed requests."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from igrpo.generation.base import SamplingParams
from igrpo.generation.vllm.health import OPENER, is_healthy
from igrpo.generation.vllm.middleware import GENERATE_PATH, RANK_HEADER, WEIGHTS_HEADER
from igrpo.generation.vllm.requests import VllmSample, sampling_arguments

_STATUS_TIMEOUT_S = 10.0


class LostError(RuntimeError):
    """A request was not answered, or not from the requested weights; it can be retried."""


class ServerRefusedError(RuntimeError):
    """The server refuses the request; retrying does not help."""


@dataclass(frozen=True, slots=True)
class Status:
    """Status of a running server.

    ``boot`` is new after every start and ``weights`` is the label of the loaded weights. ``device`` is vLLM's (``cpu``,
    ``cuda``), ``nccl`` says if the server accepts weights by NCCL, ``engines`` is its number of data-parallel engines
    and ``workers`` the number of worker processes of all of them.
    """

    boot: str
    weights: str | None
    device: str
    nccl: bool
    engines: int
    workers: int


class VllmClient:
    """Requests to one server. ``sample`` is asynchronous, all other calls block."""

    def __init__(self, url: str, api_key: str | None, *, request_timeout_s: float) -> None:
        self.url = url.rstrip("/")
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._timeout_s = request_timeout_s

    def session(self, connections: int) -> aiohttp.ClientSession:
        """Create an HTTP session for the samples of one event loop; close it in the same loop."""
        return aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=connections),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            trust_env=False,
        )

    async def sample(
        self,
        session: aiohttp.ClientSession,
        prompt: Sequence[int],
        params: SamplingParams,
        seed: int,
        label: str,
        *,
        rank: int | None = None,
    ) -> VllmSample:
        """Request one sample from the weights ``label``, and return all of its tokens.

        Args:
            rank: data-parallel rank of the engine that samples (None: the one that vLLM's balancer chooses).

        Raises:
            LostError: the connection was lost, the server has other weights, or it failed.
            ServerRefusedError: the server refuses the request, the key is wrong, or no answer came in time.
        """
        body = {"token_ids": list(prompt), "sampling_params": sampling_arguments(params, seed)}
        headers = {WEIGHTS_HEADER: label} | ({} if rank is None else {RANK_HEADER: str(rank)})
        try:
            async with session.post(f"{self.url}{GENERATE_PATH}", json=body, headers=headers) as reply:
                content = await reply.read()
        except TimeoutError:
            raise ServerRefusedError(
                f"{self.url} did not answer a request for samples within rollout.request_timeout_s={self._timeout_s:g}"
            ) from None
        except aiohttp.ClientError as error:
            raise LostError(f"{type(error).__name__}: {error}") from None
        if reply.status == 409 or reply.status >= 500:
            raise LostError(f"the server answered {reply.status}: {_excerpt(content)}")
        if reply.status != 200:
            raise ServerRefusedError(_refusal(self.url, reply.status, content))
        answer = parse_answer(content)
        if answer.versions != (label,):
            raise LostError(f"the sample is of the weights {list(answer.versions)}, not {label}")
        if answer.finish_reason not in {"stop", "length"}:
            raise LostError(f"the sample was cut off ({answer.finish_reason})")
        return answer

    def status(self) -> Status | None:
        """Return the server's status, or None while no server answers.

        Raises:
            ServerRefusedError: another kind of server answers, or the key is wrong.
        """
        if not is_healthy(self.url):  # the gate still answers while the server behind it shuts down
            return None
        try:
            reply = self.call("GET", "/igrpo/weights", timeout_s=_STATUS_TIMEOUT_S)
        except LostError:
            return None
        try:
            weights = reply["weights"]
            return Status(
                str(reply["boot"]),
                None if weights is None else str(weights),
                str(reply["device"]),
                bool(reply["nccl"]),
                int(reply["engines"]),
                int(reply["workers"]),
            )
        except (KeyError, TypeError, ValueError):
            raise ServerRefusedError(f"{self.url} answers, but it was not started by `igrpo serve`") from None

    def load(self, path: str, label: str) -> None:
        """Make the server load a file of weights; returns at once if they are already loaded.

        Raises:
            LostError, ServerRefusedError: the server did not load them.
        """
        self.call("POST", "/igrpo/weights", {"path": path, "label": label}, timeout_s=self._timeout_s)

    def fingerprints(self) -> Mapping[str, str]:
        """Return the fingerprints of the weights that the server has installed."""
        reply = self.call("GET", "/igrpo/fingerprints", timeout_s=self._timeout_s)
        return {str(name): str(label) for name, label in dict(reply["fingerprints"]).items()}

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, timeout_s: float) -> Any:
        """Send one request to the gate in front of vLLM (`igrpo.generation.vllm.middleware`), and return a JSON object.

        Raises:
            LostError: no connection, or a failure in the server.
            ServerRefusedError: the server refuses the request.
        """
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **self._headers},
            method=method,
        )
        try:
            with OPENER.open(request, timeout=timeout_s) as reply:
                content = reply.read()
        except urllib.error.HTTPError as error:
            content = error.read()
            if error.code >= 500:
                raise LostError(f"{path} answered {error.code}: {_excerpt(content)}") from None
            raise ServerRefusedError(_refusal(self.url, error.code, content)) from None
        except (OSError, http.client.HTTPException) as error:  # refused, cut off, or no HTTP
            raise LostError(f"{path}: {error}") from None
        try:
            result = json.loads(content)
        except ValueError:
            raise ServerRefusedError(f"{self.url}{path} gave no JSON: {_excerpt(content)}") from None
        if not isinstance(result, dict):
            raise ServerRefusedError(f"{self.url}{path} gave no JSON object: {_excerpt(content)}")
        return result


def parse_answer(content: bytes) -> VllmSample:
    """Parse vLLM's answer to a request for one sample.

    Raises:
        LostError: the answer is cut off, or has another form.
    """
    try:
        reply = json.loads(content)
        (choice,) = reply["choices"]
        tokens = tuple(int(token) for token in choice["token_ids"])
        logprobs = choice["logprobs"]["content"]
        details = reply["usage"]["prompt_tokens_details"] or {}
        same_tokens = tuple(int(entry["token_id"]) for entry in logprobs) == tokens
        answer = VllmSample(
            token_ids=tokens,
            logprobs=tuple(float(entry["logprob"]) for entry in logprobs),
            cached_tokens=int(details.get("cached_tokens") or 0),
            versions=tuple(str(span["version"]) for span in choice["weight_versions"] or ()),
            finish_reason=str(choice["finish_reason"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LostError(f"the answer has an unexpected form ({type(error).__name__}: {error})") from None
    if not same_tokens:
        raise LostError("the answer has log-probs of other tokens")
    return answer


def _refusal(url: str, status: int, content: bytes) -> str:
    if status == 401:
        return f"{url} requires another API key: rollout.api_key_env names the variable that holds it, on both sides"
    return f"{url} refused a request ({status}): {_excerpt(content)}"


def _excerpt(content: bytes) -> str:
    text = content.decode(errors="replace").strip()
    return text if len(text) <= 400 else f"{text[:400]} ..."
