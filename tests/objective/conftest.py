"""Shapes and types of igrpo.objective are checked at run time here (jaxtyping and beartype), and only of it."""

import importlib
import sys

import torch
from jaxtyping import install_import_hook

from . import checker

_MODULES = ("advantages", "aggregation", "kl", "metrics", "logprobs", "losses")  # each after what it imports

with install_import_hook("igrpo.objective", f"{checker.__name__}.check"):
    if "igrpo.objective" in sys.modules:  # another test directory imported it, without the checks
        for name in (*(f"igrpo.objective.{module}" for module in _MODULES), "igrpo.objective"):
            importlib.reload(sys.modules[name])
    importlib.import_module("igrpo.objective")

torch.set_num_threads(1)
