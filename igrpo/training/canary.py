"""A check, after every weight sync, that the engine samples from the trainer's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from igrpo import distributed
from igrpo.policy.weights import fingerprint, named_weights
from igrpo.rollout.base import Engine, SamplingParams
from igrpo.seeding import derive_seed
from igrpo.training.batching import Row, collate
from igrpo.training.event_loop import run_coroutine
from igrpo.training.forward import PolicyForward


class CanaryError(RuntimeError):
    """The engine does not sample from the weights that were handed to it."""


@dataclass(frozen=True, slots=True)
class Canary:
    """Lets the engine sample a fixed text with a fixed seed, and takes the trainer's log-probs of it.

    The mean difference over its tokens must not be over ``tolerance`` (nats): rounding alone is far below it. A tensor
    that is left behind differs by little at first, at a small learning rate; it is found once it has fallen behind. So
    the first check of a run compares every tensor's fingerprint as well, which is exact: a tensor that the engine never
    takes over is found before the first step.
    """

    engine: Engine
    prompt_ids: tuple[int, ...]
    temperature: float
    tokens: int
    tolerance: float
    chunk: int
    pad_id: int

    def check(self, version: int, policy: Any, run_policy: Any, device: torch.device, *, exact: bool = False) -> float:
        """The mean difference. Every process checks its engine; ``run_policy`` is what runs the policy's forward pass.
        ``exact``: compare fingerprints, too (it reads every weight on both sides).

        Raises:
            CanaryError: it is over the tolerance, or the sample is of another version, in any process; names the
                tensors of this one's engine that differ.
        """
        gap, found = self._gap(version, run_policy, device)
        gaps, versions = zip(*distributed.gather((gap, found)), strict=True)
        right = max(gaps) <= self.tolerance and set(versions) == {version}
        if right and not exact:
            return gap
        different, differing = _differing(self.engine, policy)
        if right and not any(distributed.gather(different)):
            return gap
        stale = next((other for other in versions if other != version), version)
        raise CanaryError(
            f"after weight sync {version} the engine's log-probs of a fixed text are {max(gaps):.3g} nats a token away "
            f"from the trainer's (rollout.canary_tolerance={self.tolerance:g}), and its sample says version {stale}; "
            f"{differing}. The run stops, since it would train on samples of another policy"
        )

    @torch.no_grad()
    def _gap(self, version: int, run_policy: Any, device: torch.device) -> tuple[float, int]:
        params = SamplingParams(self.temperature, 1.0, 0, self.tokens, ())
        seed = derive_seed("canary", version)
        completion = run_coroutine(_sample(self.engine, self.prompt_ids, params, seed))
        row = Row(self.prompt_ids, completion.token_ids, completion.logprobs, 0.0, valid=True)
        batch = collate([row], self.pad_id).to(device)
        forward = PolicyForward(params.temperature, self.chunk, with_entropy=False, entropy_grad=False)
        gaps = (forward(run_policy, batch).logprobs_BT - batch.sampler_logprobs_BT).abs()
        gap = float(gaps.double().mean())
        return gap if gap == gap else float("inf"), completion.policy_version  # noqa: PLR0124 (not a number)


async def _sample(engine: Engine, prompt: Sequence[int], params: SamplingParams, seed: int) -> Any:
    return (await engine.sample(prompt, params, [seed]))[0]


def _differing(engine: Engine, policy: Any) -> tuple[bool, str]:
    """Whether the engine has a tensor otherwise than the trainer, by fingerprints in the engine's dtype; and which."""
    theirs = engine.fingerprints()
    names, missing = [], []
    for name, weight in named_weights(policy):
        if name not in theirs:
            missing.append(name)
            continue
        dtype, _, digits = theirs[name].partition(":")
        if fingerprint(weight, getattr(torch, dtype)) != digits:
            names.append(name)
    if names:
        return True, f"tensors that differ: {', '.join(names)}"
    unread = f" ({len(missing)} cannot be read back: {', '.join(missing[:5])})" if missing else ""
    return False, (
        f"no tensor that was received differs{unread}: look at what the engine makes of them (a tied output head, "
        "packed or quantised copies)"
    )
