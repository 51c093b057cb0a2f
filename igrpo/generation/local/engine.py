"""The local engine: samples from the trainer's own module, without a copy of the weights to synchronise.

One asyncio task decodes for all callers. Requests that arrive while it runs are prefilled and join the batch between
two decode steps, so drafts and refinements of many questions share one batch. Between steps the event loop runs other
work that is ready, such as rewards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from igrpo.generation.base import SamplingParams
from igrpo.generation.completions import CompletionMaker
from igrpo.generation.driver import Driver, give_up
from igrpo.generation.local.admission import Admission, Request, prefill_passes, take_admissions
from igrpo.generation.local.checks import check_model, check_request
from igrpo.generation.local.decode_attention import sampling_mode, takes_decode_attention
from igrpo.generation.local.decode_batch import DecodeBatch, DecodeRow, FinishedRow
from igrpo.generation.local.fast_decode import FastDecode
from igrpo.generation.local.kv_cache import Prefix
from igrpo.generation.local.prefill import embedding_weight
from igrpo.generation.local.prefix_cache import PrefixCache
from igrpo.models.flops import decode_work, model_shape, prefill_work
from igrpo.phases import phase
from igrpo.types import Completion


class LocalEngine:
    """An ``Engine`` for a Hugging Face causal LM with ordinary attention (Qwen2, Qwen3, Llama, GPT-2, ...).

    A sample depends on its seed, its prompt and the weights, and not on the other rows of the batch (up to the rounding
    of matrix products). Requests made at the same time, in the same order, give bitwise identical results. At
    temperature 0 the sampling distribution is a single point: log-probs and sampling entropies are 0.

    The counters cover the lifetime of the engine. ``prefilled_tokens`` counts the tokens of prompts, whole, so it is
    the same for any number of processes, and ``computed_prompt_tokens`` those that were actually computed.
    ``generated_tokens`` counts the new tokens that were returned, ``flops`` the operations of both, each prompt whole,
    and ``busy_seconds`` their wall time.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_batch_rows: int,
        max_prefill_tokens: int = 8192,
        fast_decode: bool = True,
        max_packed_mib: int = 2048,
        prefix_caching: bool = False,
    ) -> None:
        """Prepare to sample from ``model``, at the weights that it has when a rollout begins.

        Args:
            max_batch_rows: rows decoded together; requests beyond it wait, larger requests are split.
            max_prefill_tokens: padded prompt tokens per prefill pass (a single longer prompt is still accepted).
            fast_decode: decode Llama-like models on the CPU by `igrpo.generation.local.decode_paths.FusedDecoder`.
            max_packed_mib: limit of its packed copies of weights; the weights beyond it are used as they are.
            prefix_caching: within `keep_prompts`, do not compute again what a prompt has in common with an earlier one.

        Raises:
            ValueError: the model has state other than keys and values of all tokens, or a limit is below 1.
        """
        for name, limit in (("max_batch_rows", max_batch_rows), ("max_prefill_tokens", max_prefill_tokens)):
            if limit < 1:
                raise ValueError(f"{name}={limit}: must be at least 1")
        check_model(model)
        self.prefilled_tokens = 0
        self.computed_prompt_tokens = 0
        self.generated_tokens = 0
        self.flops = 0
        self.busy_seconds = 0.0
        self._model = model
        self._shape = model_shape(model)
        self._completions = CompletionMaker(tokenizer)
        self._vocabulary = embedding_weight(model).shape[0]
        config = model.config.get_text_config(decoder=True)
        self._max_positions: int | None = getattr(config, "max_position_embeddings", None)  # some have no limit
        self._swap_attention = takes_decode_attention(model)
        self._fast_decode = FastDecode(model, enabled=fast_decode, max_packed_bytes=max_packed_mib << 20)
        self._prefixes = PrefixCache(model, enabled=prefix_caching)
        self._max_rows = max_batch_rows
        self._max_prefill_tokens = max_prefill_tokens
        self._batch: DecodeBatch[Request] = DecodeBatch(model, max_batch_rows)
        self._live: list[Request] = []
        self._waiting: list[Request] = []
        self._driver = Driver(self._drive, self._abandon, "igrpo-decode")
        self._version = 0
        self._closed = False

    async def sample(
        self, prompt_ids: Sequence[int], params: SamplingParams, seeds: Sequence[int]
    ) -> tuple[Completion, ...]:
        """Sample completions; see ``Engine.sample``. Rows of a cancelled caller leave the batch before the next step.

        Raises:
            ValueError: a parameter, a token id or a seed is out of range, the prompt is empty, or prompt and new
                tokens do not fit the model.
            FloatingPointError: the model's logits are not finite. This and any other failure of the model reaches
                every waiting caller.
        """
        prompt, seeds = tuple(prompt_ids), tuple(seeds)
        check_request(prompt, params, seeds, self._vocabulary, self._max_positions)
        if self._closed:
            raise RuntimeError("the engine is closed")
        if not seeds:
            return ()
        loop = asyncio.get_running_loop()
        self._driver.ensure(loop)
        request = Request(prompt, params, seeds, loop.create_future())
        self._live.append(request)
        self._waiting.append(request)
        return await request.future

    def sync_weights(self, version: int) -> None:
        """Label all later samples with ``version``; the weights themselves are the trainer's.

        Raises:
            RuntimeError: samples are being decoded; they would mix two policies.
        """
        busy = sum(not request.future.done() and not request.future.get_loop().is_closed() for request in self._live)
        if busy:
            raise RuntimeError(f"sync_weights({version}) while {busy} requests are being decoded")
        self._version = version

    def keep_prompts(self) -> AbstractContextManager[None]:
        """Keep prompts in the block, in which the weights must not change; see `PromptKeeper`."""
        return self._prefixes.scope()

    def fingerprints(self) -> Mapping[str, str]:
        """Return no fingerprints: the engine uses the trainer's own weights."""
        return {}

    def close(self) -> None:
        """Fail the requests that still wait, and free the buffers. Safe to call twice."""
        self._closed = True
        self._abandon(RuntimeError("the engine was closed while this request was being decoded"))

    async def _drive(self) -> None:
        """Prefill and decode until no request is left."""
        finished: list[Request] = []
        with sampling_mode(self._model, self._swap_attention):
            await asyncio.sleep(0)  # let all callers that are ready join the first batch
            started = time.perf_counter()
            with self._fast_decode.rollout(self._batch):
                self.busy_seconds += time.perf_counter() - started
                while self._drop_cancelled():
                    started = time.perf_counter()
                    with phase("prefill"):
                        finished = self._admit_waiting()
                    if self._batch.rows:
                        with phase("decode"):
                            finished += self._complete(self._batch.step())
                    self.busy_seconds += time.perf_counter() - started
                    if self._waiting or self._batch.rows:
                        self._resolve(finished)
                        finished = []
                        await asyncio.sleep(0)
        self._resolve(finished)  # after sampling_mode has ended, so that callers find the model's own state restored

    def _drop_cancelled(self) -> bool:
        """Remove requests whose callers are gone; return True if any work is left."""
        if any(request.future.done() for request in self._live):
            self._live = [request for request in self._live if not request.future.done()]
            self._waiting = [request for request in self._waiting if not request.future.done()]
            gone = [slot for slot, row in enumerate(self._batch.rows) if row.owner not in self._live]
            if gone:
                self._batch.remove(gone)
        return bool(self._waiting or self._batch.rows)

    def _admit_waiting(self) -> list[Request]:
        """Prefill the prompts that fit and give them rows; returns requests that are already complete."""
        admissions = take_admissions(self._waiting, self._max_rows - len(self._batch), self._max_rows)
        finished: list[Request] = []
        for admission in admissions:
            if admission.request.prefix is not None:
                finished += self._join(admission.request.prefix, [admission])
        fresh = [admission for admission in admissions if admission.request.admitted == 0]
        parts: tuple[list[Admission], list[Admission]] = ([], [])  # a pass computes equally many tokens of each prompt
        for admission in fresh:
            parts[self._prefixes.known_tokens(admission.request.prompt) > 0].append(admission)
        for chunk in (chunk for part in parts for chunk in prefill_passes(part, self._max_prefill_tokens)):
            prompts = [admission.request.prompt for admission in chunk]
            prefix, computed = self._prefixes.prefill(prompts)
            self.prefilled_tokens += sum(len(prompt) for prompt in prompts)
            self.computed_prompt_tokens += computed
            self.flops += sum(self._shape.flops(prefill_work(len(prompt))) for prompt in prompts)
            finished += self._join(prefix, chunk)
        return finished

    def _join(self, prefix: Prefix, chunk: list[Admission]) -> list[Request]:
        """Add rows for the admitted seeds of each request; the prompts of ``prefix`` are in the order of ``chunk``."""
        rows: list[DecodeRow[Request]] = []
        sources: list[int] = []
        for source, admission in enumerate(chunk):
            request = admission.request
            first, request.admitted = request.admitted, request.admitted + admission.count
            for index in range(first, request.admitted):
                rows.append(DecodeRow(request, index, len(request.prompt), request.params, request.seeds[index]))
                sources.append(source)
            if request.admitted == len(request.seeds):
                request.prefix = None
            elif request.prefix is None:
                request.prefix = prefix.select(source)
        return self._complete(self._batch.admit(prefix, rows, sources))

    def _complete(self, rows: list[FinishedRow[Request]]) -> list[Request]:
        """Turn finished rows into completions, and return the requests whose completions are all done."""
        finished = []
        for done in rows:
            request = done.row.owner
            request.completions[done.row.index] = self._completion(done)
            self.flops += self._shape.flops(decode_work(done.row.prompt_length, len(done.token_ids)))
            if len(request.completions) == len(request.seeds):
                finished.append(request)
        return finished

    def _completion(self, done: FinishedRow[Request]) -> Completion:
        return self._completions.make(
            done.token_ids,
            done.row.params.stop_token_ids,
            done.logprobs,
            sampling_entropies=done.sampling_entropies,
            policy_entropies=done.policy_entropies,
            version=self._version,
        )

    def _resolve(self, finished: list[Request]) -> None:
        for request in finished:
            self._live.remove(request)
            if not request.future.done():
                completions = tuple(request.completions[index] for index in range(len(request.seeds)))
                self.generated_tokens += sum(len(completion.token_ids) for completion in completions)
                request.future.set_result(completions)

    def _abandon(self, error: BaseException) -> None:
        """Fail every request with ``error`` and drop all their state."""
        give_up([request.future for request in self._live], error)
        self._live.clear()
        self._waiting.clear()
        self._batch.clear()
