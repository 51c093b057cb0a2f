"""Load any Hugging Face causal language model with its tokenizer, from a directory or by name."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_layers import GradientCheckpointingLayer

from igrpo.models.files import gguf_problem, no_directory
from igrpo.models.tokenizer import check_fit, first_line, load_tokenizer, model_error

log = logging.getLogger(__name__)

DType = Literal["float32", "bfloat16", "float16"]
Attention = Literal["sdpa", "eager", "flash_attention_2"]
_DTYPES: Final[dict[str, torch.dtype]] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

#: Matches transformers' message that a family lacks an attention implementation.
_NO_ATTENTION: Final = re.compile(r"does not support .*attention", re.IGNORECASE)


class AttentionError(ValueError):
    """A model cannot compute the requested attention, or not in the way that its authors defined it."""

    def __init__(self, attention: str, problem: str) -> None:
        others = "eager" if attention == "sdpa" else "sdpa, or eager where the family has no sdpa"
        super().__init__(f"model.attention={attention}: {problem}; set it to {others}")


def load_policy(
    name_or_path: str,
    *,
    dtype: DType,
    attention: Attention | None,
    gguf_file: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    check_tokenizer: Callable[[PreTrainedTokenizerBase], object] | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a causal language model, in eval mode on the CPU, and its tokenizer.

    A tokenizer without a padding token uses the end token for padding, in memory only; the log says so.

    Args:
        name_or_path: a local directory, or a name on the hub.
        dtype: dtype of the weights; use float32 unless the hardware is faster in another dtype.
        attention: the attention implementation; None: sdpa, or eager where the family has no sdpa.
        gguf_file: a GGUF file in that location, whose weights are dequantised; None: the weights are safetensors.
        revision: commit, tag or branch on the hub.
        trust_remote_code: run code that comes with the model. Only for models whose code you have read.
        check_tokenizer: called with the tokenizer before the weights are read, which may take minutes.

    Raises:
        ValueError: no such directory or name, no tokenizer, no causal language model, or one without that attention;
            the message names the setting.
    """
    source = _source(name_or_path)
    if gguf_file is not None and (problem := gguf_problem(source, gguf_file)) is not None:
        raise ValueError(f"model.gguf_file={gguf_file}: {problem}")
    chosen: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    chosen |= {} if gguf_file is None else {"gguf_file": gguf_file}
    try:
        config = _load_config(source, chosen)
        tokenizer = load_tokenizer(source, chosen)
        if check_tokenizer is not None:
            check_tokenizer(tokenizer)
        model = _load_model(source, config, dtype, attention, chosen)
    except Exception as error:  # GGUF readers raise many types of error for a broken file
        if gguf_file is None or isinstance(error, ValueError):
            raise
        raise model_error(source, f"{gguf_file} cannot be read as GGUF: {first_line(error)}") from error
    check_fit(source, model, tokenizer)
    model.eval()  # type: ignore[no-untyped-call]
    return model, tokenizer


def load_shape(
    name_or_path: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the model and tokenizer of ``load_policy`` on the meta device: parameters have shapes and use no memory.

    Raises:
        ValueError: as in ``load_policy``, except for missing weights.
    """
    source = _source(name_or_path)
    config = _load_config(source, {"revision": revision, "trust_remote_code": trust_remote_code})
    try:
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                config, trust_remote_code=trust_remote_code
            )
    except (OSError, ValueError, ImportError) as error:
        raise _not_causal(source, error) from error
    with suppress(OSError):  # not every model has the file
        model.generation_config = GenerationConfig.from_pretrained(source, revision=revision or "main")
    _refuse_masked(source, model)
    tokenizer = load_tokenizer(source, {"revision": revision, "trust_remote_code": trust_remote_code})
    check_fit(source, model, tokenizer)
    return model, tokenizer


def decoder_layers(model: Any) -> list[nn.Module]:
    """Return the repeated layers of a transformers model."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def reference_copy(model: PreTrainedModel) -> PreTrainedModel:
    """Return a frozen copy in eval mode: the reference policy of the KL penalty, needed only when beta > 0."""
    reference = copy.deepcopy(model)
    reference.requires_grad_(requires_grad=False)
    reference.eval()  # type: ignore[no-untyped-call]
    return reference


def _source(name_or_path: str) -> str:
    local = Path(name_or_path).expanduser()
    if _looks_like_a_path(name_or_path) and not local.is_dir():
        raise model_error(
            name_or_path, f"{no_directory(name_or_path)}; give a model's directory or its name on the hub"
        )
    return str(local) if local.is_dir() else name_or_path


def _looks_like_a_path(name: str) -> bool:
    return Path(name).is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or "\\" in name


def _load_config(source: str, chosen: dict[str, Any]) -> Any:
    try:
        return AutoConfig.from_pretrained(source, **chosen)
    except (OSError, ValueError, ImportError) as error:
        raise _not_causal(source, error) from error


def _not_causal(source: str, error: Exception) -> ValueError:
    where = "" if Path(source).is_dir() else "there is no such directory here, and from the hub "
    return model_error(source, f"{where}it cannot be loaded as a causal language model: {first_line(error)}")


def _load_model(
    source: str, config: Any, dtype: DType, attention: Attention | None, chosen: dict[str, Any]
) -> PreTrainedModel:
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            dtype=_DTYPES[dtype],
            attn_implementation=checked_attention(config, attention),
            **chosen,
            output_loading_info=True,
        )
    except AttentionError:
        raise
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        if attention is not None and _NO_ATTENTION.search(str(error)):
            raise AttentionError(attention, "its model family has no such attention") from error
        raise _not_causal(source, error) from error
    model: PreTrainedModel = loaded[0]
    info: dict[str, Any] = loaded[1]
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise model_error(
            source,
            f"its files lack {len(missing)} weights of a causal language model ({', '.join(missing[:3])}, ...): "
            "the directory is incomplete, or holds another kind of model",
        )
    _refuse_masked(source, model)
    if "gguf_file" in chosen:
        _forget_quantisation(model)
    return model


def _forget_quantisation(model: Any) -> None:
    """Remove the quantisation settings of a model loaded from GGUF.

    Its weights are plain, and it is trained and saved like any other model.
    """
    model.hf_quantizer, model.is_quantized, model.quantization_method = None, False, None
    model.config.__dict__.pop("quantization_config", None)


def set_attention(model: PreTrainedModel, attention: Attention) -> None:
    """Change the attention implementation of a loaded model.

    Raises:
        AttentionError: the model does not support it.
    """
    try:
        model.set_attn_implementation(attention)
    except (ImportError, ValueError) as error:
        raise AttentionError(attention, first_line(error)) from error
    if model.config._attn_implementation != attention:  # some families ignore the request
        raise AttentionError(attention, f"{type(model).__name__} has no such attention")


def checked_attention(config: Any, wanted: Attention | None) -> Attention | None:
    """Return ``wanted``, or the implementation that is correct for the family if it is None.

    Raises:
        AttentionError: the model caps its attention scores, and ``wanted`` is an implementation without a cap.
    """
    cap = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    if cap is None or wanted not in (None, "sdpa"):
        return wanted
    if wanted is None:
        return "eager"
    problem = f"it leaves out the cap that the model puts on attention scores (attn_logit_softcapping={cap})"
    raise AttentionError(wanted, problem)


def _refuse_masked(source: str, model: PreTrainedModel) -> None:
    masked = [name for name in model.config.architectures or [] if name.endswith("ForMaskedLM")]
    if masked:
        raise model_error(source, f"{masked[0]} sees the tokens to its right: give a causal language model")
