"""The memory of a step's line, in GiB and since the step before; a device without such a count has none."""

from __future__ import annotations

import pytest
import torch

from igrpo.training.measures import peak_memory


def test_the_peak_is_in_gib_and_counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    device, forgotten = torch.device("cuda", 1), []
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", {device: 3 * 2**29}.__getitem__)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", forgotten.append)
    assert peak_memory(device) == {"memory/peak_gib": 1.5}
    assert forgotten == [device]


def test_the_cpu_has_no_peak() -> None:
    assert peak_memory(torch.device("cpu")) == {}
