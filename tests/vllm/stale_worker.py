"""A worker whose second engine stays behind, for a run named `stale`: it ignores every load but the first."""

from __future__ import annotations

from igrpo.generation.vllm.worker import WeightWorker

STALE_WORKER = "tests.vllm.stale_worker.StaleWorker"


class StaleWorker(WeightWorker):
    def igrpo_load_file(self, path: str, label: str) -> None:
        """Load, unless the label is ``stale-1`` or later and this is data-parallel rank 1."""
        if label.startswith("stale-") and label != "stale-0" and self.parallel_config.data_parallel_index == 1:
            return
        super().igrpo_load_file(path, label)
