"""Report after the first evaluation, before training: the worth of a draft for this model and prompt layout."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rich.console import Console

from igrpo.config.schema import RunConfig
from igrpo.evaluation.draft_worth import no_worth
from igrpo.evaluation.result import EvaluationResult

log = logging.getLogger(__name__)

#: Name of the alarm for drafts that do not raise the accuracy.
ALARM = "draft_worth"


def tell_draft_worth(
    result: EvaluationResult, config: RunConfig, console: Console, tell: Callable[[str, str], None]
) -> None:
    """Print the worth of a draft; warn if drafts are worth nothing and the algorithm learns from drafts.

    Args:
        tell: called with the alarm's name and message after the warning, in order to record them.
    """
    worth = result.draft_worth
    if worth is None:  # evaluation.draft_conditioned=false, or the reward scored nothing
        return
    line = f"a draft's worth before training: {worth}"
    log.info("%s", line)
    console.print(line, soft_wrap=True)
    if config.plan.learns_from_drafts and worth.is_nothing:
        words = no_worth(worth, f"prompt={config.prompt.name}")
        log.warning("%s", words)
        tell(ALARM, f"before training: {words}")
