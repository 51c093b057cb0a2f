"""Calls to every engine behind one vLLM server, and the proof that all of them have the same weights.

With ``--data-parallel-size`` vLLM runs several engines behind one address. Its own calls (such as ``collective_rpc``)
reach all of them but return only the first engine's answer, which proves nothing about the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

_POLL_S = 1.0


async def unless_dead(engine: Any, call: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Return the result of a call to vLLM, unless one of its engines dies: vLLM itself would wait for ever.

    Raises:
        RuntimeError: an engine died before the call returned.
    """
    task = asyncio.ensure_future(call)
    while not (await asyncio.wait({task}, timeout=_POLL_S))[0]:
        if engine.errored:
            task.cancel()
            raise RuntimeError("an engine of the server died")
    return task.result()


async def ask_engines(engine: Any, method: str, *args: Any) -> list[Any]:
    """Call a method of vLLM's engine core in every engine, and return the answers by data-parallel rank.

    Args:
        engine: vLLM's engine client (``AsyncLLM``).

    Raises:
        RuntimeError: not every engine answered.
        Exception: the call failed in an engine.
    """
    answers: list[Any] = await engine.engine_core.call_utility_all_async(method, *args)
    engines = engine.vllm_config.parallel_config.data_parallel_size
    if len(answers) != engines:
        raise RuntimeError(f"{len(answers)} of {engines} engines answered {method}")
    return answers


async def ask_workers(engine: Any, method: str, *args: Any) -> list[Any]:
    """Call a method of every worker of every engine, and return the answers by data-parallel rank, then by worker.

    Raises:
        Exception: see `ask_engines`.
    """
    by_engine = await ask_engines(engine, "collective_rpc", method, None, args, None)
    return [answer for answers in by_engine for answer in answers]


async def pause(engine: Any) -> None:
    """Abort all requests and pause sampling in every engine.

    Raises:
        RuntimeError: an engine is not paused; names its data-parallel rank.
    """
    await engine.pause_generation(mode="abort", clear_cache=True)
    for rank, paused in enumerate(await ask_engines(engine, "is_scheduler_paused")):
        if not paused:
            raise RuntimeError(f"the engine of data-parallel rank {rank} did not pause: restart the server")


async def stamp(engine: Any, label: str) -> None:
    """Make every engine stamp its samples with ``label``.

    Raises:
        RuntimeError: an engine has another label; names its data-parallel rank.
    """
    await engine.update_weight_version(label)
    for rank, version in enumerate(await ask_engines(engine, "get_weight_version")):
        if version != label:
            raise RuntimeError(
                f"the engine of data-parallel rank {rank} stamps samples with {version}, not with {label}: restart "
                "the server"
            )


async def check_loaded(engine: Any, label: str) -> None:
    """Ask every worker of every engine if it has loaded the weights ``label``, with the same values as the others.

    Raises:
        RuntimeError: a worker is missing or has other weights; names its data-parallel rank.
    """
    reports = await ask_workers(engine, "igrpo_report")
    parallel = engine.vllm_config.parallel_config
    _check_reports(reports, label, engines=parallel.data_parallel_size, workers=parallel.world_size)


def _check_reports(reports: Sequence[Mapping[str, Any]], label: str, *, engines: int, workers: int) -> None:
    found = sorted((report["data_parallel_rank"], report["worker"]) for report in reports)
    expected = [(rank, worker) for rank in range(engines) for worker in range(workers)]
    if found != expected:
        raise RuntimeError(f"the workers that answer have the (data-parallel rank, rank) {found}, not {expected}")
    for report in reports:
        where = f"worker {report['worker']} of data-parallel rank {report['data_parallel_rank']}"
        if report["label"] != label:
            raise RuntimeError(f"{where} has the weights {report['label']}, not {label}: restart the server")
        if report["digest"] != reports[0]["digest"]:
            raise RuntimeError(
                f"{where} received other values under {label} than data-parallel rank "
                f"{reports[0]['data_parallel_rank']}: if rollout.weights_dir is a network folder, check that it shows "
                "all processes the same file"
            )
