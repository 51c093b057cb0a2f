"""SIGTERM, with several processes."""

from __future__ import annotations

import signal
import threading
from typing import Any

import lightning


class OwnSigterm(lightning.Callback):
    """Puts the handler of SIGTERM back that Lightning replaces when training begins.

    Lightning's broadcasts to the other processes from within the handler, in the middle of whatever collective they
    are in. The first of the callbacks: the evaluation before the first step takes long.
    """

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Remember it: Lightning's comes after this."""
        self._handler: Any = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lightning itself puts it back at the end."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)
