"""Package versions, git commit and hardware with which a result was made."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("igrpo", "torch", "transformers", "lightning", "mlflow", "vllm", "math-verify")
_GIT_DEADLINE_S = 5.0


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on, if installed. Imports none of them."""
    installed = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def hardware(device: str, processes: int) -> str:
    """Return what a run is trained on, such as '2 x NVIDIA H200' or 'CPU (x86_64), 16 cores'.

    Args:
        device: type of the device, ``cpu`` or ``cuda``. For ``cuda`` the name is that of this process's device.
        processes: number of training processes, each with its own device.
    """
    if device == "cuda":
        import torch

        return f"{processes} x {torch.cuda.get_device_name()}"
    return f"{device.upper()} ({platform.machine()}), {os.cpu_count()} cores"


def git_commit(file: Path | None = None) -> str | None:
    """Return the commit of the checkout that tracks ``file`` (this package by default), with '-dirty' if changed.

    Return None if git is not installed, times out, or does not track the file. A package that is installed inside
    another project's checkout must not report that project's commit.
    """
    file = Path(__file__) if file is None else file
    if _git(file, "ls-files", "--error-unmatch", file.name) is None:
        return None
    commit = _git(file, "rev-parse", "HEAD")
    changes = _git(file, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and changes else commit


def _git(file: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(file.parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_DEADLINE_S, check=False)
    except (FileNotFoundError, NotADirectoryError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
