"""vLLM in this process with a model's own weights, which are not trained: used for a judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from igrpo.generation.vllm.environment import require_vllm
from igrpo.generation.vllm.requests import Requests
from igrpo.generation.vllm.served import ServedModel
from igrpo.generation.vllm.stepped import SteppedEngine
from igrpo.settings.rollout import VllmEngineConfig


class VllmFrozenEngine(SteppedEngine):
    """An engine whose ``sample`` works as in any ``Engine``, without weights to sync.

    Only one vLLM engine at a time can exist in a process.
    """

    def __init__(
        self,
        shape: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        served: ServedModel,
        config: VllmEngineConfig,
        *,
        setting: str,
        schema: Mapping[str, Any] | None,
    ) -> None:
        """Start vLLM and load the weights.

        Args:
            shape: the model without its values (see `igrpo.models.load.load_shape`).
            setting: the full name of the setting ``config.max_model_len``, for messages.
            schema: a JSON schema that constrains all samples (None: no constraint).

        Raises:
            ValueError: vLLM is not installed.
        """
        require_vllm()
        longest = config.max_model_len or shape.config.get_text_config(decoder=True).max_position_embeddings
        super().__init__(
            Requests(shape, tokenizer, longest, setting=setting),
            schema=schema,
            served=served,
            config=config,
            max_model_len=longest,
            seed=0,
            sleep=False,
            own_weights=True,
        )
        self._version = 0
        self._engine.set_weight_version(str(self._version))
