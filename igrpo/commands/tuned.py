"""``tuned=SEARCH_DIR``: a comparison takes, for each of its conditions, the settings that a search found for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from igrpo.commands.search import read_best
from igrpo.config import ConfigError, RunConfig
from igrpo.hydra_support.composer import Extras


def tuned_overrides(directories: Sequence[Path]) -> Extras:
    """The overrides of a run: those of the search for its condition, else of a search that drafts (or not) as it does.

    Raises:
        ConfigError: no search there, two for the same condition; later, a run that no search fits.
    """
    try:
        found = [read_best(directory) for directory in directories]
    except ValueError as error:
        raise ConfigError([str(error)]) from None
    conditions = [search["condition"] for search in found]
    twice = {name for name in conditions if conditions.count(name) > 1}
    if twice:
        raise ConfigError([f"tuned: two searches for condition {min(twice)}; give one"])

    def overrides(config: RunConfig) -> list[str]:
        search = _fitting(found, config)
        for key in ("model", "data"):
            here = config.model.name if key == "model" else config.data.name
            if search[key] != here:
                raise ConfigError([f"tuned: the search for {search['condition']} had {key}={search[key]}, not {here}"])
        return [f"{key}={value}" for key, value in search["best"].items()]

    return overrides


def _fitting(found: Sequence[dict[str, Any]], config: RunConfig) -> dict[str, Any]:
    for key, value in (("condition", config.condition), ("with_drafts", config.drafts > 0)):
        for search in found:
            if search[key] == value:
                return search
    known = ", ".join(search["condition"] for search in found)
    raise ConfigError([f"tuned: no search fits condition {config.condition} (there are: {known}); run one for it"])
