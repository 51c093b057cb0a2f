"""vLLM in the trainer's process, with the trainer's weights (see `igrpo.generation.vllm.stepped`).

Each of several trainer processes has an engine of its own, on its own device.
"""

from __future__ import annotations

from collections.abc import Mapping

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from igrpo.config.parts.rollout import VllmColocateConfig
from igrpo.generation.vllm.environment import require_vllm
from igrpo.generation.vllm.in_process import check_settings
from igrpo.generation.vllm.requests import Requests
from igrpo.generation.vllm.served import ServedModel
from igrpo.generation.vllm.stepped import SteppedEngine
from igrpo.models.weights import named_weights


class VllmColocateEngine(SteppedEngine):
    """An ``Engine`` (`igrpo.generation.base`). Before the first ``sync_weights`` it has no weights, and samples none.

    ``sleep`` gives the GPU's memory back until the next ``sample`` or ``sync_weights``; on a CPU it does nothing.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        served: ServedModel,
        config: VllmColocateConfig,
        *,
        max_model_len: int,
        seed: int,
    ) -> None:
        """Start vLLM. With several processes all of them do so at the same point.

        Args:
            model: the trainer's, whose weights ``sync_weights`` takes.
            served: where its configuration lies; its weights there are not read.
            max_model_len: prompt and completion, in tokens.

        Raises:
            ValueError: vLLM is not installed, or the settings do not go with it.
        """
        require_vllm()
        check_settings(config)
        self._model = model
        super().__init__(
            Requests(model, tokenizer, max_model_len),
            served=served,
            config=config,
            max_model_len=max_model_len,
            seed=seed,
            sleep=config.sleep,
            own_weights=False,
        )

    def sync_weights(self, version: int) -> None:
        """Copy the trainer's weights into vLLM, in memory, and forget what was computed with the old ones.

        Raises:
            RuntimeError: samples are being decoded; they would mix two policies.
        """
        if self._live:
            raise RuntimeError(f"sync_weights({version}) while {len(self._live)} samples are being decoded")
        self.wake()
        self._version = None  # until all of them have arrived
        self._engine.collective_rpc("igrpo_load", args=(named_weights(self._model),))
        if not self._engine.reset_prefix_cache():
            raise RuntimeError("vLLM did not empty its prefix cache: samples would continue old keys and values")
        self._engine.set_weight_version(str(version))
        self._version = version

    def fingerprints(self) -> Mapping[str, str]:
        """Of the weights that vLLM has installed (see `igrpo.generation.vllm.worker`)."""
        (labels,) = self._engine.collective_rpc("igrpo_fingerprints")
        return dict(labels)

    def sleep(self) -> None:
        """Give the GPU's memory to the trainer, where ``config.sleep`` and the device allow it."""
        if self._can_sleep and not self._asleep:
            assert not self._live, "samples are being decoded"
            self._engine.sleep(level=1)
            self._asleep = True
