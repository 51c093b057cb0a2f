"""Check after every weight sync that the engine samples from the trainer's weights."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import torch

from igrpo import distributed
from igrpo.generation.base import RECEIVED, Engine, SamplingParams, sample_on_every_replica
from igrpo.models.weights import fingerprint, named_weights
from igrpo.seeding import derive_seed
from igrpo.training.batching import collate
from igrpo.training.event_loop import run_coroutine
from igrpo.training.forward import PolicyForward
from igrpo.training.rows import Row
from igrpo.types import Completion

log = logging.getLogger(__name__)


class WeightSyncError(RuntimeError):
    """Raised when the engine does not sample from the weights that were sent to it."""


@dataclass(frozen=True, slots=True)
class WeightSyncCheck:
    """Compares the log-probs of engine and trainer on a text sampled from a fixed prompt, with a fixed seed.

    An engine of several data-parallel replicas samples a text on each of them, and all are compared.
    The mean difference over its tokens must not exceed ``tolerance`` (nats). Rounding errors alone are far below it. At
    a small learning rate, a tensor that is not synced differs by little at first and is detected only after some steps.
    The first check of a run therefore also compares the fingerprint of every tensor, which is exact. It detects,
    before the first step, a tensor that the engine never receives.
    """

    engine: Engine
    prompt_ids: tuple[int, ...]
    temperature: float
    tokens: int
    tolerance: float
    chunk: int | None
    pad_id: int

    def check(self, version: int, policy: Any, run_policy: Any, device: torch.device, *, exact: bool = False) -> float:
        """Check the engine of this process; return the mean difference of log-probs, the largest of its replicas.

        Every process must call this.

        Args:
            run_policy: the module that runs the policy's forward pass.
            exact: also compare fingerprints, which reads every weight on both sides.

        Raises:
            WeightSyncError: in any process, the difference exceeds the tolerance, the sample is from another version,
                or a fingerprint differs. The message names the replicas, and the tensors of this process's engine, that
                differ.
        """
        mine = self._canaries(version, run_policy, device)
        canaries = [(*canary, rank) for found in distributed.gather(mine) for rank, canary in enumerate(found)]
        wrong = [canary for canary in canaries if canary[0] > self.tolerance or canary[1] != version]
        largest = max(gap for gap, _ in mine)
        if not wrong and not exact:
            return largest
        compared = _compare(self.engine, policy)
        compared.log_gaps(version)
        if not wrong and not any(distributed.gather(bool(compared.differ))):
            return largest
        stale = next((other for _, other, _ in wrong if other != version), version)
        ranks = ", ".join(map(str, sorted({rank for _, _, rank in wrong})))
        raise WeightSyncError(
            f"after weight sync {version} the engine's log-probs of a fixed text are "
            f"{max(gap for gap, _, _ in canaries):.3g} nats per token away from the trainer's "
            f"(rollout.canary_tolerance={self.tolerance:g}), and its sample says version {stale}"
            f"{f' (of data-parallel rank {ranks})' if ranks and len(mine) > 1 else ''}; {compared}. The run stops, "
            "since it would train on samples of another policy"
        )

    @torch.no_grad()
    def _canaries(self, version: int, run_policy: Any, device: torch.device) -> list[tuple[float, int]]:
        """Sample the fixed text on every replica of this process's engine; return the mean gaps and the versions."""
        params = SamplingParams(self.temperature, 1.0, 0, self.tokens, ())
        seed = derive_seed("canary", version)
        completions = run_coroutine(sample_on_every_replica(self.engine, self.prompt_ids, params, seed))
        return [(self._gap(completion, run_policy, device), completion.policy_version) for completion in completions]

    def _gap(self, completion: Completion, run_policy: Any, device: torch.device) -> float:
        row = Row(self.prompt_ids, completion.token_ids, completion.logprobs, 0.0, valid=True)
        batch = collate([row], self.pad_id).to(device)
        forward = PolicyForward(self.temperature, self.chunk)
        gaps = (forward(run_policy, batch).logprobs_BT - batch.sampler_logprobs_BT).abs()
        gap = float(gaps.double().mean())
        return gap if gap == gap else float("inf")  # noqa: PLR0124 (NaN)


@dataclass(slots=True)
class _Compared:
    """Names of an engine's tensors, by the result of the comparison with the trainer's."""

    differ: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    as_received: list[str] = field(default_factory=list)
    same: int = 0

    def __str__(self) -> str:
        if self.differ:
            return f"tensors that differ: {', '.join(self.differ)}"
        if not self.same:
            return "the engine reports no fingerprints, so no tensor was compared"
        unread = f" ({len(self.missing)} cannot be read back: {', '.join(self.missing[:5])})" if self.missing else ""
        return (
            f"no tensor that was received differs{unread}: check what the engine derives from them (a tied output "
            "head, packed or quantised copies)"
        )

    def log_gaps(self, version: int) -> None:
        """Log the tensors that the comparison does not cover."""
        if self.missing:
            log.warning(
                "after weight sync %d %d of %d tensors were not compared by their hash, because the engine reports no "
                "fingerprint of them: %s",
                version, len(self.missing), len(self.missing) + self.same + len(self.differ), _some(self.missing),
            )  # fmt: skip
        if self.as_received:
            log.info(
                "after weight sync %d %d of %d tensors were compared as the engine received them, not as they are "
                "installed: %s",
                version, len(self.as_received), self.same + len(self.differ), _some(self.as_received),
            )  # fmt: skip


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _compare(engine: Engine, policy: Any) -> _Compared:
    """Compare the tensors by fingerprints in the engine's dtype."""
    theirs = engine.fingerprints()
    compared = _Compared()
    for name, weight in named_weights(policy):
        if name not in theirs:
            compared.missing.append(name)
            continue
        dtype, _, digits = theirs[name].partition(":")
        if digits.endswith(RECEIVED):
            compared.as_received.append(name)
        if fingerprint(weight, getattr(torch, dtype)) != digits.removesuffix(RECEIVED):
            compared.differ.append(name)
        else:
            compared.same += 1
    return compared
