"""Sets of prompts by name, for an evaluation under several of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from igrpo.config.composing.composer import Composer
from igrpo.config.composing.folders import choices
from igrpo.config.composing.overrides import quoted
from igrpo.settings.prompt import PromptConfig

#: A complete configuration, in which only the prompt is of interest.
_ANY_RUN = ("experiment=math_local", "algorithm=grpo", "data.path=none")


def prompt_sets(names: Sequence[str] | Literal["all"], main: PromptConfig) -> dict[str, PromptConfig]:
    """Return the sets of prompts, without the main one. Their token budgets are those of the main one.

    Args:
        names: their names, or ``all`` for every one in conf/prompt.
        main: the evaluation's own prompts.

    Raises:
        ConfigError: there is no such set.
    """
    if not names:
        return {}
    wanted = [choice.name for choice in choices("prompt")] if names == "all" else list(dict.fromkeys(names))
    budgets = {key: getattr(main, key) for key in ("max_question_tokens", "max_draft_tokens")}
    with Composer("train") as composer:
        found = {name: _composed(composer, name).model_copy(update=budgets) for name in wanted}
    return {name: prompt for name, prompt in found.items() if prompt != main}


def _composed(composer: Composer, name: str) -> PromptConfig:
    prompt: PromptConfig = composer.check_run([*_ANY_RUN, f"prompt={quoted(name)}"]).config.prompt
    return prompt
