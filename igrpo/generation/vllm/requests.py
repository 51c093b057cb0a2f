"""Handling of requests and answers, shared by both vLLM engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from igrpo.generation.base import SamplingParams
from igrpo.generation.completions import CompletionMaker
from igrpo.generation.local.checks import check_request
from igrpo.models.flops import Work, decode_work, model_shape, prefill_work
from igrpo.types import Completion

#: vLLM raises lower temperatures to this one, with a warning.
_LOWEST_TEMPERATURE = 0.01


@dataclass(frozen=True, slots=True)
class VllmSample:
    """A sample as returned by vLLM.

    Holds the tokens, the log-prob of each, the number of prompt tokens that came from vLLM's cache, and the versions of
    the weights that generated the tokens, in order.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    cached_tokens: int
    versions: tuple[str, ...]
    finish_reason: str


def sampling_arguments(params: SamplingParams, seed: int) -> dict[str, Any]:
    """Return the arguments of vLLM's SamplingParams.

    Only our stop tokens stop a sample; those of the model's own settings are disabled.
    """
    return {
        "n": 1,
        "seed": seed,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "top_k": params.top_k,
        "max_tokens": params.max_new_tokens,
        "stop_token_ids": list(params.stop_token_ids),
        "ignore_eos": True,
        "logprobs": 0,
        "detokenize": False,
    }


class Requests:
    """Checks requests, turns answers into completions, and counts the work of both."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_model_len: int,
        *,
        setting: str = "rollout.max_model_len",
    ) -> None:
        self.prefilled_tokens = 0
        self.generated_tokens = 0
        self.flops = 0
        self._shape = model_shape(model)
        embedding = model.get_input_embeddings().weight
        assert isinstance(embedding, Tensor)
        self._vocabulary = embedding.shape[0]
        self._completions = CompletionMaker(tokenizer)
        self._max_model_len, self._setting = max_model_len, setting

    def check(self, prompt: Sequence[int], params: SamplingParams, seeds: Sequence[int]) -> None:
        """Raise if the request cannot be sampled as given.

        Raises:
            ValueError: names the setting, its value and its range.
        """
        check_request(prompt, params, seeds, self._vocabulary, None)
        wanted = len(prompt) + params.max_new_tokens
        if wanted > self._max_model_len:
            raise ValueError(
                f"a prompt of {len(prompt)} tokens and max_new_tokens={params.max_new_tokens} make {wanted}, and the "
                f"engine was started for {self._max_model_len} ({self._setting}): raise it, or shorten them"
            )
        if 0 < params.temperature < _LOWEST_TEMPERATURE:
            raise ValueError(
                f"temperature={params.temperature}: vLLM samples at {_LOWEST_TEMPERATURE} or above; set that, "
                "or 0 for greedy"
            )

    def completion(self, prompt: Sequence[int], params: SamplingParams, answer: VllmSample, version: int) -> Completion:
        """Build the completion of a finished answer.

        At temperature 0 the distribution is one point, so its log-probs are 0.
        """
        assert answer.token_ids, "vLLM returned no token"
        assert len(answer.token_ids) == len(answer.logprobs), "one log-prob per token"
        self._count(len(prompt), answer)
        logprobs = answer.logprobs if params.temperature > 0 else (0.0,) * len(answer.logprobs)
        return self._completions.make(
            answer.token_ids,
            params.stop_token_ids,
            logprobs,
            sampling_entropies=None,
            policy_entropies=None,
            version=version,
        )

    def _count(self, prompt: int, answer: VllmSample) -> None:
        cached = answer.cached_tokens
        whole, before = prefill_work(prompt), prefill_work(cached)
        computed = Work(prompt - cached, whole.attended - before.attended, 1)
        self.prefilled_tokens += prompt - cached
        self.generated_tokens += len(answer.token_ids)
        self.flops += self._shape.flops(computed + decode_work(prompt, len(answer.token_ids)))


class RequestEngine:
    """Base class of both vLLM engines: open/closed state, weights version and work counters."""

    def __init__(self, requests: Requests) -> None:
        self.busy_seconds = 0.0
        self._requests = requests
        self._version: int | None = None
        self._closed = False

    @property
    def prefilled_tokens(self) -> int:
        return self._requests.prefilled_tokens

    @property
    def generated_tokens(self) -> int:
        return self._requests.generated_tokens

    @property
    def flops(self) -> int:
        return self._requests.flops

    def _accept(self, prompt: Sequence[int], params: SamplingParams, seeds: Sequence[int]) -> int:
        """Check a request; returns the version of the weights that will answer it.

        Raises:
            ValueError: the request cannot be sampled as given.
            RuntimeError: the engine is closed, or has received no weights yet.
        """
        self._requests.check(prompt, params, seeds)
        if self._closed:
            raise RuntimeError("the engine is closed")
        if self._version is None:
            raise RuntimeError("the engine has no weights before the first sync_weights")
        return self._version
