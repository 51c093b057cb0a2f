"""vLLM in the trainer's process, with the trainer's weights (see `igrpo.generation.vllm.stepped`).

Each trainer process has its own engine on its own device.
"""

from __future__ import annotations

from collections.abc import Mapping

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from igrpo.generation.vllm.environment import require_vllm
from igrpo.generation.vllm.in_process import check_settings
from igrpo.generation.vllm.requests import Requests
from igrpo.generation.vllm.served import ServedModel
from igrpo.generation.vllm.stepped import SteppedEngine
from igrpo.models.weights import named_weights
from igrpo.settings.rollout import VllmColocateConfig


class VllmColocateEngine(SteppedEngine):
    """An ``Engine`` (`igrpo.generation.base`). It has no weights and cannot sample before the first ``sync_weights``.

    ``sleep`` frees the GPU's memory until the next ``sample`` or ``sync_weights``; on a CPU it does nothing.
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
        """Start vLLM. With several processes, all must do so at the same point.

        Args:
            model: the trainer's model, whose weights ``sync_weights`` copies.
            served: location of the model's configuration; the weights stored there are not read.
            max_model_len: prompt and completion, in tokens.

        Raises:
            ValueError: vLLM is not installed, or the settings do not work with it.
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
        """Copy the trainer's weights into vLLM, in memory, and clear its prefix cache.

        Raises:
            RuntimeError: samples are being decoded; they would mix two policies.
        """
        if self._live:
            raise RuntimeError(f"sync_weights({version}) while {len(self._live)} samples are being decoded")
        self.wake()
        self._version = None  # until all weights have arrived
        self._engine.collective_rpc("igrpo_load", args=(named_weights(self._model),))
        if not self._engine.reset_prefix_cache():
            raise RuntimeError("vLLM did not empty its prefix cache: samples would continue old keys and values")
        self._engine.set_weight_version(str(version))
        self._version = version

    def fingerprints(self) -> Mapping[str, str]:
        """Return fingerprints of the weights that vLLM has installed (see `igrpo.generation.vllm.worker`)."""
        (labels,) = self._engine.collective_rpc("igrpo_fingerprints")
        return dict(labels)

    def sleep(self) -> None:
        """Free the GPU's memory for the trainer, if ``config.sleep`` and the device allow it."""
        if self._can_sleep and not self._asleep:
            assert not self._live, "samples are being decoded"
            self._engine.sleep(level=1)
            self._asleep = True
