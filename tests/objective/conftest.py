"""Shapes and types of igrpo.objective are checked at run time here (jaxtyping and beartype), and only of it."""

import importlib
import sys

import torch
from jaxtyping import install_import_hook

from . import checker

# Another test directory may have imported it without the checks: import it afresh, and let those who hold functions of
# the first import share the names of the second, so that there is one class of each name.
unchecked = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("igrpo.objective")}
with install_import_hook("igrpo.objective", f"{checker.__name__}.check"):
    importlib.import_module("igrpo.objective")
for name, module in unchecked.items():
    vars(module).update(vars(sys.modules[name]))

torch.set_num_threads(1)
