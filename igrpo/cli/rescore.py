"""`igrpo rescore`: score the rollouts of a run with another reward, and compare it with the run's own."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igrpo.cli.arguments import Parser
from igrpo.config import ConfigError

if TYPE_CHECKING:
    from igrpo.config import RunConfig
    from igrpo.tools.rescore import RescoreResult

_PROG = "igrpo rescore"
_EXAMPLES = (
    "igrpo rescore RUN_DIR reward=judge reward.base_url=http://127.0.0.1:8001/v1 reward.model=NAME",
    "igrpo rescore RUN_DIR reward=math_verify reward.percent=strict --steps 1:50",
)
_REWARD = re.compile(r"\+{0,2}(reward|judge_prompt@reward)[.=@]")


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        "rescore",
        "Score the stored answers, drafts and refinements of a run with another reward, and show where it disagrees "
        "with the run's own. The rollouts are not changed; the result is written to RUN_DIR/rescore-NAME-HASH.json.",
        _EXAMPLES,
    )
    add = made.add_argument
    add("run_dir", type=Path, metavar="RUN_DIR", help="directory of a run")
    add("settings", nargs="*", metavar="SETTING=VALUE", help="the other reward: reward=NAME, reward.KEY=VALUE ...")
    add("--steps", metavar="A:B", help="steps to score, both ends included; A or B may be omitted (default: all)")
    return made


def run(asked: argparse.Namespace) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: invalid arguments or settings, nothing to score, or a reward that fails.
    """
    steps = None if asked.steps is None else _steps(asked.steps)
    config = _composed(asked.settings)
    from igrpo.config import read_config

    trained = read_config(asked.run_dir / "config.yaml")
    old = trained.reward

    from igrpo.assembly import build_reward
    from igrpo.console import waiting
    from igrpo.disk import DiskFullError
    from igrpo.rewards.base import RewardError, RewardPausedError
    from igrpo.runs.fingerprints import kept_date
    from igrpo.runs.lifecycle import EXIT_PAUSED
    from igrpo.runs.run_directory import RunDirectory
    from igrpo.tools.rescore import compare, disagreements, rescore

    try:
        today = kept_date(RunDirectory(asked.run_dir))
        with closing(build_reward(config.reward, None, today=today)) as reward, waiting("scoring the rollouts"):
            pairs = rescore(asked.run_dir, reward, steps, best_is_shown=trained.algorithm.best_is_shown)
        comparison = compare(pairs)
        report = {
            "old": old.model_dump(mode="json"),
            "new": config.reward.model_dump(mode="json"),
            "steps": sorted({pair.step for pair in pairs}),
            **asdict(comparison),
            "disagreements": disagreements(pairs),
        }
        path = _write(asked.run_dir, config, report)
    except RewardPausedError as pause:
        again = f"the scores so far are cached, so run it again with {pause.setting}=MORE"
        print(f"igrpo: paused: {pause}; {again}", file=sys.stderr)
        return EXIT_PAUSED
    except (ValueError, RewardError, DiskFullError) as error:
        raise ConfigError([str(error)], _PROG) from error
    _show(comparison, old.name, config.reward.name, path)
    return 0


def _steps(text: str) -> range:
    match = re.fullmatch(r"(\d*):(\d*)", text)
    if match is None:
        raise ConfigError([f"--steps {text}: give two numbers, as in --steps 10:20"], _PROG)
    first, last = int(match[1] or 0), int(match[2] or 10**9)
    if last < first:
        raise ConfigError([f"--steps {text}: the last step comes before the first"], _PROG)
    return range(first, last + 1)


def _composed(settings: Sequence[str]) -> RunConfig:
    others = [text for text in settings if _REWARD.match(text) is None]
    if others:
        raise ConfigError([f"{text}: only settings of the reward are allowed here" for text in others], _PROG)
    if not any(text.lstrip("+").startswith("reward=") for text in settings):
        raise ConfigError(["give the other reward, such as reward=judge or reward=math_verify"], _PROG)
    from igrpo.config.composing.composer import Composer
    from igrpo.runs.resume import require_files

    with Composer("train") as composer:
        config = composer.check_run(settings).config
    require_files([config])
    return config


def _write(run_dir: Path, config: RunConfig, report: dict[str, Any]) -> Path:
    """Write the report and return its path; the same reward and steps always give the same file name."""
    import hashlib
    import json

    from igrpo.disk import disk_errors
    from igrpo.files import write_json_atomic

    what = json.dumps([report["new"], report["steps"]], sort_keys=True)
    digest = hashlib.sha256(what.encode()).hexdigest()[:8]
    path = run_dir / f"rescore-{config.reward.name}-{digest}.json"
    with disk_errors(path):
        write_json_atomic(path, report)
    return path


def _show(comparison: RescoreResult, old: str, new: str, path: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from igrpo.runs.console import get_console

    table = Table(title=f"{comparison.completions} completions, by the run's {old} and by {new}")
    for name in ("", f"old: {old}", f"new: {new}"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("mean value", _number(comparison.mean_old), _number(comparison.mean_new))
    right_old = comparison.both_right + comparison.only_old_right
    right_new = comparison.both_right + comparison.only_new_right
    table.add_row(f"right, of {comparison.verdicts} verdicts", str(right_old), str(right_new))
    table.add_row("right only by this reward", str(comparison.only_old_right), str(comparison.only_new_right))
    table.add_row("without a score", str(comparison.unscored_old), str(comparison.unscored_new))
    console = get_console()
    console.print(table)
    for name, text in (
        ("same verdict", _share(comparison.agreement, comparison.verdicts)),
        ("correlation of the values", _number(comparison.correlation)),
        ("another best draft", _share(comparison.other_best, comparison.drafted_rounds)),
        ("written to", str(path)),
    ):
        console.print(Text.assemble((f"{name}   ", "cyan"), text), soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _share(value: float | None, of: int) -> str:
    return "-" if value is None else f"{value:.1%} of {of}"
