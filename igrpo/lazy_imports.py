"""Cheaper imports of large libraries: their unused dependencies are imported on first use, and nothing is collected.

transformers imports scikit-learn and scipy for two functions of its detection losses and of its assisted decoding, and
torchmetrics, which Lightning needs, imports scipy and matplotlib for types of annotations. Together they cost as much
as torch. In the block of `quick_imports` stand-ins take their places: they import the module when it is used.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any, Final

#: What is imported from each module without being used: functions, and classes that only annotations need.
_FUNCTIONS: Final[dict[str, tuple[str, ...]]] = {
    "sklearn.metrics": ("roc_curve",),
    "scipy.optimize": ("linear_sum_assignment",),
    "scipy.signal": ("hamming",),
    "boto3": (),
}
_CLASSES: Final[dict[str, tuple[str, ...]]] = {
    "matplotlib": (),
    "matplotlib.axes": ("Axes",),
    "matplotlib.colors": ("Colormap",),
    "matplotlib.pyplot": ("Figure",),
}


@contextmanager
def quick_imports() -> Iterator[None]:
    """Run a block of imports without garbage collection, with stand-ins for what they import and do not use.

    At its end ``sys.modules`` has no stand-in, so later imports give the modules themselves. The objects of the process
    are taken out of later collections (``gc.freeze``), which would otherwise go through all modules each time. To be
    used once in a process, before it has made other objects.
    """
    made = {name: stand_in for name, stand_in in _stand_ins().items() if _may_replace(name)}
    sys.modules.update(made)
    with collection_paused():
        try:
            yield
        finally:
            for name, stand_in in made.items():
                if sys.modules.get(name) is stand_in:
                    del sys.modules[name]
            gc.freeze()


@contextmanager
def collection_paused() -> Iterator[None]:
    """Run a block without garbage collection: imports make many objects, and each collection goes through all.

    Where collection is disabled already, it stays so.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _may_replace(name: str) -> bool:
    """True for a module that is installed and not imported yet; whoever asks for another one shall not find it."""
    top = name.partition(".")[0]
    return name not in sys.modules and top not in sys.modules and find_spec(top) is not None


class _StandIn(ModuleType):
    """Takes the place of a module; an attribute that it lacks is the module's, which is imported then."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)  # find_spec asks for it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks for __path__ and the like
            raise AttributeError(f"{self.__name__} is not imported yet, and has no {name}")
        return getattr(_real(self.__name__), name)


def _real(name: str) -> ModuleType:
    """Import a module, in whose place a stand-in may be."""
    for part in _parents(name):
        if isinstance(sys.modules.get(part), _StandIn):
            del sys.modules[part]
    return import_module(name)


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _stand_ins() -> dict[str, ModuleType]:
    made: dict[str, ModuleType] = {name: _StandIn(name) for name in (*_FUNCTIONS, *_CLASSES)}
    for module, names in _FUNCTIONS.items():
        vars(made[module]).update({name: _on_call(module, name) for name in names})
    for module, names in _CLASSES.items():
        vars(made[module]).update({name: type(name, (), {"__module__": module}) for name in names})
        parent, _, child = module.rpartition(".")
        if parent:
            vars(made[parent])[child] = made[module]
    # a decorator of torchmetrics' plots
    vars(made["matplotlib.pyplot"])["style"] = SimpleNamespace(context=_style_context)
    return made


def _on_call(module: str, name: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(_real(module), name)(*args, **kwargs)

    call.__name__, call.__module__ = name, module
    return call


@contextmanager
def _style_context(*args: Any, **kwargs: Any) -> Iterator[None]:
    with _real("matplotlib.style").context(*args, **kwargs):
        yield
