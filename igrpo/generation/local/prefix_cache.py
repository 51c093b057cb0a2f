"""Keys and values of prompts that later prompts begin with, so that a question is computed once.

A refinement's prompt begins with the question's own prompt, which was prefilled when the drafts were sampled. Within
one scope (a rollout, or an evaluation, in which the weights do not change) the keys and values of prompts are kept, and
a later prompt that begins like one of them is computed from there on.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor
from transformers import PreTrainedModel

from igrpo.generation.local.kv_cache import Prefix
from igrpo.generation.local.prefill import Known, prefill
from igrpo.generation.local.windows import layer_windows
from igrpo.models.prefix_tree import common_tokens

#: Shorter common beginnings are computed again; copying them would cost as much.
_MIN_TOKENS = 8
#: Keys and values beyond this are not kept.
_MAX_BYTES = 512 << 20

Prompt = tuple[int, ...]


class PrefixCache:
    """Prefills prompts, and within ``scope`` takes over the beginnings of those that it has prefilled before."""

    def __init__(self, model: PreTrainedModel, *, enabled: bool) -> None:
        self._model = model
        # a windowed layer's mask is computed from the lengths of a whole prompt
        self._enabled = enabled and not any(layer_windows(model).values())
        self._open = False
        self._sorted: list[Prompt] = []
        self._stored: dict[Prompt, list[tuple[Tensor, Tensor]]] = {}
        self._bytes = 0

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Keep prompts until the end of the block, in which the weights must not change."""
        self._open = self._enabled
        try:
            yield
        finally:
            self.clear()
            self._open = False

    def clear(self) -> None:
        """Forget all prompts."""
        self._sorted.clear()
        self._stored.clear()
        self._bytes = 0

    def known_tokens(self, prompt: Prompt) -> int:
        """Return the number of first tokens of ``prompt`` whose keys and values are kept, 0 if they are few."""
        known = self._longest(prompt)
        return 0 if known is None else known.tokens

    def prefill(self, prompts: Sequence[Prompt]) -> tuple[Prefix, int]:
        """Prefill prompts of similar ``known_tokens``; return their prefix and the number of tokens computed."""
        known = [self._longest(prompt) for prompt in prompts]
        prefix, computed = prefill(self._model, prompts, known)
        if self._open:
            self._keep([prompt if have is None else None for prompt, have in zip(prompts, known, strict=True)], prefix)
        return prefix, computed

    def _longest(self, prompt: Prompt) -> Known | None:
        """Return the longest common beginning with a kept prompt, which is a neighbour in the sorted order."""
        place = bisect(self._sorted, prompt)
        best = None
        for other in self._sorted[max(0, place - 1) : place + 1]:
            # the last token is computed in any case, as its logits are needed
            common = min(common_tokens(other, prompt), len(prompt) - 1)
            if common >= max(_MIN_TOKENS, best.tokens + 1 if best else 0):
                best = Known(self._stored[other], common)
        return best

    def _keep(self, prompts: Sequence[Prompt | None], prefix: Prefix) -> None:
        """Keep the prompts that are not None, as far as there is room."""
        size = 2 * sum(layer.numel() * layer.element_size() for layer in prefix.keys)
        if self._bytes + size > _MAX_BYTES:
            return
        kept = False
        for i, prompt in enumerate(prompts):
            if prompt is None or prompt in self._stored:
                continue
            kept = True
            part = slice(-len(prompt), None)
            layers = zip(prefix.keys, prefix.values, strict=True)
            self._stored[prompt] = [(keys[i, :, part], values[i, :, part]) for keys, values in layers]
            insort(self._sorted, prompt)
        self._bytes += size * kept
