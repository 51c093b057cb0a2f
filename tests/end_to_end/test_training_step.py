"""The benchmark of whole training steps runs, both algorithms at the same samples."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "training_step.py"
#: Qwen2, without the large vocabulary of those that are published.
SHAPE = {"model_type": "qwen2", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
         "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 320, "max_position_embeddings": 2048,
         "tie_word_embeddings": True}  # fmt: skip


def test_it_measures_both_algorithms_at_the_same_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("training_step", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "known_shapes", lambda: {"small": {"config": SHAPE}})
    out = tmp_path / "result.json"
    options = {"shape": "small", "layers": 1, "device": "cpu", "precision": "fp32", "steps": 2, "questions": 1,
               "tokens": 8, "peak-tflops": 1, "out": out}  # fmt: skip
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    script.main()
    record = json.loads(out.read_text(encoding="utf-8"))
    assert record["settings"]["layers"] == 1
    results = record["results"]
    assert results.keys() == {"grpo", "igrpo"}
    for measured in results.values():
        assert measured["samples"] == 8
        assert measured["steps"] == 1, "the first one is left out"
        assert measured["seconds"] == pytest.approx(sum(measured[f"seconds_{phase}"] for phase in script.PHASES))
        assert min(measured["seconds_generation"], measured["seconds_update"]) > 0
        assert 0 < measured["utilisation"] < 1
