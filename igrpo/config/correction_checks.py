"""Checks of the settings of the sampler-trainer mismatch correction."""

from __future__ import annotations

from collections.abc import Iterator

from igrpo.config.schema import RunConfig


def correction_problems(config: RunConfig) -> Iterator[str]:
    """Yield a message for each contradiction: the setting, its value and what to change."""
    correction = config.correction
    bounds = {"correction.low": correction.low, "correction.high": correction.high}
    if correction.level == "none":
        for key, value in bounds.items():
            if value is not None:
                yield f"{key}={value} is ignored by correction.level=none; set it to null, or the level to token"
        if correction.bound != "truncate":
            yield f"correction.bound={correction.bound} is ignored by correction.level=none; set it to truncate"
        return
    if correction.high is None:
        yield (
            f"correction.high=null: correction.level={correction.level} needs an upper bound, such as 2, since one "
            "weight could outgrow all others"
        )
    # the ratio is 1 for a token on which sampler and trainer agree
    if correction.high is not None and correction.high < 1:
        yield (
            f"correction.high={correction.high} is below 1, the ratio where sampler and trainer agree; raise it to 1 "
            "or more"
        )
    if correction.low is not None and correction.low > 1:
        yield (
            f"correction.low={correction.low} is above 1, the ratio where sampler and trainer agree; lower it to 1 or "
            "less, or set it to null"
        )
