"""The gate in front of vLLM: its key, its weights, the order of its calls."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from igrpo.generation.vllm.middleware import GENERATE_PATH
from tests.generation.vllm_gate import Served


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    monkeypatch.delenv("IGRPO_WEIGHTS_DIR", raising=False)
    return Served()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"")
    return path


def test_samples_come_from_the_weights_that_are_asked_for_alone(served: Served, file: Path) -> None:
    assert served.samples("run-1") == 409  # a fresh server has none
    assert served.load(file, "run-1") == (200, {"weights": "run-1"})
    assert served.samples("run-1") == 200
    assert served.samples("run-2") == 409
    assert served.samples(None) == 409
    assert served.reached == [GENERATE_PATH]


def test_other_paths_need_no_weights_unless_they_ask_for_some(served: Served) -> None:
    assert asyncio.run(served.ask("GET", "/v1/models"))[0] == 200
    assert asyncio.run(served.ask("POST", "/v1/completions", {}, weights="run-1"))[0] == 409


def test_the_order_of_a_load(served: Served, file: Path) -> None:
    served.load(file, "run-1")
    assert served.engine.calls == ["pause abort", "igrpo_load_file", "igrpo_report", "reset", "version", "resume"]
    assert [rank.version for rank in served.engine.ranks] == ["run-1"]


def test_the_order_of_a_transfer(served: Served) -> None:
    assert asyncio.run(served.ask("POST", "/igrpo/transfer/start", {}))[0] == 200
    assert served.engine.calls == ["pause abort", "igrpo_watch", "start"]
    assert served.samples("run-1") == 409
    served.engine.calls.clear()
    asyncio.run(served.ask("POST", "/igrpo/transfer/finish", {"label": "run-1", "names": ["a"]}))
    assert served.engine.calls == ["finish", "igrpo_adopt", "igrpo_report", "reset", "version", "resume"]
    assert served.samples("run-1") == 200


def test_while_weights_come_in_there_are_none(served: Served, file: Path) -> None:
    served.load(file, "run-1")

    async def both() -> tuple[Any, ...]:
        load = served.ask("POST", "/igrpo/weights", {"path": str(file), "label": "run-2"})
        return await asyncio.gather(load, _soon(served.ask("POST", GENERATE_PATH, {}, weights="run-1")))

    (loaded, _), (refused, reply) = asyncio.run(both())
    assert (loaded, refused, reply["weights"]) == (200, 409, None)


async def _soon(request: Any) -> Any:
    await asyncio.sleep(0)
    return await request


def test_what_several_clients_ask_for_is_loaded_once(served: Served, file: Path) -> None:
    async def three() -> list[Any]:
        body = {"path": str(file), "label": "run-1"}
        return await asyncio.gather(*(served.ask("POST", "/igrpo/weights", body) for _ in range(3)))

    assert [status for status, _ in asyncio.run(three())] == [200] * 3
    assert served.engine.calls.count("igrpo_load_file") == 1


@pytest.mark.parametrize("fails", ["igrpo_load_file", "igrpo_report", "reset", "no reset", "version"])
def test_a_failed_load_leaves_no_weights_and_a_working_server(served: Served, file: Path, fails: str) -> None:
    served.load(file, "run-1")
    served.engine.fails = fails
    status, reply = served.load(file, "run-2")
    assert status == 500
    assert ("KeyError" in reply["error"]) == (fails != "no reset")
    assert served.engine.calls[-1] == "resume"
    assert served.samples("run-1") == served.samples("run-2") == 409


def test_only_files_of_weights_are_loaded(served: Served, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "w.pt"
    other.write_bytes(b"")
    assert served.load(other, "a")[0] == 400
    assert served.load(Path("w.safetensors"), "a")[0] == 400
    assert served.load(tmp_path / "absent.safetensors", "a")[0] == 404
    assert served.engine.calls == []


def test_only_files_of_the_given_folder_are_loaded(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("IGRPO_WEIGHTS_DIR", str(folder))
    served = Served()
    (folder / "link.safetensors").symlink_to(file)
    assert served.load(file, "a")[0] == 403
    assert served.load(folder / ".." / "w.safetensors", "a")[0] == 403
    assert served.load(folder / "link.safetensors", "a")[0] == 403
    inside = folder / "in.safetensors"
    inside.write_bytes(b"")
    assert served.load(inside, "a")[0] == 200


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"label": 3, "path": "/a.safetensors"}', b'{"label": "a"}'])
def test_a_request_of_another_form_is_refused(served: Served, body: bytes) -> None:
    assert asyncio.run(served.ask("POST", "/igrpo/weights", body))[0] == 400
    assert served.engine.calls == []


def test_every_path_but_health_needs_the_key(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    served = Served()
    paths = [("GET", "/igrpo/weights"), ("POST", "/igrpo/weights"), ("GET", "/igrpo/fingerprints"), ("GET", "/metrics"),
             ("POST", "/igrpo/transfer/init"), ("POST", GENERATE_PATH), ("POST", "/tokenize"), ("POST", "/v1/completions")]  # fmt: skip
    for method, path in paths:
        for key in (None, "", "secre", "secrets", "SECRET"):
            assert asyncio.run(served.ask(method, path, {}, key=key))[0] == 401, (path, key)
    assert served.reached == []
    assert served.engine.calls == []
    assert asyncio.run(served.ask("GET", "/health"))[0] == 200
    assert asyncio.run(served.ask("GET", "/metrics", key="secret"))[0] == 200
    assert asyncio.run(served.ask("GET", "/igrpo/weights", key="secret"))[1]["weights"] is None


def test_every_start_has_a_name_of_its_own(served: Served) -> None:
    _, first = asyncio.run(served.ask("GET", "/igrpo/weights"))
    _, same = asyncio.run(served.ask("GET", "/igrpo/weights"))
    _, second = asyncio.run(Served().ask("GET", "/igrpo/weights"))
    assert first == same
    assert first["boot"] != second["boot"]
