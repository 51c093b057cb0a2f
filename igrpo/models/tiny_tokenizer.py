"""The tokenizer of the tiny model: 40 ids, as a ``PreTrainedTokenizerFast`` that can be saved and loaded.

``=d`` is one token, so that a question and its solution advance by the same number of tokens per step; without the
merge even a larger model stayed at chance. Every sequence of ordinary ids is the encoding of its own text.

The longer tokens are *added* tokens over a byte-level alphabet without merges. Reason: transformers 5 loads the
tokenizer of any Qwen2 directory with Qwen2's own text splitting, whatever the directory says. Added tokens are not
affected.
"""

from __future__ import annotations

from typing import Final

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

VOCABULARY_SIZE: Final = 40
PAD, BOS, EOS, UNKNOWN = "<pad>", "<bos>", "<eos>", "<unk>"
_MARKERS: Final = ("Problem:", "Solution:", "Draft:", "Refine:", "\\boxed{")
_CHARACTERS: Final = tuple("0123456789+-* }")
_RESULTS: Final = tuple(f"={digit}" for digit in range(10))
_USED: Final = (PAD, BOS, EOS, *_MARKERS, *_CHARACTERS, *_RESULTS, UNKNOWN)
_RESERVED: Final = tuple(f"<reserved_{i}>" for i in range(VOCABULARY_SIZE - len(_USED)))

#: All tokens; the index of a token is its id.
VOCABULARY: Final = (*_USED, *_RESERVED)


def build_tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer. Unknown text becomes ``<unk>`` or is dropped; ``encode_exact`` raises an error instead."""
    space = "Ġ"  # how the byte-level alphabet writes a space
    ids = {token if token != " " else space: i for i, token in enumerate(VOCABULARY)}
    backend = Tokenizer(models.BPE(vocab=ids, merges=[], unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens([AddedToken(token, normalized=False) for token in (*_MARKERS, *_RESULTS)])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNKNOWN,
        additional_special_tokens=list(_RESERVED),
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=512,
    )


def question_text(problem: str) -> str:
    """Return the prompt of the tiny task for a bare question."""
    return f"{BOS}Problem:{problem}Solution:"


def refinement_text(problem: str, *drafts: str) -> str:
    """Return the prompt of the tiny task for a question with one or more drafts."""
    shown = "".join(f"Draft:{draft}" for draft in drafts)
    return f"{BOS}Problem:{problem}{shown}Refine:"
