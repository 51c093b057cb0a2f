"""What a table's runs need, by the estimates of `igrpo doctor`, and what of it this machine lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from igrpo.config import RunConfig
from igrpo.config.checks import missing_files
from igrpo.messages import count
from igrpo.runs.printing import columns_table, headed_table
from igrpo.settings.data import HubDataConfig
from igrpo.settings.judge import JudgeConfig
from igrpo.sweeps.plan import runs_here
from igrpo.tools.doctor.device import GIB, on_cpu
from igrpo.tools.doctor.diagnosis import Diagnosis, Options, diagnose
from igrpo.tools.doctor.live_checks import model_absent
from igrpo.tools.reproduce.grids import PlannedGrid, first_configs


@dataclass(frozen=True, slots=True)
class GridNeeds:
    """Needs of a grid's runs.

    Attributes:
        name: name of the grid.
        runs: number of its runs.
        training: devices that train.
        serving: devices of the vLLM server.
        nodes: nodes that train.
        memory: GiB of the busiest device that trains (None: not known).
        gpu_hours: of all its runs, without evaluation (None: not known, or on a CPU).
        models, data, judges: names of what is read, and addresses of the judges.
        lacks: what this machine lacks.
    """

    name: str
    runs: int
    training: int
    serving: int
    nodes: int
    memory: float | None
    gpu_hours: float | None
    models: tuple[str, ...]
    data: tuple[str, ...]
    judges: tuple[str, ...]
    lacks: tuple[str, ...]


def needs_of(planned: PlannedGrid, device: str | None = None) -> GridNeeds:
    """Return what the runs of a grid need. Nothing is loaded or downloaded; ``device`` is a key of the doctor's."""
    cells = planned.sweep.cells
    configs = [config for _, config in first_configs(planned)]
    found = [diagnose(config, Options(load=False, device=device)) for config in configs]
    first = configs[0]
    hours = [one.costs[one.config.algorithm.title].gpu_hours for one in found if one.timed and one.costs]
    peaks = [one.memory.trainer.peak / GIB for one in found if one.memory is not None]
    names = [str(name) for config in configs if (name := getattr(config.model, "name_or_path", None))]
    return GridNeeds(
        name=planned.grid.name,
        runs=len(cells),
        training=first.processes,
        serving=max((one.assumed.server_devices for one in found if one.assumed), default=0),
        nodes=first.trainer.nodes,
        memory=max(peaks) if peaks else None,
        gpu_hours=sum(hours) * len(cells) / len(configs) if len(hours) == len(configs) else None,
        models=tuple(dict.fromkeys(names)),
        data=tuple(dict.fromkeys(name for config in configs for name in _data(config))),
        judges=tuple(dict.fromkeys(judge for config in configs for judge in _judges(config))),
        lacks=tuple(dict.fromkeys(text for one in found for text in _lacks(one, here=runs_here(planned.sweep)))),
    )


def print_needs(needs: Sequence[GridNeeds], console: Console) -> None:
    """Print a table of the needs, and what else is read."""
    table = headed_table()
    table.add_column("grid", style="cyan", no_wrap=True)
    for name in ("runs", "devices", "GiB per device", "GPU-hours"):
        table.add_column(name, justify="right")
    for one in needs:
        table.add_row(one.name, str(one.runs), _devices_of(one), _shown(one.memory), _shown(one.gpu_hours))
    hours = [one.gpu_hours for one in needs if one.gpu_hours is not None]
    if hours:
        table.caption = (
            f"{sum(hours):,.0f} GPU-hours together, of A100 80 GB, without evaluation (estimates of igrpo doctor)"
        )
    console.print(Text("what the runs need", style="bold"))
    console.print(table)
    read = columns_table()
    for title, names in (
        ("models", [name for one in needs for name in one.models]),
        ("data", [name for one in needs for name in one.data]),
        ("judges", [name for one in needs for name in one.judges]),
    ):
        if names:
            read.add_row(title, Text(", ".join(dict.fromkeys(names))))
    if read.rows:
        console.print(read)


def lacking(needs: Sequence[GridNeeds]) -> list[str]:
    """Return what this machine lacks for a table, each once, with the grids that need it, unless all do."""
    found: dict[str, list[str]] = {}
    for one in needs:
        for text in one.lacks:
            found.setdefault(text, []).append(one.name)
    return [text if len(names) == len(needs) else f"{text} ({', '.join(names)})" for text, names in found.items()]


def _devices_of(one: GridNeeds) -> str:
    nodes = "" if one.nodes == 1 else f" on {one.nodes} nodes"
    return f"{one.training} train{nodes}, {one.serving} serve" if one.serving else f"{one.training}{nodes}"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _data(config: RunConfig) -> Iterator[str]:
    if isinstance(config.data, HubDataConfig):
        yield config.data.dataset
    for benchmark in config.evaluation.benchmarks.values():
        yield benchmark.dataset


def _judges(config: RunConfig) -> Iterator[str]:
    if isinstance(config.reward, JudgeConfig):
        yield f"{config.reward.model} at {config.reward.base_url}"


def _lacks(found: Diagnosis, *, here: bool) -> Iterator[str]:
    """Yield what this machine lacks; ``here``: the runs are on it, and not only their evaluations."""
    config = found.config
    yield from missing_files(config)
    yield from _devices(config, config.trainer.devices, "train") if here else _devices(config, 1, "evaluate")
    absent = model_absent(config)
    if absent:
        yield f"the model {absent} is not on this machine: get it with `hf download {absent}`"
    for check in found.checks:
        if check.state in {"missing here", "failed"}:
            yield check.text


def _devices(config: RunConfig, wanted: int, what: str) -> Iterator[str]:
    if on_cpu(config):
        return
    import torch

    seen = torch.cuda.device_count()
    if seen < wanted:
        yield f"{count(wanted, 'CUDA device')} on this machine, to {what} on; torch sees {seen or 'none'}"
