"""Budgets of a run: the x axes of curves and, except for steps, what can match two conditions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BudgetAxis:
    """Description of a budget.

    Attributes:
        words: name in tables and sentences.
        label: label of an x axis.
        counter: metric that counts it in the course of a run; None if it is computed from other values.
        look: sentence that says what to look for in a curve of accuracy against it.
    """

    words: str
    label: str
    counter: str | None
    look: str


#: All budgets by name, in the order of the report. A comparison is matched by the first one, except steps, that both
#: conditions spent equally.
BUDGET_AXES: dict[str, BudgetAxis] = {
    "steps": BudgetAxis(
        "steps",
        "training steps",
        None,
        "A step is an update, not a price: look at the other axes before calling the higher curve better.",
    ),
    "samples": BudgetAxis(
        "samples",
        "training samples",
        "budget/samples",
        "The budget that methods are usually matched by: a curve that is above the other by more than its seeds differ "
        "learns more from each sample.",
    ),
    "generated_tokens": BudgetAxis(
        "generated tokens",
        "generated tokens",
        "budget/generated_tokens",
        "A curve further left reaches the same accuracy with less sampled text.",
    ),
    "trained_tokens": BudgetAxis(
        "trained tokens",
        "trained tokens",
        "budget/trained_tokens",
        "A curve further left needs fewer tokens in the optimizer; drafts may be sampled without being trained.",
    ),
    "flops": BudgetAxis(
        "FLOPs",
        "training FLOPs",
        "budget/flops",
        "All arithmetic of training counts here, including that of sampling: a curve further left is cheaper.",
    ),
    "seconds": BudgetAxis(
        "seconds",
        "seconds of training",
        None,
        "Wall time of training on this machine, without evaluation and checkpoints.",
    ),
}


def budget_words(name: str) -> str:
    """Return the words for a budget; any other name (such as "nothing") is returned unchanged."""
    return BUDGET_AXES[name].words if name in BUDGET_AXES else name
