"""The set-up of the compared runs in rows: what all of them share, and what differs between conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from igrpo.config import ConfigError, RunConfig, parse_config
from igrpo.config.plan_facts import split, trained_on
from igrpo.messages import count
from igrpo.report.conditions import RunGroup
from igrpo.report.labels import listed, shortlist
from igrpo.report.model import SetupRow
from igrpo.report.runs import LoadedRun
from igrpo.runs.fingerprints import PARTS, Part
from igrpo.runs.params import flatten_params

#: Settings of a part that name what it is made of, most telling first.
_NAMING = {"model": ("name_or_path", "name"), "data": ("path", "dataset", "name"), "reward": ("target", "name")}
_UNKNOWN = "not recorded"
_COMMIT_DIGITS = 12

#: Settings of a run by their flat names, as text.
_Flat = Mapping[str, str]

#: Returns the text of a row for one run; None if the run has not recorded it.
_Reader = Callable[[LoadedRun, _Flat], str | None]


def setup_rows(groups: Sequence[RunGroup]) -> tuple[SetupRow, ...]:
    """Return the rows of the set-up. A row of which no run has recorded anything is left out."""
    rows = (_row(name, groups, read) for name, read in _ROWS.items())
    return tuple(row for row in rows if row is not None)


def _row(name: str, groups: Sequence[RunGroup], read: _Reader) -> SetupRow | None:
    by_group = {
        group.name: {seed: read(run, flatten_params(run.config)) for seed, run in group.runs.items()}
        for group in groups
    }
    texts = {text for by_seed in by_group.values() for text in by_seed.values()}
    if texts == {None}:
        return None
    if len(texts) == 1:
        return SetupRow(name=name, value=str(texts.pop()), differs=False)
    if all(len(set(by_seed.values())) == 1 for by_seed in by_group.values()):
        having: dict[str, list[str]] = {}
        for group, by_seed in by_group.items():
            having.setdefault(next(iter(by_seed.values())) or _UNKNOWN, []).append(group)
        value = "; ".join(f"{text} ({listed(names)})" for text, names in having.items())
        return SetupRow(name=name, value=value, differs=True)
    seeds: dict[int, set[str | None]] = {}
    for by_seed in by_group.values():
        for seed, text in by_seed.items():
            seeds.setdefault(seed, set()).add(text)
    if all(len(found) == 1 for found in seeds.values()):
        each = [f"{found.pop() or _UNKNOWN} (seed {seed})" for seed, found in sorted(seeds.items())]
        return SetupRow(name=name, value=shortlist(each, "; "), differs=False)
    return SetupRow(name=name, value=shortlist(sorted(text or _UNKNOWN for text in texts), "; "), differs=True)


def _named(part: str, flat: _Flat) -> str:
    return next((text for key in _NAMING[part] if (text := flat.get(f"{part}.{key}"))), _UNKNOWN)


def _model(run: LoadedRun, flat: _Flat) -> str:
    parts = [_named("model", flat)]
    if run.summary is not None and run.summary.parameters is not None:
        parts.append(f"{run.summary.parameters:,} parameters")
    if flat.get("lora.rank", "0") != "0":
        parts.append(f"LoRA of rank {flat['lora.rank']}")
    return ", ".join(parts)


def _data(run: LoadedRun, flat: _Flat) -> str:
    if run.fingerprints is None:
        return _named("data", flat)
    sizes = [
        f"{int(split['questions']):,} {name}" for name, split in run.fingerprints.questions.items()
        if split.get("questions", "").isdigit()
    ]  # fmt: skip
    return _named("data", flat) + (f": questions {listed(sizes)}" if sizes else "")


def _tested(run: LoadedRun, flat: _Flat) -> str | None:
    if run.after is None:
        return None
    questions = count(len(run.after.single_shot), "question")
    temperature = flat.get("evaluation.temperature", "?")
    return f"{questions} × {count(run.after.samples, 'sample')} at temperature {temperature}"


def _reward(_: LoadedRun, flat: _Flat) -> str:
    beginning, end = "reward.parts.", ".reward.name"
    parts = [
        f"{flat.get(name.removesuffix(end) + '.weight', '?')} × {text}"
        for name, text in flat.items()
        if name.startswith(beginning) and name.endswith(end)
    ]
    where = flat.get("reward.answer_format", "").strip("[]").replace("'", "").replace('"', "")
    found = f", answer: {where}" if where else ""
    return _named("reward", flat) + found + (f": {' + '.join(parts)}" if parts else "")


def _prompt(_: LoadedRun, flat: _Flat) -> str:
    layout = flat.get("prompt.name", _UNKNOWN)
    template = flat.get("prompt.chat_template", "")
    return f"layout {layout}" + (f", chat template {template}" if template else "")


def _budget(_: LoadedRun, flat: _Flat) -> str:
    names = ("trainer.steps", "trainer.questions_per_step", "completions_per_question")
    steps, questions, completions = (int(flat.get(name, 0)) for name in names)
    each = f"{count(steps, 'step')} × {count(questions, 'question')} × {count(completions, 'completion')}"
    text = f"{each} = {count(steps * questions * completions, 'sample')}"
    limits = [
        f"{name.removeprefix('budget.')}={text}"
        for name, text in flat.items()
        if name.startswith("budget.") and text not in {"None", "null", ""}
    ]
    return text + (f", at most {listed(limits)}" if limits else "")


def _planned(describe: Callable[[RunConfig], str]) -> _Reader:
    """Return a reader that describes the sampling plan; it reads nothing from settings of another version of igrpo."""

    def read(run: LoadedRun, _: _Flat) -> str | None:
        try:
            return describe(parse_config(dict(run.config), run.name))
        except ConfigError:
            return None

    return read


def _optimizer(_: LoadedRun, flat: _Flat) -> str | None:
    if "trainer.optimizer" not in flat:
        return None
    epochs, minibatches = (int(flat.get(f"trainer.{name}", 1)) for name in ("epochs", "minibatches"))
    passes = (
        f"{count(epochs, 'epoch')} × {'1 minibatch' if minibatches == 1 else f'{minibatches} minibatches'} per step"
    )
    return f"{flat['trainer.optimizer']}, {flat.get('trainer.schedule', '?')} learning rate, {passes}"


def _sampling(_: LoadedRun, flat: _Flat) -> str | None:
    if "sampling.temperature" not in flat:
        return None
    top_p, longest = flat.get("sampling.top_p", "?"), flat.get("sampling.max_completion_tokens", "?")
    return f"temperature {flat['sampling.temperature']}, top_p {top_p}, {longest} tokens at most"


def _hardware(run: LoadedRun, flat: _Flat) -> str | None:
    recorded = None if run.summary is None else run.summary.hardware
    return recorded or flat.get("trainer.device")


def _versions(run: LoadedRun, _: _Flat) -> str | None:
    if run.summary is None or not run.summary.versions:
        return None
    return ", ".join(f"{name} {version}" for name, version in run.summary.versions.items())


def _commit(run: LoadedRun, _: _Flat) -> str | None:
    commit = None if run.summary is None else run.summary.commit
    if commit is None:
        return None
    clean = commit.removesuffix("-dirty")
    return clean[:_COMMIT_DIGITS] + ("" if clean == commit else " with uncommitted changes")


def _print_of(part: Part) -> _Reader:
    def read(run: LoadedRun, _: _Flat) -> str | None:
        return None if run.fingerprints is None else run.fingerprints.short().get(part)

    return read


def _setting(name: str) -> _Reader:
    return lambda _, flat: flat.get(name)


#: Rows of the set-up in order: title and reader.
_ROWS: dict[str, _Reader] = {
    "model": _model,
    "data": _data,
    "tested on": _tested,
    "reward": _reward,
    "prompt": _prompt,
    "budget": _budget,
    "completions": _planned(split),
    "trained on": _planned(trained_on),
    "objective": _setting("objective.name"),
    "learning rate": _setting("trainer.learning_rate"),
    "optimizer": _optimizer,
    "sampling": _sampling,
    "hardware": _hardware,
    "versions": _versions,
    "commit": _commit,
    **{f"fingerprint of {part}": _print_of(part) for part in PARTS},
}
