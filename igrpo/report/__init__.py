"""The report on runs: statistics, figures, tables and the page. `igrpo.report(runs)` writes one."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """Lets ``igrpo.report`` be both this package and the function of the public API."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from igrpo.report.calling import report

        return report(*arguments, **options)


sys.modules[__name__].__class__ = _CallableModule
