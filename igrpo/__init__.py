"""igrpo: compare iGRPO with GRPO at the same number of samples.

The public API of the package:

>>> import igrpo
>>> config = igrpo.compose("quickstart", ["algorithm=grpo"])
>>> run = igrpo.train(config)  # doctest: +SKIP
>>> report = igrpo.report([run])  # doctest: +SKIP

Everything is imported when it is first used, so that ``import igrpo`` itself takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from igrpo import assembly, losses
    from igrpo.api.composing import compose, grid
    from igrpo.api.evaluating import Evaluation, evaluate
    from igrpo.api.run import Run
    from igrpo.api.training import train
    from igrpo.api.verifying import Verdict, verify
    from igrpo.config import ConfigError, RunConfig
    from igrpo.report.calling import WrittenReport, report
    from igrpo.types import Completion, Question, Score

    __version__: str

#: Module of each public name; None: the name is itself a subpackage. `igrpo.report` is one that can be called.
_HOMES = {
    "Completion": "igrpo.types",
    "ConfigError": "igrpo.config",
    "Evaluation": "igrpo.api.evaluating",
    "Question": "igrpo.types",
    "Run": "igrpo.api.run",
    "RunConfig": "igrpo.config",
    "Score": "igrpo.types",
    "Verdict": "igrpo.api.verifying",
    "WrittenReport": "igrpo.report.calling",
    "__version__": "igrpo.api.version",
    "assembly": None,
    "compose": "igrpo.api.composing",
    "evaluate": "igrpo.api.evaluating",
    "grid": "igrpo.api.composing",
    "losses": None,
    "report": None,
    "train": "igrpo.api.training",
    "verify": "igrpo.api.verifying",
}

__all__ = [
    "Completion",
    "ConfigError",
    "Evaluation",
    "Question",
    "Run",
    "RunConfig",
    "Score",
    "Verdict",
    "WrittenReport",
    "__version__",
    "assembly",
    "compose",
    "evaluate",
    "grid",
    "losses",
    "report",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'igrpo' has no attribute {name!r}")
    home = _HOMES[name]
    value = import_module(f"igrpo.{name}") if home is None else getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
