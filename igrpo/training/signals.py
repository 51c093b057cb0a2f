"""Handling of SIGTERM with several processes."""

from __future__ import annotations

import signal
import threading
from typing import Any

import lightning


class OwnSigterm(lightning.Callback):
    """Callback that restores the SIGTERM handler, which Lightning replaces when training begins.

    Lightning's handler broadcasts to the other processes, possibly in the middle of another collective operation. This
    must be the first callback, because the evaluation before the first step takes long.
    """

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Store the current handler. Lightning installs its own after this hook."""
        self._handler: Any = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Restore the stored handler. At the end of training, Lightning does so itself."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)
