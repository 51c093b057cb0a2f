"""A gate in front of vLLM's HTTP server: checks the API key and the requested weights, and accepts new weights.

vLLM loads the class by name (its option ``--middleware``), and the class receives every request first. It is plain
ASGI.

- Every path except ``/health`` needs the API key, if one is set. (vLLM itself guards only some of its paths.)
- A request for samples names the weights it wants in a header. It is refused with 409 unless exactly those are loaded.
  So a server that was restarted, or that another run has taken over, returns no samples until its weights are loaded
  again.
- ``/igrpo/...`` accepts new weights, which count as loaded when every engine has proved to have them. So vLLM's own
  development endpoints, through which a client could call anything in the server, are never enabled.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from igrpo.generation.vllm.data_parallel import ask_workers, check_loaded, pause, stamp, unless_dead

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Body = dict[str, Any]

#: Variable from which vLLM and this gate read the key; a command line is visible to every user of the machine.
API_KEY_VARIABLE = "VLLM_API_KEY"
#: Variable that holds the only folder from which weights are loaded.
WEIGHTS_DIR_VARIABLE = "IGRPO_WEIGHTS_DIR"
#: Value of vLLM's option ``--middleware``.
MIDDLEWARE = "igrpo.generation.vllm.middleware.WeightGate"
#: Header that names the weights that a request wants, by the label under which they were loaded.
WEIGHTS_HEADER = "X-Igrpo-Weights"
#: vLLM's header that names the engine of a request by its data-parallel rank.
RANK_HEADER = "X-data-parallel-rank"
#: vLLM's endpoint that takes token ids and returns token ids with the version of their weights.
GENERATE_PATH = "/inference/v1/generate"

_MAX_BODY = 64 << 20  # many times the names and shapes of all tensors of a large model


class _RefusedError(Exception):
    """A request that cannot be served; the client receives the text with this status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class WeightGate:
    """The middleware. ``_label`` names the loaded weights; None if there are none or new ones are being loaded."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app
        self._key = os.environ.get(API_KEY_VARIABLE) or None
        folder = os.environ.get(WEIGHTS_DIR_VARIABLE)
        self._folder = None if folder is None else Path(folder).resolve()
        self._label: str | None = None
        self._boot = uuid.uuid4().hex
        self._loading = asyncio.Lock()
        self._routes: dict[tuple[str, str], Callable[[Any, Body], Coroutine[Any, Any, Body]]] = {
            ("GET", "/igrpo/weights"): self._status,
            ("POST", "/igrpo/weights"): self._load,
            ("GET", "/igrpo/fingerprints"): self._fingerprints,
            ("POST", "/igrpo/transfer/init"): self._transfer_init,
            ("POST", "/igrpo/transfer/start"): self._transfer_start,
            ("POST", "/igrpo/transfer/update"): self._transfer_update,
            ("POST", "/igrpo/transfer/finish"): self._transfer_finish,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, refuse it, or pass it on to vLLM."""
        if scope["type"] not in {"http", "websocket"} or scope["path"] == "/health":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        await self._gate(headers, scope, receive, send)

    async def _gate(self, headers: dict[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        wanted = headers.get(WEIGHTS_HEADER.lower())
        samples = wanted is not None or scope["path"] == GENERATE_PATH
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # nothing here needs one
        elif not self._has_key(headers.get("authorization", "")):
            await _answer(send, 401, {"error": "this server needs its API key, as a bearer token"})
        elif (route := self._routes.get((scope["method"], scope["path"]))) is not None:
            await self._handle(route, scope, receive, send)
        elif samples and (wanted is None or wanted != self._label):
            await _answer(send, 409, {"error": f"asked for weights {wanted}", "weights": self._label})
        else:
            await self._app(scope, receive, send)

    def _has_key(self, authorization: str) -> bool:
        if self._key is None:
            return True
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), self._key.encode())

    async def _handle(
        self, route: Callable[[Any, Body], Coroutine[Any, Any, Body]], scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            body = await _read_body(receive) if scope["method"] == "POST" else {}
            engine = scope["app"].state.engine_client
            reply = await unless_dead(engine, route(engine, body))
        except _RefusedError as error:
            await _answer(send, error.status, {"error": str(error)})
        except Exception as error:
            await _answer(send, 500, {"error": f"{type(error).__name__}: {error}"})
        else:
            await _answer(send, 200, reply)

    async def _status(self, engine: Any, _body: Body) -> Body:
        config = engine.vllm_config
        return {
            "boot": self._boot,
            "weights": self._label,
            "device": config.device_config.device_type,
            "nccl": config.weight_transfer_config is not None,
            "engines": config.parallel_config.data_parallel_size,
            "workers": config.parallel_config.world_size_across_dp,
        }

    async def _load(self, engine: Any, body: Body) -> Body:
        """Load a file under a label unless it is already loaded: several clients may ask after a restart."""
        label, path = _text(body, "label"), self._file(_text(body, "path"))
        async with self._loading:
            if self._label != label:
                await self._begin(engine)
                try:
                    await ask_workers(engine, "igrpo_load_file", str(path), label)
                    await self._commit(engine, label)
                finally:
                    await engine.resume_generation()
        return {"weights": self._label}

    def _file(self, text: str) -> Path:
        path = Path(text)
        if not path.is_absolute() or path.suffix != ".safetensors":
            raise _RefusedError(400, f"path={text}: must be absolute and end in .safetensors")
        path = path.resolve()
        if self._folder is not None and not path.is_relative_to(self._folder):
            raise _RefusedError(403, f"path={text}: is outside this server's rollout.weights_dir={self._folder}")
        if not path.is_file():
            raise _RefusedError(404, f"path={text}: the server sees no such file; both need the same folder")
        return path

    async def _fingerprints(self, engine: Any, _body: Body) -> Body:
        return {"fingerprints": merged(await ask_workers(engine, "igrpo_fingerprints"))}

    async def _transfer_init(self, engine: Any, body: Body) -> Body:
        from vllm.distributed.weight_transfer.base import WeightTransferInitRequest

        await engine.init_weight_transfer_engine(WeightTransferInitRequest(init_info=body["init_info"]))
        return {}

    async def _transfer_start(self, engine: Any, _body: Body) -> Body:
        async with self._loading:
            await self._begin(engine)
            await ask_workers(engine, "igrpo_watch")
            await engine.start_weight_update()
        return {}

    async def _transfer_update(self, engine: Any, body: Body) -> Body:
        from vllm.distributed.weight_transfer.base import WeightTransferUpdateRequest

        await engine.update_weights(WeightTransferUpdateRequest(update_info=body["update_info"]))
        return {}

    async def _transfer_finish(self, engine: Any, body: Body) -> Body:
        async with self._loading:
            label = _text(body, "label")
            await engine.finish_weight_update()
            await ask_workers(engine, "igrpo_adopt", body["names"], label)
            await self._commit(engine, label)
            await engine.resume_generation()
        return {"weights": self._label}

    async def _begin(self, engine: Any) -> None:
        """Mark the weights as missing, and abort requests that still sample from the old ones."""
        self._label = None
        await pause(engine)

    async def _commit(self, engine: Any, label: str) -> None:
        """Mark all weights as loaded under ``label`` if every worker of every engine reports them.

        vLLM itself stamps each token that it samples with the label.
        """
        await check_loaded(engine, label)
        if not await engine.reset_prefix_cache():
            raise RuntimeError("vLLM did not empty its prefix cache")
        await stamp(engine, label)
        self._label = label


def merged(workers: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Merge the labels of all workers by name.

    Where workers differ, the result joins their labels, so that it equals no single label; ``-`` stands for a missing
    one.
    """
    names = dict.fromkeys(name for labels in workers for name in labels)
    return {name: "|".join(sorted({labels.get(name, "-") for labels in workers}, reverse=True)) for name in names}


async def _read_body(receive: Receive) -> Body:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _RefusedError(400, "the client disconnected")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > _MAX_BODY:
            raise _RefusedError(413, f"more than {_MAX_BODY} bytes")
        if not message.get("more_body", False):
            break
    try:
        body = json.loads(b"".join(parts) or b"{}")
    except ValueError as error:
        raise _RefusedError(400, f"no JSON: {error}") from None
    if not isinstance(body, dict):
        raise _RefusedError(400, "no JSON object")
    return body


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise _RefusedError(400, f"{name} is missing, or not a string")
    return value


async def _answer(send: Send, status: int, body: Body) -> None:
    content = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
