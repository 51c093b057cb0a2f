"""Report after the first evaluation, before training: the worth of a draft for this model and prompt layout."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rich.console import Console

from igrpo.config.schema import RunConfig
from igrpo.evaluation.draft_worth import no_worth_warning
from igrpo.evaluation.result import EvaluationResult

log = logging.getLogger(__name__)

#: Name of the alarm for drafts that do not raise the accuracy.
ALARM = "draft_worth"


def report_draft_worth(
    result: EvaluationResult, config: RunConfig, console: Console | None, record: Callable[[str, str], None]
) -> None:
    """Print the worth of a draft; warn if drafts are worth nothing and the algorithm learns from drafts.

    Args:
        console: where it is printed (None: only the log has it, as in a sweep, whose report shows it).
        record: called with the alarm's name and message after the warning.
    """
    worth = result.draft_worth
    if worth is None:  # evaluation.draft_conditioned=false, or the reward scored nothing
        return
    line = f"a draft's worth before training: {worth}"
    log.info("%s", line)
    if console is not None:
        console.print(line, soft_wrap=not console.is_terminal)
    if config.plan.learns_from_drafts and worth.is_nothing:
        message = no_worth_warning(worth, f"prompt={config.prompt.name}")
        log.warning("%s", message)
        record(ALARM, f"before training: {message}")
