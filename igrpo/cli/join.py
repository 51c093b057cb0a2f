"""`igrpo join RUN_DIR`: add the devices of this node to a run that another node has started."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from igrpo.cli.arguments import Parser
from igrpo.config import ConfigError

if TYPE_CHECKING:
    from igrpo.runs.rank_records import Launch

WAIT_S = 600.0


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        "join",
        "Add the devices of this node to the run in RUN_DIR, on a file system that the nodes share. Node 0 starts the "
        "run with `igrpo train trainer.nodes=N hydra.run.dir=RUN_DIR`. All nodes need the environment variables "
        "MASTER_ADDR (name of node 0), MASTER_PORT (default: 29500) and NODE_RANK (or SLURM_NODEID). Waits up to "
        f"{WAIT_S / 60:.0f} minutes for the run to start.",
        ["NODE_RANK=1 MASTER_ADDR=node0 igrpo join RUN_DIR"],
    )
    made.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="directory of the run")
    return made


def run(asked: argparse.Namespace) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: the run needs no other node, or does not start in time.
    """
    from igrpo.config import parse_config
    from igrpo.runs.lifeline import starter_variables, tied
    from igrpo.runs.ranks import WORKER, torchrun

    run_dir = asked.run_dir.absolute()
    config = parse_config(_launch(run_dir, time.time()).config)
    if config.trainer.nodes == 1:
        raise ConfigError([f"{run_dir}: trainer.nodes=1, its run needs no other node"], "join")
    process = subprocess.Popen(
        tied([*torchrun(config), *WORKER, str(run_dir)]),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | starter_variables(),
    )
    try:
        return process.wait()
    except BaseException:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise


def _launch(run_dir: Path, since: float) -> Launch:
    """Wait for the launch file that node 0 writes, and read it; a file of an earlier start is ignored."""
    from igrpo.runs.rank_records import FOLDER, Launch

    path = run_dir / FOLDER / "launch.json"
    while time.time() < since + WAIT_S:
        if path.exists() and path.stat().st_mtime > since - WAIT_S:
            return Launch.read(run_dir)
        time.sleep(0.5)
    raise ConfigError([f"{run_dir}: no run has started there within {WAIT_S:.0f} s"], "join")
