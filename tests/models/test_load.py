"""Loading policies from local directories, whole and broken, and the byte-level model."""

import json
import logging
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from igrpo.models.byte_level import ByteLevelShape, build_byte_level_tokenizer, make_byte_level_model
from igrpo.models.encoding import encode_exact
from igrpo.models.flops import model_shape
from igrpo.models.load import load_policy, load_shape, reference_copy
from igrpo.models.tiny import TinyShape, build_tiny_model
from igrpo.models.tiny_tokenizer import build_tiny_tokenizer

SMALL_BYTES = ByteLevelShape(hidden=16, layers=1, heads=2, mlp=16, max_positions=64)
BYTES = build_byte_level_tokenizer(chat_template=True)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def load(directory: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    return load_policy(str(directory), dtype="float32", attention="sdpa")


def save_tiny(directory: Path) -> Path:
    build_tiny_model(TinyShape(16, 1, 2, 16), 0).save_pretrained(directory)
    build_tiny_tokenizer().save_pretrained(directory)
    return directory


def test_a_shape_is_the_policy_without_its_values(tmp_path: Path) -> None:
    model, tokenizer = load(save_tiny(tmp_path))
    stops = tmp_path / "generation_config.json"
    stops.write_text(json.dumps({"eos_token_id": [2, 5]}), encoding="utf-8")
    shape, its_tokenizer = load_shape(str(tmp_path))
    assert {name: tuple(values.shape) for name, values in shape.named_parameters()} == {
        name: tuple(values.shape) for name, values in model.named_parameters()
    }
    assert {values.device.type for values in shape.parameters()} == {"meta"}
    assert model_shape(shape) == model_shape(model)
    assert its_tokenizer.get_vocab() == tokenizer.get_vocab()
    assert shape.generation_config is not None
    assert shape.generation_config.eos_token_id == [2, 5], "what the model's makers let it stop at"
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"^model\.name_or_path=.* cannot be loaded as a causal language model"):
        load_shape(str(tmp_path))


def test_a_saved_policy_comes_back(tmp_path: Path) -> None:
    model, tokenizer = load(save_tiny(tmp_path))
    original = build_tiny_model(TinyShape(16, 1, 2, 16), 0)
    ids = torch.tensor([encode_exact(tokenizer, "<bos>Problem:1 +2Solution:")])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, original(ids).logits)
    assert not model.training
    assert model.dtype == torch.float32
    assert load_policy(str(tmp_path), dtype="bfloat16", attention="eager")[0].dtype == torch.bfloat16


def test_a_generic_tokenizer_is_not_replaced(tmp_path: Path) -> None:
    """A byte-level tokenizer in a Qwen2 directory: AutoTokenizer would normalise its text."""
    model = build_tiny_model(TinyShape(16, 1, 2, 16), 0)
    model.resize_token_embeddings(len(BYTES))
    model.save_pretrained(tmp_path)
    BYTES.save_pretrained(tmp_path)
    decomposed = "e\u0301"
    _, tokenizer = load(tmp_path)
    assert tokenizer.decode(encode_exact(tokenizer, decomposed)) == decomposed
    replaced = AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="the tokenizer cannot encode"):
        encode_exact(replaced, decomposed)


def test_a_missing_padding_token_is_the_end_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_byte_level_model(tmp_path / "model", SMALL_BYTES, 0, chat_template=False)
    config = tmp_path / "model" / "tokenizer_config.json"
    declared = json.loads(config.read_text())
    del declared["pad_token"]
    config.write_text(json.dumps(declared))
    before = config.read_bytes()
    with caplog.at_level(logging.INFO, logger="igrpo"):
        _, tokenizer = load(tmp_path / "model")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert caplog.messages == [
        f"the tokenizer of {tmp_path / 'model'} has no padding token: padding with its end token"
    ]
    assert config.read_bytes() == before


def without_tokenizer(directory: Path) -> None:
    for path in save_tiny(directory).glob("tokenizer*"):
        path.unlink()


def without_end_token(directory: Path) -> None:
    config = save_tiny(directory) / "tokenizer_config.json"
    declared = json.loads(config.read_text())
    del declared["eos_token"]
    config.write_text(json.dumps(declared))


def with_a_large_tokenizer(directory: Path) -> None:
    save_tiny(directory)
    BYTES.save_pretrained(directory)


def cut_weights(directory: Path) -> None:
    weights = save_tiny(directory) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])


BERT = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=40)
T5 = T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=40)
CANNOT = "it cannot be loaded as a causal language model: "
BROKEN = [
    (lambda directory: None, CANNOT + r"Unrecognized model in .*"),
    (without_tokenizer, r"it has no tokenizer, save one there with tokenizer\.save_pretrained$"),
    (without_end_token, r"its tokenizer has no end token \(eos_token\): set one and save the tokenizer again$"),
    (with_a_large_tokenizer, r"its tokenizer has 262 tokens, the model's embedding 40: they do not match$"),
    (cut_weights, CANNOT + r".*incomplete metadata.*"),
    (lambda directory: BertModel(BERT).save_pretrained(directory), r"its files lack \d weights of a causal language"),
    (lambda directory: BertForMaskedLM(BERT).save_pretrained(directory), r"BertForMaskedLM sees the tokens to its"),
    (
        lambda directory: T5ForConditionalGeneration(T5).save_pretrained(directory),
        CANNOT + r"Unrecognized configuration class .*T5Config",
    ),
]


@pytest.mark.parametrize(("make", "message"), BROKEN)
def test_broken_directories_are_named(tmp_path: Path, make, message: str) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path)
    with pytest.raises(ValueError, match=rf"^model\.name_or_path={tmp_path}: {message}"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["./missing", "/missing/model", "a/b/c"])
def test_a_missing_directory_is_not_looked_for_on_the_hub(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^model\.name_or_path={name}: there is no such directory"):
        load(name)


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match=rf"^model\.name_or_path=nobody/nothing: there is no such directory.*{CANNOT}"):
        load("nobody/nothing")


def test_the_reference_stays_when_the_policy_moves() -> None:
    policy = build_tiny_model(TinyShape(16, 1, 2, 16), 0).train()
    reference = reference_copy(policy)
    assert not reference.training
    assert policy.training
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert all(parameter.requires_grad for parameter in policy.parameters())
    before = [parameter.clone() for parameter in reference.parameters()]
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(1)
    assert all(torch.equal(a, b) for a, b in zip(before, reference.parameters(), strict=True))


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_bytes_encode_any_unicode_text_exactly(text: str) -> None:
    assume(not any(token in text for token in BYTES.all_special_tokens))  # written out, they are their own ids
    ids = encode_exact(BYTES, text)
    assert len(ids) == len(text.encode())


def test_the_byte_level_model_is_a_plain_directory(tmp_path: Path) -> None:
    make_byte_level_model(tmp_path / "chat", ByteLevelShape(), 1, chat_template=True)
    model, tokenizer = load(tmp_path / "chat")
    assert isinstance(AutoTokenizer.from_pretrained(tmp_path / "chat"), PreTrainedTokenizerFast)
    assert 0.9e6 < sum(parameter.numel() for parameter in model.parameters()) < 1.2e6
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "1+1?"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|begin|><|system|>be brief<|end|><|user|>1+1?<|end|><|assistant|>"
    ids = encode_exact(tokenizer, text)
    # Five special tokens of the roles and ends, one begin; 8 + 4 bytes of text.
    assert len(ids) == 6 + 12
    out = model.generate(torch.tensor([ids]), max_new_tokens=4, do_sample=False)
    assert out.shape[1] <= len(ids) + 4


def test_the_byte_level_model_is_its_seeds(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_byte_level_model(tmp_path / name, SMALL_BYTES, seed, chat_template=False)
    assert torch.equal(torch.get_rng_state(), before)
    a, b, c = (AutoModelForCausalLM.from_pretrained(tmp_path / name).state_dict() for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["model.embed_tokens.weight"], c["model.embed_tokens.weight"])
    assert AutoTokenizer.from_pretrained(tmp_path / "a").chat_template is None
    with pytest.raises(ValueError, match="is not empty"):
        make_byte_level_model(tmp_path / "a", SMALL_BYTES, 1, chat_template=False)


def test_the_tokenizer_is_checked_before_weights_are_read(tmp_path: Path) -> None:
    save_tiny(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes(b"broken")

    def refuse(tokenizer: object) -> None:
        raise ValueError("prompt.refinement does not fit")

    with pytest.raises(ValueError, match=r"prompt\.refinement does not fit"):
        load_policy(str(tmp_path / "m"), dtype="float32", attention="sdpa", check_tokenizer=refuse)
