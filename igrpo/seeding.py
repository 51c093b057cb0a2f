"""Seeds derived from the purpose of the random numbers, so that a resumed run repeats them exactly."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed for a tuple of parts: stable across processes, platforms and Python versions.

    Different tuples give independent seeds. The seed is a cryptographic hash: with arithmetic on small numbers,
    neighbouring runs would share samples.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def sample_seed(run_seed: int, step: int, question_id: str, sampling_round: int, sample: int) -> int:
    """Return the seed of one completion, which is unique within the run."""
    return derive_seed("sample", run_seed, step, question_id, sampling_round, sample)
