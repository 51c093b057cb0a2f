"""Length of the longest prompt of a run, and the check that its rows fit the model."""

from __future__ import annotations

from typing import Any

from igrpo.config.facts import evaluated_tokens
from igrpo.config.schema import RunConfig
from igrpo.prompts.builder import PromptBuilder


def longest_prompt(config: RunConfig, prompts: PromptBuilder) -> int:
    """Return the maximum number of tokens of a training prompt."""
    parts = config.plan.parts
    drafts = max((part.shown for part in parts if part.layout == "refinement"), default=0)
    return prompts.max_prompt_tokens(drafts=drafts, layouts={part.layout for part in parts} - {"refinement"})


def check_lengths(config: RunConfig, model: Any, prompts: PromptBuilder) -> None:
    """Check, before anything is sampled, that the longest possible row fits the model.

    Raises:
        ValueError: it does not fit; the message gives the sum.
    """
    evaluation = config.evaluation
    trained = longest_prompt(config, prompts)
    sampled = max(trained, prompts.max_prompt_tokens(drafts=evaluation.most_drafts_shown))
    training, evaluating = config.sampling.max_completion_tokens, evaluated_tokens(config)
    positions = _positions(model)
    longest = [(trained, "sampling", training), (sampled, "evaluation", evaluating)]
    bare = prompts.max_prompt_tokens(drafts=0)
    longest += [
        (bare, f"evaluation.benchmarks.{name}", benchmark.max_completion_tokens)
        for name, benchmark in evaluation.benchmarks.items()
        if benchmark.max_completion_tokens is not None
    ]
    for prompt, section, completion in longest:
        if positions is not None and prompt + completion > positions:
            raise ValueError(
                f"a prompt of up to {prompt} tokens (layout, prompt.max_question_tokens, prompt.max_draft_tokens) and "
                f"{section}.max_completion_tokens={completion} make {prompt + completion}, more than the model's "
                f"positions ({positions}); lower the budgets"
            )


def _positions(model: Any) -> int | None:
    """Return the longest sequence that the model accepts; None for model families without a limit (ALiBi)."""
    config = model.config.get_text_config()
    return int(config.max_position_embeddings) if hasattr(config, "max_position_embeddings") else None
