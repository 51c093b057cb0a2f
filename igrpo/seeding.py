"""Randomness as a function of what it is for, so that a resumed run repeats it exactly."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from the parts, in their order: stable across processes, platforms and Python versions.

    Different tuples of parts give independent seeds (a cryptographic hash, not arithmetic on small numbers, which
    makes neighbouring runs share samples).
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def sample_seed(run_seed: int, step: int, question_id: str, stage: int, sample: int) -> int:
    """The seed of one completion; no two samples of a run share one."""
    return derive_seed("sample", run_seed, step, question_id, stage, sample)
