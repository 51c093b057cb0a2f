"""The tiny model and its tokenizer: sizes, ids, exact round trips, and survival of being saved."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from igrpo.models.encoding import encode_exact
from igrpo.models.tiny import TinyShape, build_tiny_model
from igrpo.models.tiny_tokenizer import VOCABULARY, build_tiny_tokenizer, question_text, refinement_text

TOKENIZER = build_tiny_tokenizer()
SMALL = TinyShape(hidden=16, layers=1, heads=2, mlp=16)
PROBLEM, SOLUTION = "6 -7 *8", "6-7=9*8=2\\boxed{2}"

#: Ids of the specification: 0-2 pad, bos, eos; 3-7 the markers; 8-17 digits; 18-20 + - *; 21 space; 22 }; 23-32 =0 to =9.
QUESTION_IDS = [1, 3, 14, 21, 19, 15, 21, 20, 16, 4]
SOLUTION_IDS = [14, 19, 15, 32, 20, 16, 25, 7, 10, 22]
ORDINARY_IDS = range(3, 33)


@pytest.fixture(scope="module", params=["built", "reloaded alone", "reloaded beside a model"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    """Beside a model AutoTokenizer picks Qwen2's own class, which must not change a single id."""
    if request.param == "built":
        return TOKENIZER
    directory = tmp_path_factory.mktemp("tokenizer")
    TOKENIZER.save_pretrained(directory)
    if request.param == "reloaded beside a model":
        build_tiny_model(SMALL, 0).save_pretrained(directory)
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(directory)
    return loaded


def test_forty_ids(tokenizer: PreTrainedTokenizerBase) -> None:
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    assert len(tokenizer) == len(VOCABULARY) == len(set(VOCABULARY)) == 40
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert [tokenizer.convert_tokens_to_ids(token) for token in ("Problem:", "\\boxed{", "9", "}", "=0", "=9")] == [
        3, 7, 17, 22, 23, 32,
    ]  # fmt: skip


def test_the_prompts_of_the_specification(tokenizer: PreTrainedTokenizerBase) -> None:
    assert encode_exact(tokenizer, question_text(PROBLEM)) == QUESTION_IDS
    assert encode_exact(tokenizer, refinement_text(PROBLEM, SOLUTION)) == [*QUESTION_IDS[:-1], 5, *SOLUTION_IDS, 6]
    assert encode_exact(tokenizer, f"{SOLUTION}<eos>") == [*SOLUTION_IDS, 2]
    assert tokenizer.decode([*SOLUTION_IDS, 2], skip_special_tokens=True) == SOLUTION


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(list(ORDINARY_IDS)), max_size=40))
def test_every_sequence_of_ids_is_the_encoding_of_its_text(ids: list[int]) -> None:
    assert encode_exact(TOKENIZER, TOKENIZER.decode(ids)) == ids


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="0123456789+-* }", max_size=30))
def test_no_space_is_inserted_or_lost(text: str) -> None:
    assert TOKENIZER.decode(encode_exact(TOKENIZER, text)) == text


@pytest.mark.parametrize(
    ("text", "character", "position"),
    [("6 /7", "/", 2), ("6-7=", "=", 3), ("=x", "=", 0), ("é", "é", 0), ("6\n", "\n", 1), ("Problem 6", "P", 0)],
)
def test_unknown_characters_are_errors(
    tokenizer: PreTrainedTokenizerBase, text: str, character: str, position: int
) -> None:
    with pytest.raises(ValueError, match="the tokenizer cannot encode") as caught:
        encode_exact(tokenizer, text)
    start = f"the tokenizer cannot encode {character!r} (character {position} of {text!r}): it comes back as "
    assert str(caught.value).startswith(start)


def test_parameters_of_the_default_shape() -> None:
    """40 * 96 embeddings; a layer: 3 (96^2 + 96) + 96^2 + 3 * 96 * 256 + 2 * 96 = 111,072; the last norm 96."""
    model = build_tiny_model(TinyShape(), seed=0)
    parameters = list(model.parameters())
    assert sum(parameter.numel() for parameter in parameters) == 40 * 96 + 3 * 111_072 + 96 == 337_152
    assert {parameter.dtype for parameter in parameters} == {torch.float32}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not model.training


def test_the_seed_decides_the_weights_and_nothing_else_changes() -> None:
    before = torch.get_rng_state()
    one, same, other = (build_tiny_model(SMALL, seed).model.embed_tokens.weight for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_model_is_saved_and_loaded(tmp_path: Path) -> None:
    model = build_tiny_model(SMALL, 0)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.tensor([QUESTION_IDS])
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, model(ids).logits)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"layers": 0}, r"^the tiny model's layers=0: it must be at least 1$"),
        ({"hidden": 20, "heads": 4}, r"^the tiny model's hidden=20 must be a multiple of twice its heads=4$"),
    ],
)
def test_shapes_that_cannot_be(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TinyShape(**sizes)
