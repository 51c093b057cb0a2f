"""The weight sync check passes where the engine has the trainer's weights, and names what differs where it has not."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from igrpo import distributed
from igrpo.generation.base import RECEIVED
from igrpo.generation.local.engine import LocalEngine
from igrpo.models.lora import add_adapters
from igrpo.models.tiny import TinyShape, build_tiny_model
from igrpo.models.weights import fingerprint, named_weights
from igrpo.training.weight_sync_check import WeightSyncCheck, WeightSyncError
from igrpo.types import Completion
from tests.training.small_run import TOKENIZER

CPU = torch.device("cpu")
TOLERANCE = 1e-3
LAYER = "model.layers.1.mlp.down_proj.weight"


class CopyEngine(LocalEngine):
    """Over weights of its own, as an engine in another process: it reads them back, but for those in ``hidden``.

    Those in ``received`` are told as they came, by the same digits.
    """

    def __init__(
        self,
        model: Any,
        dtype: torch.dtype = torch.float32,
        hidden: tuple[str, ...] = (),
        received: tuple[str, ...] = (),
    ) -> None:
        self.own = copy.deepcopy(model)
        super().__init__(self.own, TOKENIZER, max_batch_rows=8)
        self._dtype, self._hidden, self._received = dtype, hidden, received

    def fingerprints(self) -> Mapping[str, str]:
        name = str(self._dtype).removeprefix("torch.")
        return {
            key: f"{name}:{fingerprint(value, self._dtype)}" + (RECEIVED if key in self._received else "")
            for key, value in named_weights(self.own)
            if key not in self._hidden
        }


def tiny() -> Any:
    return build_tiny_model(TinyShape(hidden=16, layers=2, heads=2, mlp=16), seed=0)


def sync_check(engine: Any, temperature: float = 1.0) -> WeightSyncCheck:
    return WeightSyncCheck(
        engine, prompt_ids=(1, 4, 5, 6), temperature=temperature, tokens=24, tolerance=TOLERANCE, chunk=5,
        pad_id=TOKENIZER.pad_token_id,
    )  # fmt: skip


def perturbed(model: Any, name: str, by: float) -> CopyEngine:
    """An engine in which one tensor is another one."""
    engine = CopyEngine(model)
    with torch.no_grad():
        engine.own.get_parameter(name).add_(by)
    return engine


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("kind", ["shared", "copied", "with adapters"])
def test_it_passes_on_the_same_weights(kind: str, temperature: float) -> None:
    model = tiny()
    if kind == "with adapters":
        add_adapters(model, rank=2, alpha=8.0, targets="all-linear", seed=0)
    engine = LocalEngine(model, TOKENIZER, max_batch_rows=8) if kind == "shared" else CopyEngine(model)
    for version in (0, 1, 7):
        engine.sync_weights(version)
        assert sync_check(engine, temperature).check(version, model, model, CPU) < 1e-5


@pytest.mark.parametrize("name", [LAYER, "model.embed_tokens.weight", "model.norm.weight"])
def test_it_names_the_tensor_that_differs(name: str) -> None:
    model = tiny()
    engine = perturbed(model, name, 0.5)
    engine.sync_weights(3)
    with pytest.raises(WeightSyncError) as failure:
        sync_check(engine).check(3, model, model, CPU)
    message = str(failure.value)
    assert f"; tensors that differ: {name}. The run stops" in message
    assert "after weight sync 3" in message
    assert "rollout.canary_tolerance=0.001" in message
    gap = float(message.partition("fixed text are ")[2].split()[0])
    assert gap > TOLERANCE


def test_the_adapters_that_were_not_merged_are_named() -> None:
    model = tiny()
    engine = CopyEngine(model)  # of the frozen weights alone
    add_adapters(model, rank=2, alpha=8.0, targets=("down_proj",), seed=0)
    engine.sync_weights(0)
    assert sync_check(engine).check(0, model, model, CPU) < 1e-5  # B is zero
    torch.nn.init.normal_(model.get_parameter(LAYER.replace(".weight", ".lora_B.default.weight")))
    with pytest.raises(WeightSyncError, match=rf"tensors that differ: {LAYER}\. The run stops"):
        sync_check(engine).check(0, model, model, CPU)


def test_a_difference_within_the_tolerance_passes() -> None:
    model = tiny()
    engine = perturbed(model, LAYER, 1e-6)
    engine.sync_weights(0)
    assert 0 < sync_check(engine).check(0, model, model, CPU) < TOLERANCE


def test_the_exact_check_finds_what_is_too_small_to_be_heard() -> None:
    model = tiny()
    engine = CopyEngine(model)
    engine.sync_weights(0)
    assert sync_check(engine).check(0, model, model, CPU, exact=True) < 1e-5
    with torch.no_grad():
        engine.own.get_parameter(LAYER)[0, 0] += 1e-6
    assert sync_check(engine).check(0, model, model, CPU) < TOLERANCE
    with pytest.raises(WeightSyncError, match=rf"tensors that differ: {LAYER}\. The run stops"):
        sync_check(engine).check(0, model, model, CPU, exact=True)


def test_the_exact_check_of_one_process_stops_all(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny()
    engine = CopyEngine(model)
    engine.sync_weights(0)
    monkeypatch.setattr(distributed, "gather", lambda mine: [True, mine] if isinstance(mine, bool) else [mine, mine])
    assert sync_check(engine).check(0, model, model, CPU) < TOLERANCE
    with pytest.raises(WeightSyncError, match="no tensor that was received differs"):
        sync_check(engine).check(0, model, model, CPU, exact=True)


def test_a_rounded_copy_does_not_differ_in_its_own_type() -> None:
    """Of an engine in bfloat16 only what is not the rounded weight is named."""
    model = tiny()
    engine = CopyEngine(model, torch.bfloat16)
    with torch.no_grad():
        for parameter in engine.own.parameters():
            parameter.copy_(parameter.bfloat16())
        engine.own.get_parameter(LAYER).add_(0.5)
    engine.sync_weights(0)
    with pytest.raises(WeightSyncError, match=rf"tensors that differ: {LAYER}\. The run stops"):
        sync_check(engine).check(0, model, model, CPU)


def test_what_cannot_be_read_back_is_said() -> None:
    """A tied head that the engine made a copy of: every tensor that it was given is the right one."""
    model = tiny()
    engine = CopyEngine(model, hidden=("model.norm.weight",))
    engine.own.lm_head.weight = torch.nn.Parameter(engine.own.lm_head.weight.detach() * 2)
    engine.own.config.tie_word_embeddings = False
    engine.sync_weights(0)
    expected = (
        r"no tensor that was received differs \(1 cannot be read back: model\.norm\.weight\): .*\(a tied output head"
    )
    with pytest.raises(WeightSyncError, match=expected):
        sync_check(engine).check(0, model, model, CPU)


NORM = "model.norm.weight"


def test_a_passing_exact_check_says_what_it_does_not_cover(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny()
    engine = CopyEngine(model, hidden=(NORM,), received=(LAYER,))
    engine.sync_weights(0)
    with caplog.at_level("INFO"):
        sync_check(engine).check(0, model, model, CPU, exact=True)
    count = len(list(named_weights(model)))
    (uncovered, received) = caplog.records
    assert (uncovered.levelname, received.levelname) == ("WARNING", "INFO")
    assert f"1 of {count} tensors were not compared" in uncovered.message
    assert uncovered.message.endswith(NORM)
    assert f"1 of {count - 1} tensors were compared as the engine received them" in received.message
    assert received.message.endswith(LAYER)


def test_an_engine_that_tells_of_no_tensor_is_no_silent_pass(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny()
    names = tuple(name for name, _ in named_weights(model))
    engine = CopyEngine(model, hidden=names)
    engine.sync_weights(0)
    sync_check(engine).check(0, model, model, CPU, exact=True)
    assert f"{len(names)} of {len(names)} tensors were not compared" in caplog.text
    with pytest.raises(WeightSyncError, match="the engine reports no fingerprints"):
        sync_check(engine).check(1, model, model, CPU)


def test_a_tensor_that_was_received_otherwise_is_named() -> None:
    model = tiny()
    engine = CopyEngine(model, received=tuple(name for name, _ in named_weights(model)))
    engine.sync_weights(0)
    sync_check(engine).check(0, model, model, CPU, exact=True)
    with torch.no_grad():
        engine.own.get_parameter(LAYER)[0, 0] += 1e-6
    with pytest.raises(WeightSyncError, match=rf"tensors that differ: {LAYER}\. The run stops"):
        sync_check(engine).check(0, model, model, CPU, exact=True)


def test_a_sample_of_another_version_fails_the_check() -> None:
    model = tiny()
    engine = CopyEngine(model)
    engine.sync_weights(4)
    with pytest.raises(WeightSyncError, match=r"after weight sync 5 .* its sample says version 4; no tensor"):
        sync_check(engine).check(5, model, model, CPU)


def test_not_a_number_fails() -> None:
    model = tiny()
    engine = CopyEngine(model)
    engine.sync_weights(0)
    with torch.no_grad():
        model.get_parameter(LAYER)[0, 0] = float("nan")
    with pytest.raises(WeightSyncError, match=rf"are inf nats .* tensors that differ: {LAYER}\. "):
        sync_check(engine).check(0, model, model, CPU)


def test_not_a_number_of_the_engine_fails() -> None:
    class Broken(CopyEngine):
        async def sample(self, *args: Any, **kwargs: Any) -> tuple[Completion, ...]:
            return (Completion((4, 5), "", (float("nan"), -1.0), None, None, "length", 0),)

    model = tiny()
    with pytest.raises(WeightSyncError, match="are inf nats"):
        sync_check(Broken(model)).check(0, model, model, CPU)


@pytest.mark.parametrize("other", [(1.5, 2), (0.0, 1), (float("inf"), 2)])
def test_every_process_stops_when_one_engine_is_wrong(
    other: tuple[float, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They all take part in gathering the weights: one that went on would leave the others waiting."""
    model = tiny()
    engine = CopyEngine(model)
    engine.sync_weights(2)
    assert sync_check(engine).check(2, model, model, CPU) < TOLERANCE
    monkeypatch.setattr(distributed, "gather", lambda mine: [[other], mine])
    with pytest.raises(WeightSyncError, match=rf"are {other[0]:.3g} nats|are .* its sample says version 1"):
        sync_check(engine).check(2, model, model, CPU)


class TwoReplicas(CopyEngine):
    """A copy of the weights per replica; ``sample`` asks the first one."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.second = CopyEngine(model)

    async def sample_on_every_replica(self, prompt_ids: Any, params: Any, seed: int) -> tuple[Completion, ...]:
        return tuple([(await engine.sample(prompt_ids, params, [seed]))[0] for engine in (self, self.second)])


def test_every_replica_is_checked_and_the_one_that_differs_is_named() -> None:
    model = tiny()
    engine = TwoReplicas(model)
    for replica in (engine, engine.second):
        replica.sync_weights(3)
    assert sync_check(engine).check(3, model, model, CPU) < 1e-5
    with torch.no_grad():
        engine.second.own.get_parameter(LAYER).add_(1e-5)
    assert sync_check(engine).check(3, model, model, CPU) == sync_check(engine.second).check(3, model, model, CPU) > 0
    with torch.no_grad():
        engine.second.own.get_parameter(LAYER).add_(0.5)
    with pytest.raises(
        WeightSyncError, match=r"says version 3 \(of data-parallel rank 1\); no tensor that was received"
    ):
        sync_check(engine).check(3, model, model, CPU)


def test_a_replica_of_another_version_is_named() -> None:
    model = tiny()
    engine = TwoReplicas(model)
    engine.sync_weights(5)
    engine.second.sync_weights(4)
    with pytest.raises(WeightSyncError, match=r"after weight sync 5 .* says version 4 \(of data-parallel rank 1\)"):
        sync_check(engine).check(5, model, model, CPU)
