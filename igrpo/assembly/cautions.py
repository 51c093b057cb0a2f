"""Warnings about questions that can be evaluated, and whose accuracy would not be what it seems to be."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from igrpo.config.schema import RunConfig
from igrpo.messages import count
from igrpo.prompts.builder import PromptBuilder
from igrpo.settings.data import GeneratedDataConfig
from igrpo.settings.reward import RewardConfig, reads_options
from igrpo.types import Question

log = logging.getLogger(__name__)


def options_unread(config: RunConfig, *, data: bool = True, benchmarks: bool = True) -> Iterator[str]:
    """Yield a sentence for each data set with options whose reward does not read them.

    Args:
        config: the settings.
        data: consider the data of the run.
        benchmarks: consider the benchmarks.
    """
    asked: list[tuple[str, RewardConfig, str]] = []
    if data and not isinstance(config.data, GeneratedDataConfig) and config.data.fields.options is not None:
        asked.append(("data", config.reward, "reward"))
    for name, benchmark in config.evaluation.benchmarks.items() if benchmarks else ():
        if benchmark.fields.options is not None:
            section = f"evaluation.benchmarks.{name}"
            reward = config.reward if benchmark.reward is None else benchmark.reward
            asked.append((section, reward, f"+reward@{section}.reward"))
    for section, reward, setting in asked:
        if not reads_options(reward):
            yield (
                f"{section}.fields.options is set, and reward={reward.name} reads no options: an answer by the text of "
                f"the right option counts as wrong; to read options: {setting}=multiple_choice"
            )


def warn_of_lost_text(questions: Sequence[Question], prompts: PromptBuilder, name: str) -> None:
    """Warn if the tokenizer cannot express the problems of some questions, which the model sees without that part.

    Raises:
        ValueError: it can express none of them exactly; the message names the questions as ``name``.
    """
    lost = [(question, text) for question in questions if (text := prompts.lost(question)) is not None]
    if not lost:
        return
    example = f"'{lost[0][0].id}': {lost[0][1]}"
    if len(lost) == len(questions):
        raise ValueError(
            f"the model's tokenizer can express no problem of the {name} as it is written, for example {example}; give "
            "data that this model can read"
        )
    log.warning(
        "the model does not see all of %s of the %s, for example %s",
        f"{len(lost):,} of {count(len(questions), 'problem')}", name, example,
    )  # fmt: skip
