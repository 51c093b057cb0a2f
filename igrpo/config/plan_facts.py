"""Descriptions of the sampling plan: how the budget of a question is spent and trained, for `igrpo.config.facts`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from igrpo.algorithms.plan import PlannedSamples
from igrpo.config.schema import RunConfig
from igrpo.settings.importance_weights import CrossPromptConfig, CrossPromptWeightsConfig


def split(config: RunConfig) -> str:
    """Describe how the completions per question are split."""
    plan, total = config.plan, config.completions_per_question
    counts: dict[tuple[str, int], int] = {}
    for part in plan.parts:
        kind = (part.role, part.per_prompt)
        counts[kind] = counts.get(kind, 0) + part.prompts
    each = [
        f"{prompts} rounds of {size} {role}s" if prompts > 1 and size > 1 else f"{prompts * size} {role}s"
        for (role, size), prompts in counts.items()
    ]
    if len(each) == 1:
        return each[0] + (f" of a budget of {total}" if plan.samples < total else "")
    if plan.varies:
        return f"at most {plan.samples} = {' + '.join(each)}; at least {plan.least_samples}"
    return f"{plan.samples} = {' + '.join(each)}"


def trained_on(config: RunConfig) -> str:
    """Describe what is trained, and as answers to what."""
    plan = config.plan
    ways = [text for part in plan.parts for text in _ways(part, config.algorithm.transferring)]
    together = len(ways) > 1 and plan.group_sizes == {plan.rows}
    return "; ".join(ways) + ("; all of a question are one group" if together else "")


def _ways(part: PlannedSamples, transfer: CrossPromptConfig | None) -> Iterator[str]:
    most = "" if part.always else f"up to {part.samples} "
    for texts in part.trained:
        if texts == part.shown:
            yield f"{most}{part.role}s"
        else:
            assert transfer is not None
            yield f"{most}{part.role}s as answers to the bare question, {_transfer(transfer)}"


def most_rows(config: RunConfig) -> int:
    """Return the maximum number of samples per question that get a gradient: 1 if only the best is imitated."""
    objective = config.objective
    only_best = objective.advantage.select == "best" and objective.kl_beta == 0 and not objective.has_entropy_bonus
    return 1 if only_best else config.plan.rows


def answered_once(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Yield the row about the questions that are only answered, if there are any."""
    plan, questions = config.plan, config.trainer.questions_per_step
    if plan.other:
        each = " or ".join(map(str, other_questions(config)))
        yield (
            "answered once, all trained on",
            f"{100 * float(plan.other_share):g} % of the questions ({each} of a step's {questions}), "
            f"{sum(part.samples for part in plan.other)} completions each",
        )


def other_questions(config: RunConfig) -> list[int]:
    """Return the possible numbers of a step's questions that are sampled by the plan's ``other`` parts."""
    mean = config.plan.other_share * config.trainer.questions_per_step
    return sorted({math.floor(mean), math.ceil(mean)})


def _transfer(transfer: CrossPromptConfig) -> str:
    if isinstance(transfer, CrossPromptWeightsConfig) and transfer.level == "none":
        return "without a weight for the prompt that they were sampled from"
    if isinstance(transfer, CrossPromptWeightsConfig):
        return f"weighted by at most {transfer.cap:g} ({transfer.level})"
    return f"each token's term A pi / (pi + {transfer.gamma:g})"
