"""`igrpo join RUN_DIR`: add the devices of this node to a run that another node has started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from igrpo.config import ConfigError, parse_config
from igrpo.runs.lifeline import starter_variables, tied
from igrpo.runs.ranks import FOLDER, Launch, torchrun

_USAGE = """\
usage: igrpo join RUN_DIR

Lends this node's devices to the run in RUN_DIR (on a file system that the nodes share), which `igrpo train
trainer.nodes=N hydra.run.dir=RUN_DIR` starts on node 0. Both need MASTER_ADDR (the name of node 0), MASTER_PORT (29500
unless set) and NODE_RANK (or SLURM_NODEID) in the environment. Waits up to 10 minutes for the run to begin."""

_WAIT_S = 600.0


def run(arguments: Sequence[str]) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: invalid usage, or the run does not begin.
    """
    if "--help" in arguments or "-h" in arguments:
        print(_USAGE)
        return 0
    if len(arguments) != 1:
        raise ConfigError(["join: give it one run directory, as in igrpo join RUN_DIR"], "the command line")
    run_dir = Path(arguments[0]).absolute()
    config = parse_config(_launch(run_dir, time.time()).config)
    if config.trainer.nodes == 1:
        raise ConfigError([f"{run_dir}: trainer.nodes=1, its run needs no other node"], "join")
    process = subprocess.Popen(
        tied([*torchrun(config), "-m", "igrpo.cli.worker", str(run_dir)]),
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
    path = run_dir / FOLDER / "launch.json"
    while time.time() < since + _WAIT_S:
        if path.exists() and path.stat().st_mtime > since - _WAIT_S:
            return Launch.read(run_dir)
        time.sleep(0.5)
    raise ConfigError([f"{run_dir}: no run has begun there within {_WAIT_S:.0f} s"], "join")
