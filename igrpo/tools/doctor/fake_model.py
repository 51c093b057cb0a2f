"""Measurement of a model without its weights: operations, cached states, and activations saved for the backward pass.

transformers' own code runs on torch's fake tensors, which have a shape, a type and a device, but no values. Layers that
are alike run at most twice and stand for each other, so that a large model takes no longer than a small one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import AttentionInterface, AutoModelForCausalLM, PretrainedConfig

from igrpo.models.flops import ModelShape
from igrpo.models.load import Attention, AttentionError, checked_attention, decoder_layers, set_attention
from igrpo.tools.doctor.activations import Bytes, Saved
from igrpo.tools.doctor.kernels import FakeExperts, flash_attention, is_mamba, mamba

#: Lengths of the measured sequences, in tokens. Their common factor divides no width of a model.
_SHORT, _MIDDLE, _LONG = 31, 62, 93

#: Stands for flash_attention_2, which runs on GPUs only. transformers takes names with "flash" for packages.
_FUSED: Final = "igrpo_doctor"


class FakeModel:
    """Causal language model without storage.

    Args:
        config: the model's configuration.
        trust_remote_code: run code that comes with the model.
    """

    def __init__(self, config: PretrainedConfig, *, trust_remote_code: bool = False) -> None:
        with torch.device("meta"):
            self.model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                copy.deepcopy(config), attn_implementation="eager", trust_remote_code=trust_remote_code
            ).eval()
        self.layers = decoder_layers(self.model)
        alike: dict[str, list[int]] = {}
        for index, layer in enumerate(self.layers):
            alike.setdefault(_kind(layer), []).append(index)
        self._alike = list(alike.values())
        self._mode = FakeTensorMode()

    def count_operations(self) -> ModelShape:
        """Count multiply-adds by torch's counter.

        Attention is counted over the whole context, even where a layer attends to a window only.
        """
        self._use(torch.float32)
        short, long = self._operations(_SHORT), self._operations(_LONG)
        attention = (long * _SHORT - short * _LONG) / (_LONG * _SHORT * (_LONG - _SHORT))
        layers = short / _SHORT - attention * _SHORT
        head = self.model.get_output_embeddings().weight.numel()
        return ModelShape(round(layers / 2), round(attention / 2), head)

    def cached_numbers(self) -> tuple[int, int]:
        """Return how many numbers the cache holds: keys and values per token, and recurrent states per sequence."""
        self._use(torch.float32)
        short, long = (self._cached(tokens) for tokens in (_SHORT, _MIDDLE))
        per_token = (long - short) // (_MIDDLE - _SHORT)
        return per_token, short - per_token * _SHORT

    def saved(self, attention: Attention, dtype: torch.dtype, *, autocast: bool) -> Saved:
        """Measure the activations that a forward pass saves.

        Args:
            attention: the attention implementation.
            dtype: type of the weights.
            autocast: matrix products are computed in bfloat16 by autocast.

        Raises:
            AttentionError: the model does not support this attention.
        """
        self._attend(attention)
        self._use(dtype)
        runs = [self._saved(tokens, autocast=autocast) for tokens in (_SHORT, _MIDDLE, _LONG)]
        sums = {
            index: _fit(*(sum(size for layer, size in run if layer == index) for run in runs))
            for index in range(-1, len(self.layers))
        }
        outside, layers = sums[-1], [Bytes()] * len(self.layers)
        for alike in self._alike:
            first, second = alike[0], alike[:2][-1]
            outside += sums[first] - sums[second]  # the first layer saves what all of them share
            for index in alike:
                layers[index] = sums[second]
        widest = max(size for _, size in runs[0] if size % _SHORT == 0) / _SHORT
        return Saved(tuple(layers), outside, widest)

    def _use(self, dtype: torch.dtype) -> None:
        """Give the weights that a forward pass reads fake storage on the CPU."""
        repeated = {module for alike in self._alike for index in alike[2:] for module in self.layers[index].modules()}
        fake: dict[Tensor, nn.Parameter] = {}  # tied weights stay tied
        with self._mode:
            for module in self.model.modules():
                if module in repeated:
                    continue
                for name, weight in module._parameters.items():
                    if weight is not None:
                        if weight not in fake:
                            fake[weight] = nn.Parameter(torch.empty(weight.shape, dtype=dtype))
                        module._parameters[name] = fake[weight]
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)

    def _attend(self, attention: Attention) -> None:
        checked_attention(self.model.config, attention)
        if attention != "flash_attention_2":
            set_attention(self.model, attention)
            return
        if not self.model._supports_flash_attn:
            raise AttentionError(attention, "its model family has no such attention")
        AttentionInterface.register(_FUSED, flash_attention)
        self.model.set_attn_implementation(_FUSED)

    def _operations(self, tokens: int) -> int:
        self.model.set_attn_implementation("eager")  # of matrix products, all of which the counter knows
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            counted, before = dict.fromkeys(range(-1, len(self.layers)), 0), 0

            def left(index: int) -> None:
                nonlocal before
                after = counter.get_total_flops()
                counted[index] += after - before
                before = after

            self._run(tokens, left, experts="batched_mm")
            left(-1)
        return counted[-1] + sum(counted[alike[0]] * len(alike) for alike in self._alike)

    def _cached(self, tokens: int) -> int:
        self.model.set_attn_implementation("eager")
        with torch.no_grad():
            output = self._run(tokens, lambda index: None, experts="batched_mm", use_cache=True)
        states = output.get("past_key_values", output.get("cache_params"))
        if states is None:
            raise ValueError("its forward pass returns no cache")
        held = [sum(tensor.numel() for tensor in _tensors(vars(layer))) for layer in states.layers]
        return sum(held[alike[0]] * len(alike) for alike in self._alike)

    def _saved(self, tokens: int, *, autocast: bool) -> list[tuple[int, int]]:
        """Return (layer, bytes) of each saved storage in the order of saving; the layer is -1 outside of the layers."""
        seen = {parameter.untyped_storage()._cdata for parameter in self.model.parameters()}
        new: list[torch.UntypedStorage] = []  # kept, so that no identity is used twice
        found: list[tuple[int, int]] = []

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in seen:
                seen.add(storage._cdata)
                new.append(storage)
            return tensor

        def left(index: int) -> None:
            found.extend((index, storage.nbytes()) for storage in new[len(found) :])

        half = torch.autocast("cpu", torch.bfloat16, enabled=autocast, cache_enabled=False)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), half:
            self._run(tokens, left, experts="grouped_mm")
        left(-1)
        return found

    def _run(self, tokens: int, left: Callable[[int], None], *, experts: str, use_cache: bool = False) -> Any:
        """Run the decoder; ``left`` is called at the end of each part with its layer (-1: outside of the layers)."""
        if self.model._can_set_experts_implementation():
            self.model.set_experts_implementation(experts)
        with ExitStack() as stack:
            for alike in self._alike:
                outputs: list[Any] = []
                for index in alike:
                    forward = _first_two(index, self.layers[index].forward, outputs, left)
                    stack.enter_context(_replaced(self.layers[index], forward))
            if not use_cache:
                for mixer in filter(is_mamba, self.model.modules()):
                    stack.enter_context(_replaced(mixer, partial(mamba, mixer)))
            stack.enter_context(FakeExperts())
            stack.enter_context(self._mode)
            ids = torch.zeros(1, tokens, dtype=torch.long)
            return self.model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=use_cache)


def _kind(layer: nn.Module) -> str:
    """Return a text that is the same for layers that compute alike."""
    settings = [
        (name, value)
        for module in layer.modules()
        for name, value in vars(module).items()
        if isinstance(value, int | float | str | None) and name not in {"layer_idx", "layer_id"}
    ]
    return f"{layer} {settings}"


def _first_two(
    index: int, forward: Callable[..., Any], outputs: list[Any], left: Callable[[int], None]
) -> Callable[..., Any]:
    """Return a ``forward`` that adds to ``outputs``, the outputs of layers that are alike, or repeats its second."""

    def run(*arguments: Any, **named: Any) -> Any:
        left(-1)
        if len(outputs) < 2:
            outputs.append(forward(*arguments, **named))
        left(index)
        return outputs[-1]

    return run


@contextmanager
def _replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    module.forward = forward
    try:
        yield
    finally:
        del module.forward


def _fit(short: float, middle: float, long: float) -> Bytes:
    """Return the bytes for any number of tokens from those of the three lengths that are measured."""
    step = _MIDDLE - _SHORT
    pair = (long - 2 * middle + short) / (2 * step**2)
    token = (middle - short) / step - pair * (_SHORT + _MIDDLE)
    return Bytes(short - _SHORT * (token + pair * _SHORT), token, pair)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
