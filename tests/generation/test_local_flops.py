"""The engine's FLOPs: those of the shared prefills and of each decoded token, whatever shares a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from igrpo.generation.local.engine import LocalEngine
from igrpo.models.flops import Work, decode_work, model_shape, prefill_work

from .conftest import EOS, make_model, params, rule_out, sample_all

PROMPT = [1, 5, 9, 12, 20]
CALLS = [(PROMPT, params(max_new_tokens=12), range(9)), (PROMPT[:2], params(max_new_tokens=20), range(20, 27))]


def test_flops_count_a_shared_prompt_once(engine: LocalEngine, model: PreTrainedModel) -> None:
    shape = model_shape(model)
    groups = sample_all(engine, *CALLS)
    expected = Work()
    for (prompt, _, _), group in zip(CALLS, groups, strict=True):
        expected += sum((decode_work(len(prompt), len(done.token_ids)) for done in group), prefill_work(len(prompt)))
    assert len({len(done.token_ids) for group in groups for done in group}) > 3
    assert engine.flops == shape.flops(expected)


@pytest.mark.parametrize("rows", [7, 1])
def test_the_batch_changes_nothing(rows: int, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    whole = LocalEngine(model, tokenizer, max_batch_rows=64)
    split = LocalEngine(model, tokenizer, max_batch_rows=rows, max_prefill_tokens=4)
    tokens = [[done.token_ids for group in sample_all(e, *CALLS) for done in group] for e in (whole, split)]
    assert tokens[0] == tokens[1]
    assert whole.flops == split.flops > 0


def test_it_is_what_torch_counts(tokenizer: PreTrainedTokenizerFast) -> None:
    """One prompt and samples of one length: no padding; torch counts the masked half of the prefill's scores, too."""
    model: Any = make_model()
    model.set_attn_implementation("eager")
    rule_out(model, EOS)
    engine = LocalEngine(model, tokenizer, max_batch_rows=8)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        sample_all(engine, (PROMPT, params(max_new_tokens=6), range(4)))
    masked = model_shape(model).flops(Work(0, 5 * 5 - 5 * 6 // 2, 0))
    assert counter.get_total_flops() == engine.flops + masked
