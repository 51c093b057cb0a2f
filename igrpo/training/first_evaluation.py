"""What a run says after its first evaluation, before it trains: what a draft is worth for this model and layout."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rich.console import Console

from igrpo.config.schema import RunConfig
from igrpo.evaluation.draft_worth import no_worth
from igrpo.evaluation.result import EvaluationResult

log = logging.getLogger(__name__)

#: The name of the alarm that goes off where drafts are worth nothing.
ALARM = "draft_worth"


def tell_draft_worth(
    result: EvaluationResult, config: RunConfig, console: Console, tell: Callable[[str, str], None]
) -> None:
    """Print what a draft is worth; warn where it is worth nothing and the run is to learn from drafts.

    Args:
        tell: called with the alarm's name and words after the warning: it keeps them.
    """
    worth = result.draft_worth
    if worth is None:  # evaluation.draft_conditioned=false, or the reward scored nothing
        return
    line = f"a draft's worth before training: {worth}"
    log.info("%s", line)
    console.print(line, soft_wrap=True)
    if config.algorithm.learns_from_drafts and worth.is_nothing:
        words = no_worth(worth, f"prompt={config.prompt.name}")
        log.warning("%s", words)
        tell(ALARM, f"before training: {words}")
