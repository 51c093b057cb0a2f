"""OmegaConf resolvers for YAML values: ``${half:8}``, ``${env:NAME,default}``, ``${cached_model:NAME}``."""

from __future__ import annotations

import os

from omegaconf import OmegaConf

from igrpo.models.cache import cached_model


def half(count: int) -> int:
    """Return half of a count, rounded down, but at least 1.

    Raises:
        TypeError: ``count`` is not a whole number.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"half of {count!r}: not a whole number")
    return max(1, count // 2)


def env(name: str, default: str) -> str:
    """Return an environment variable, or the default if it is unset or empty."""
    return os.environ.get(name) or default


def register() -> None:
    """Register the functions with OmegaConf. Repeated calls have no effect."""
    OmegaConf.register_new_resolver("half", half, replace=True)
    OmegaConf.register_new_resolver("env", env, replace=True)
    OmegaConf.register_new_resolver("cached_model", lambda name: str(cached_model(name)), replace=True)
