"""Settings from earlier searches (``tuned=SEARCH_DIR``) for the conditions of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from igrpo.config import ConfigError, RunConfig
from igrpo.config.composing.planned import Extras
from igrpo.sweeps.search import read_best


def tuned_overrides(directories: Sequence[Path], given: Sequence[str]) -> Extras:
    """Return a function that gives the overrides of a run from the results of searches.

    It uses the search for the run's condition, else a search that also has drafts (or also has none), and prints which
    search each condition uses.

    Raises:
        ConfigError: a directory has no search, two searches are for the same condition, or the command line also gives
            a setting. The returned function raises it if no search fits a run, or if model or data differ.
    """
    try:
        found = [read_best(directory) for directory in directories]
    except ValueError as error:
        raise ConfigError([str(error)]) from None
    conditions = [search["condition"] for search in found]
    twice = {name for name in conditions if conditions.count(name) > 1}
    if twice:
        raise ConfigError([f"tuned: two searches for condition {min(twice)}; give one"])

    for key in {key for search in found for key in search["best"]}:
        if any(text.lstrip("+").startswith(f"{key}=") for text in given):
            raise ConfigError([f"{key}: given on the command line and by tuned=; leave one of them out"])
    told: set[str] = set()

    def overrides(config: RunConfig) -> list[str]:
        search = _fitting(found, config)
        if config.condition not in told:
            told.add(config.condition)
            best = " ".join(f"{key}={value}" for key, value in search["best"].items())
            print(f"tuned: {config.condition} takes {best} from the search for {search['condition']}")
        for key in ("model", "data"):
            here = config.model.name if key == "model" else config.data.name
            if search[key] != here:
                raise ConfigError([f"tuned: the search for {search['condition']} had {key}={search[key]}, not {here}"])
        return [f"{key}={value}" for key, value in search["best"].items()]

    return overrides


def _fitting(found: Sequence[dict[str, Any]], config: RunConfig) -> dict[str, Any]:
    for key, value in (("condition", config.condition), ("with_drafts", config.plan.drafts > 0)):
        for search in found:
            if search[key] == value:
                return search
    known = ", ".join(search["condition"] for search in found)
    raise ConfigError([f"tuned: no search fits condition {config.condition} (there are: {known}); run one for it"])
