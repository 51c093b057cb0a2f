"""Attention for one query per row equals the formula in float64; other cases use transformers' own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from igrpo.generation.local import decode_attention as module
from igrpo.generation.local.decode_attention import decode_attention, sampling_mode, takes_decode_attention

from .conftest import make_model

HEADS, KEY_HEADS, WIDTH, DIM = 6, 2, 9, 4


class AttentionLayer(nn.Module):
    """Attributes of a layer that transformers' attention reads."""

    num_key_value_groups = HEADS // KEY_HEADS
    is_causal = True


def tensors(queries: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    query, key = torch.randn(3, HEADS, queries, DIM), torch.randn(3, KEY_HEADS, WIDTH, DIM)
    mask = torch.zeros(3, 1, queries, WIDTH).masked_fill(torch.rand(3, 1, queries, WIDTH) < 0.4, -1e9)
    mask[..., 0] = 0.0
    return query, key, torch.randn(3, KEY_HEADS, WIDTH, DIM), mask


def by_formula(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> Tensor:
    groups = HEADS // KEY_HEADS
    key, value = key.double().repeat_interleave(groups, 1), value.double().repeat_interleave(groups, 1)
    weights = (scaling * query.double() @ key.transpose(2, 3) + mask.double()).softmax(-1)
    return (weights @ value).transpose(1, 2)


@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_it_is_attention(queries: int, scaling: float | None) -> None:
    query, key, value, mask = tensors(queries)
    found, weights = decode_attention(AttentionLayer(), query, key, value, mask, scaling=scaling)
    expected = by_formula(query, key, value, mask, DIM**-0.5 if scaling is None else scaling)
    assert weights is None
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("queries", "changes", "own"),
    [
        (1, {}, True),
        (2, {}, False),  # a prompt
        (1, {"dropout": 0.5}, False),
        (1, {"position_bias": torch.zeros(1)}, False),
        (1, {"boolean": True}, False),
        (1, {"no_mask": True}, False),
    ],
)
def test_what_it_does_not_compute_itself(
    queries: int, changes: dict[str, Any], own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def theirs(*given: Any, **kwargs: Any) -> tuple[Tensor, None]:
        asked.append(given)
        return given[1], None

    monkeypatch.setattr(module, "sdpa_attention_forward", theirs)
    query, key, value, mask = tensors(queries)
    given: Any = None if changes.pop("no_mask", False) else mask == 0 if changes.pop("boolean", False) else mask
    layer = AttentionLayer()
    decode_attention(layer, query, key, value, given, **changes)
    assert asked == ([] if own else [(layer, query, key, value, given)])


def test_a_model_is_swapped_for_the_block_alone() -> None:
    model = make_model()
    model.train()
    assert takes_decode_attention(model)
    for swap in (True, False):
        with sampling_mode(model, swap_attention=swap):
            assert model.config._attn_implementation == (module.NAME if swap else "sdpa")
            assert not any(part.training for part in model.modules())
        assert model.config._attn_implementation == "sdpa"
        assert all(part.training for part in model.modules())
    eager = make_model(attn_implementation="eager")
    assert not takes_decode_attention(eager)
    assert eager.config._attn_implementation == "eager"
