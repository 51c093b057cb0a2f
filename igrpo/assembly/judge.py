"""Factory of the generative judge, with its backend, cache and record of costs."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import torch

from igrpo import distributed
from igrpo.assembly.vllm import check_cpu_heads
from igrpo.generation.base import SamplingParams
from igrpo.generation.local.checks import check_decoding
from igrpo.generation.local.engine import LocalEngine
from igrpo.generation.vllm.frozen import VllmFrozenEngine
from igrpo.generation.vllm.launch import is_loopback
from igrpo.generation.vllm.served import ServedModel
from igrpo.models.cache import cache_root
from igrpo.models.load import load_policy, load_shape
from igrpo.models.tokenizer import stop_tokens
from igrpo.rewards.base import Reward
from igrpo.rewards.judge.backend import Backend
from igrpo.rewards.judge.engine import EngineBackend, Sampler
from igrpo.rewards.judge.judge import Judge
from igrpo.rewards.judge.openai_client import OpenAIBackend
from igrpo.rewards.judge.parsing import SCHEMA
from igrpo.rewards.judge.store import Prices, ScoreCache, Spending
from igrpo.settings.judge import GenerativeJudgeConfig, JudgeConfig, JudgeLocalConfig, JudgeVllmConfig

_FREE = Prices(input=0.0, output=0.0, max_cost=None)


def build_judge(
    config: GenerativeJudgeConfig,
    verifier: Reward,
    ledger: Path | None,
    *,
    setting: str = "reward",
    today: date | None = None,
) -> Judge:
    """Build a judge, with the rule-based verifier next to it.

    Args:
        ledger: file in which the run keeps the judge's costs (None: in memory).
        setting: dotted path of the judge's settings, for messages.
        today: see `igrpo.rewards.judge.engine.EngineBackend`.

    Raises:
        ValueError: a model cannot be loaded here.
    """
    backend, prices, concurrency = _backend(config, setting, today)
    rank, world = distributed.rank(), distributed.world()
    return Judge(
        config,
        backend,
        cache=ScoreCache(_cache_file(config.cache)),
        spending=Spending(ledger, config.model, prices, process=rank, processes=world, setting=setting),
        verifier=verifier,
        concurrency=concurrency,
    )


def _cache_file(setting: str | None) -> Path | None:
    if setting is None:
        return None
    return cache_root() / "judge.sqlite" if setting == "auto" else Path(setting).expanduser().absolute()


def _backend(config: GenerativeJudgeConfig, setting: str, today: date | None) -> tuple[Backend, Prices, int]:
    """Return the backend, its prices and the number of concurrent requests (for an engine, twice its batch size)."""
    if isinstance(config, JudgeConfig):
        # proxies in the environment are for other machines
        remote = not is_loopback(urlsplit(config.base_url).hostname or "")
        prices = Prices(config.input_price, config.output_price, config.max_cost)
        return OpenAIBackend(config, setting=setting, trust_env=remote), prices, config.concurrency
    if isinstance(config, JudgeVllmConfig):
        return _vllm(config, setting, today), _FREE, 2 * config.max_num_seqs
    assert isinstance(config, JudgeLocalConfig)
    return _local(config, setting, today), _FREE, 2 * config.max_batch_rows


def _local(config: JudgeLocalConfig, setting: str, today: date | None) -> Backend:
    cuda = torch.cuda.is_available() if config.device == "auto" else config.device == "cuda"
    model: Any
    try:
        model, tokenizer = load_policy(
            config.model,
            dtype=config.dtype,
            attention=None,
            revision=config.revision,
            trust_remote_code=config.trust_remote_code,
        )
    except ValueError as error:
        raise _of_the_judge(error, setting) from error
    model.requires_grad_(requires_grad=False)
    model.to(torch.device("cuda", distributed.local_rank()) if cuda else torch.device("cpu"))
    engine = LocalEngine(model, tokenizer, max_batch_rows=config.max_batch_rows)
    check_decoding(model)
    return _engine_backend(config, engine, model, tokenizer, today=today)


def _vllm(config: JudgeVllmConfig, setting: str, today: date | None) -> Backend:
    try:
        shape, tokenizer = load_shape(
            config.model, revision=config.revision, trust_remote_code=config.trust_remote_code
        )
    except ValueError as error:
        raise _of_the_judge(error, setting) from error
    check_cpu_heads(shape.config)
    served = ServedModel.named(config.model, config.revision, trust_remote_code=config.trust_remote_code)
    schema = SCHEMA if config.structured == "json_schema" else None
    engine = VllmFrozenEngine(shape, tokenizer, served, config, setting=f"{setting}.max_model_len", schema=schema)
    return _engine_backend(config, engine, shape, tokenizer, today=today, structured=config.structured)


def _of_the_judge(error: ValueError, setting: str) -> ValueError:
    return ValueError(str(error).replace("model.name_or_path=", f"{setting}.model=", 1))


def _engine_backend(
    config: JudgeLocalConfig | JudgeVllmConfig,
    engine: Sampler,
    model: Any,
    tokenizer: Any,
    *,
    today: date | None,
    structured: Literal["json_schema", "off"] = "off",
) -> EngineBackend:
    params = SamplingParams(
        temperature=config.temperature,
        top_p=1.0,
        top_k=0,
        max_new_tokens=config.max_tokens,
        stop_token_ids=stop_tokens(model, tokenizer),
    )
    # completions may differ between engines and dtypes, so both are part of the name
    name = f"{config.model}@{config.revision} {config.name} {config.dtype}"
    return EngineBackend(engine, tokenizer, name, params, structured, today=today)
