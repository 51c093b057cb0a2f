"""Output of `igrpo doctor`: tables of memory, cost and checks."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from igrpo.config.checks import longest_row
from igrpo.config.facts import cut_thinking
from igrpo.config.schema import RunConfig
from igrpo.messages import count
from igrpo.tools.doctor.cost import Assumptions
from igrpo.tools.doctor.device import GIB, DeviceMemory, on_cpu
from igrpo.tools.doctor.diagnosis import Diagnosis
from igrpo.tools.doctor.engine import EngineMemory
from igrpo.tools.doctor.memory import host_bytes, trained_parameters
from igrpo.tools.doctor.paper import Reference
from igrpo.tools.doctor.shape import Shape
from igrpo.tools.doctor.static_checks import Check

_STYLES = {"ok": "green", "failed": "red", "not checked": "yellow", "missing here": "yellow", "warning": "yellow"}


def print_page(found: Diagnosis, console: Console) -> None:
    """Print the page."""
    if found.shape is not None and found.memory is not None and found.assumed is not None:
        console.print(_head(found.config, found.shape))
        console.print(_trainer_table(found.config, found.shape, found.memory.trainer))
        if found.memory.engine is not None:
            console.print(_engine_table(found.config, found.memory.engine))
        for line in _advice(found):
            console.print(line)
        console.print(_cost_table(found))
        if found.references:
            console.print(_paper_table(found.references))
    if found.checks:
        console.print(_check_table(found.checks))
    for note in _notes(found):
        console.print(Text(note, style="dim"))
    style, verdict = _closing(found)
    console.print(Text(verdict, style=f"bold {style}"))


def _closing(found: Diagnosis) -> tuple[str, str]:
    if not found.well:
        return "red", "this would fail: see above"
    if any(check.state == "missing here" for check in found.checks):
        return "yellow", "nothing is known that would fail, once what is missing here is there"
    if any(check.state == "warning" for check in found.checks):
        return "yellow", "nothing is known that would fail, but there is a warning above"
    return "green", "nothing is known that would fail"


def _head(config: RunConfig, shape: Shape) -> Text:
    trained = trained_parameters(config, shape)
    what = "all trained" if not config.lora.rank else f"{trained:,} trained (adapters of rank {config.lora.rank})"
    where = f"{config.trainer.strategy} on {count(config.processes, 'device')}, rollout={config.rollout.name}"
    return Text(f"{config.run_name}: {shape.name}, {shape.parameters:,} parameters, {what}; {where}", style="bold")


def _trainer_table(config: RunConfig, shape: Shape, memory: DeviceMemory) -> Table:
    device = "process on the CPU" if on_cpu(config) else "training device"
    table = _table(f"memory of each {device}, GiB")
    for component in memory.resident:
        table.add_row(component.name, _gib(component.bytes), component.note)
    table.add_section()
    worst = memory.worst
    for component in worst.components:
        table.add_row(f"  {component.name}", _gib(component.bytes), component.note)
    others = [f"{phase.name} {_gib(phase.bytes)}" for phase in memory.phases if phase is not worst and phase.bytes]
    table.add_section()
    table.add_row(Text(f"peak: {worst.name}", style="bold"), _bold(memory.peak), _verdict(memory.peak, memory.limit))
    if not on_cpu(config):
        host = host_bytes(config, shape)
        table.add_row("on the host while it is loaded", _gib(host), f"{config.trainer.devices} processes per node")
    if others:
        table.add_row("in its place at other times", "", "; ".join(others))
    return table


def _engine_table(config: RunConfig, engine: EngineMemory) -> Table:
    table = _table("memory of each device of the vLLM engine, GiB")
    table.add_row("weights", _gib(engine.weights), f"rollout.tensor_parallel={_tensor_parallel(config)}")
    table.add_row(
        "left for keys and values", _gib(engine.cache), f"of {_gib(engine.granted)} granted; {_token(engine)}"
    )
    for tokens in dict.fromkeys((longest_row(config), engine.max_model_len)):
        held = engine.holds(tokens)
        text = Text(f"{held:,} at a time; others wait") if held else Text("not one", style="red")
        table.add_row(f"sequences of {tokens:,} tokens", "", text)
    most = f"{_max_num_seqs(config):,} sequences of full length"
    table.add_row("would fill rollout.max_num_seqs", _gib(engine.wanted), most)
    return table


def _advice(found: Diagnosis) -> list[Text]:
    assert found.memory is not None
    if found.memory.fits:
        return []
    if not found.plans:
        return [Text("it does not fit, and no change that is known here makes it fit: a smaller model", style="red")]
    lines = [Text("it does not fit; each of these does, as recomputed:", style="red")]
    for plan in found.plans:
        traded = dict.fromkeys(change.cost for change in plan.changes if change.cost)
        text = " ".join(change.text for change in plan.changes)
        lines.append(Text.assemble(f"  {plan.name}: ", (text, "bold"), f"  ({', '.join(traded)})" if traded else ""))
    return lines


def _cost_table(found: Diagnosis) -> Table:
    table = Table(title="cost", box=box.SIMPLE_HEAD, title_style="bold", title_justify="left", pad_edge=False)
    own = found.config.algorithm.title
    table.add_column("")
    for name in found.costs:
        table.add_column(f"{name} (this run)" if name == own else name, justify="right")
    flops = [f"{c.sampling_flops:.2g} + {c.training_flops:.2g}" for c in found.costs.values()]
    rows: list[tuple[str, list[str]]] = [
        ("samples per step / trained on", [f"{c.samples:,} / {c.trained_rows:,}" for c in found.costs.values()]),
        ("tokens per step: generated", [f"{c.generated:,}" for c in found.costs.values()]),
        ("  prefilled / trained", [f"{c.prefilled:,} / {c.trained_tokens:,}" for c in found.costs.values()]),
        ("FLOPs per step: sampling + training", flops),
        ("steps, samples of the run", [f"{c.steps:,}, {c.steps * c.samples:,}" for c in found.costs.values()]),
    ]  # fmt: skip
    if found.timed:
        seconds = [f"{c.sampling_seconds:,.0f} + {c.training_seconds:,.0f}" for c in found.costs.values()]
        hours = [f"{c.gpu_hours:,.1f} on {c.devices}" for c in found.costs.values()]
        rows += [("seconds per step: sampling + training", seconds), ("GPU-hours of the run", hours)]
    for name, values in rows:
        table.add_row(name, *values)
    return table


def _paper_table(references: Sequence[Reference]) -> Table:
    table = Table(
        title="the paper's printed cost, and this model in the paper's layout", box=box.SIMPLE_HEAD, title_style="bold",
        title_justify="left", pad_edge=False,
    )  # fmt: skip
    for name in ("", "GPU-hours printed", "modelled", "off by", "peak GB printed", "modelled", "off by"):
        table.add_column(name, justify="right" if name else "left")
    for row in references:
        table.add_row(
            row.algorithm,
            f"{row.printed_gpu_hours:.1f}", f"{row.gpu_hours:.1f}", _off(row.gpu_hours, row.printed_gpu_hours),
            f"{row.printed_gb:.2f}", f"{row.gb:.1f}", _off(row.gb, row.printed_gb),
        )  # fmt: skip
    return table


def _check_table(checks: Sequence[Check]) -> Table:
    table = Table(title="checks", box=None, title_style="bold", title_justify="left", show_header=False, pad_edge=False)
    for check in checks:
        table.add_row(check.name, Text(check.state, style=_STYLES[check.state]), Text(check.text))
    return table


def _notes(found: Diagnosis) -> list[str]:
    notes = list(cut_thinking(found.config))
    assumed, shape = found.assumed, found.shape
    if assumed is not None:
        lengths = f"questions of {assumed.question_tokens:,} and completions of {assumed.completion_tokens:,} tokens"
        notes.append(f"assumed: {lengths}" + (f"; {_speeds(assumed)}" if found.timed else ""))
    if found.config.dynamic_sampling.max_attempts:
        times = 1 + found.config.dynamic_sampling.max_attempts
        notes.append(
            f"the cost is that of steps in which no question is dropped; sampling may take up to {times} times it"
        )
    if shape is not None and not shape.verified:
        notes.append(
            f"the sizes of {shape.name} are those of the model that it was tuned from, not read from its own files"
        )
    if shape is not None and shape.flops != shape.budget_flops:
        notes.append(
            "the run's own budget/flops counts 2 operations per parameter outside of the embeddings and token, an "
            "estimate for this family"
        )
    if shape is not None and shape.window is not None and shape.window < longest_row(found.config):
        notes.append(
            f"the model attends to windows of {shape.window:,} tokens, but FLOPs of attention, keys and values are "
            "counted over the whole context: an upper bound"
        )
    return notes


def _speeds(assumed: Assumptions) -> str:
    return (
        f"{assumed.device.name}, training at {assumed.training_share:.0%} of its peak, sampling at "
        f"{assumed.sampling_share:.0%} of it or {assumed.bandwidth_share:.0%} of its bandwidth; evaluation is left out"
    )


def _table(title: str) -> Table:
    table = Table(title=title, box=None, title_style="bold", title_justify="left", show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    return table


def _gib(amount: float) -> str:
    return f"{amount / GIB:,.1f}" if amount >= GIB / 10 or amount == 0 else f"{amount / GIB:.4f}"


def _bold(amount: float) -> Text:
    return Text(_gib(amount), style="bold")


def _verdict(amount: float, limit: float) -> Text:
    if amount <= limit:
        return Text(f"fits {limit / GIB:,.0f}", style="green")
    return Text(f"does not fit {limit / GIB:,.0f}: {_gib(amount - limit)} too much", style="red")


def _off(modelled: float, printed: float) -> str:
    return f"{100 * (modelled / printed - 1):+.0f} %"


def _token(engine: EngineMemory) -> str:
    return f"{engine.token / 1024:,.0f} KiB per token" + (
        f", {engine.state / 2**20:,.0f} MiB per sequence" if engine.state else ""
    )


def _tensor_parallel(config: RunConfig) -> int:
    assert config.rollout.name != "local"
    return config.rollout.tensor_parallel


def _max_num_seqs(config: RunConfig) -> int:
    assert config.rollout.name != "local"
    return config.rollout.max_num_seqs
