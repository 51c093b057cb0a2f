"""Shapes and types of igrpo.objective are checked at run time here (jaxtyping and beartype), and only of it."""

import importlib
import sys

import torch
from jaxtyping import install_import_hook

from . import checker

with install_import_hook("igrpo.objective", f"{checker.__name__}.check"):
    # Another test directory may have imported it without the checks. Modules first, the package that re-exports last.
    for name in sorted((name for name in sys.modules if name.startswith("igrpo.objective")), reverse=True):
        importlib.reload(sys.modules[name])
    importlib.import_module("igrpo.objective")

torch.set_num_threads(1)
