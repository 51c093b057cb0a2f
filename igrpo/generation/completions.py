"""Conversion of sampled tokens to a completion, shared by all engines."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from igrpo.models.encoding import control_token_ids
from igrpo.types import Completion, FinishReason


class CompletionMaker:
    """Builds completions from sampled tokens.

    Decodes with the policy's own tokenizer, so that two engines that sample the same tokens return the same text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._special_ids = control_token_ids(tokenizer)

    def make(
        self,
        token_ids: tuple[int, ...],
        stop_token_ids: Sequence[int],
        logprobs: tuple[float, ...],
        *,
        sampling_entropies: tuple[float, ...] | None,
        policy_entropies: tuple[float, ...] | None,
        version: int,
    ) -> Completion:
        """Return a completion of at least one token.

        A special token that stopped the completion is kept in the tokens and left out of the text.

        Args:
            token_ids: T tokens, including the stop token if one was sampled.
            logprobs: T values, as are the entropies (None: the engine reports none).
            version: version of the weights.
        """
        stopped = token_ids[-1] in stop_token_ids
        reason: FinishReason = "stop" if stopped else "length"
        shown = token_ids[:-1] if stopped and token_ids[-1] in self._special_ids else token_ids
        text = self._tokenizer.decode(list(shown), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return Completion(
            token_ids=token_ids,
            text=text,
            logprobs=logprobs,
            sampling_entropies=sampling_entropies,
            policy_entropies=policy_entropies,
            finish_reason=reason,
            policy_version=version,
        )
