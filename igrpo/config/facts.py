"""What the settings resolve to: the numbers a reader would otherwise work out by hand. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Iterator

from igrpo.config.checks import longest_row
from igrpo.config.schema import ChainsDataConfig, RunConfig


def resolved_facts(config: RunConfig) -> list[tuple[str, str]]:
    """Rows (name, value) of the table that is printed at start; rows named 'note' say what follows from them."""
    return [
        *_step(config),
        *_tokens(config),
        *_totals(config),
        *_budget(config),
        *(("note", note) for note in _notes(config)),
    ]


def _step(config: RunConfig) -> Iterator[tuple[str, str]]:
    trainer, total = config.trainer, config.completions_per_question
    questions = trainer.questions_per_step
    yield "questions a step (S)", f"{questions:,}"
    if config.drafts:
        yield "completions a question", f"{total} = {config.drafts} drafts (N) + {config.group_size} refinements (G)"
    else:
        rest = f" of a budget of {total}" if config.group_size < total else ""
        yield "completions a question", f"{config.group_size} answers (G){rest}, no drafts"
    rows = _rows_per_question(config)
    trained = f"{'up to ' if rows < config.group_size else ''}{questions * rows:,}"
    yield "completions a step", f"{questions * config.samples_per_question:,}, of which {trained} are trained on"
    passes = "1 pass" if trainer.epochs == 1 else f"{trainer.epochs} passes"
    parts = "1 minibatch" if trainer.minibatches == 1 else f"{trainer.minibatches} minibatches"
    yield "updates a step", f"{config.updates_per_step} ({passes} x {parts})"
    update = math.ceil(questions / trainer.minibatches) * rows
    at_least = min(trainer.tokens_per_microbatch // longest_row(config), update)
    yield (
        "sequences a micro-batch",
        f"{at_least} (all of an update)"
        if at_least == update
        else f"about {at_least} to {update}, as their lengths allow",
    )


def _rows_per_question(config: RunConfig) -> int:
    """The most completions of a question that get a gradient: one where only the best is imitated."""
    objective = config.objective
    only_best = objective.advantage.select == "best" and objective.kl_beta == 0 and objective.entropy_bonus == 0
    return 1 if only_best else config.group_size


def _tokens(config: RunConfig) -> Iterator[tuple[str, str]]:
    prompt = config.prompt
    yield "tokens, at most: question", f"{prompt.max_question_tokens:,}"
    if config.drafts:
        yield "tokens, at most: shown draft", f"{prompt.max_draft_tokens:,} (a longer one loses its middle)"
    yield "tokens, at most: completion", f"{config.sampling.max_completion_tokens:,}"
    yield "tokens, at most: trained row", f"{longest_row(config):,}, and the layout of the prompt"
    yield "tokens a micro-batch", f"{config.trainer.tokens_per_microbatch:,}"


def _totals(config: RunConfig) -> Iterator[tuple[str, str]]:
    trainer, evaluation, data = config.trainer, config.evaluation, config.data
    samples = trainer.steps * trainer.questions_per_step * config.samples_per_question
    yield "training", f"{trainer.steps:,} steps, {samples:,} samples"
    ways = [f"{evaluation.samples} samples each"]
    ways += ["greedy"] if evaluation.greedy else []
    ways += ["draft-conditioned"] if evaluation.draft_conditioned else []
    ways += [f"best of {evaluation.oracle_drafts} drafts (oracle)"] if evaluation.oracle_drafts else []
    if isinstance(data, ChainsDataConfig):
        development, test = (f"{size:,}" for size in evaluation_questions(config))
    else:
        development = test = f"up to {evaluation.questions:,}"
    when = "after every step" if evaluation.every == 1 else f"every {evaluation.every} steps"
    yield (
        "evaluation",
        f"{development} development questions {when}, {test} test questions before and after; " + ", ".join(ways),
    )


def evaluation_questions(config: RunConfig) -> tuple[int, int]:
    """The development and the test questions of an evaluation; at most these, where the data must be read to know."""
    questions, data = config.evaluation.questions, config.data
    if not isinstance(data, ChainsDataConfig):
        return questions, questions
    return min(questions, data.development), min(questions, data.test)


def planned_steps(config: RunConfig) -> int:
    """The steps that a run will take, as far as settings alone can tell: other limits than max_samples may end it."""
    if config.budget.max_samples is None:
        return config.trainer.steps
    each = config.trainer.questions_per_step * config.samples_per_question
    return min(config.trainer.steps, math.ceil(config.budget.max_samples / each))


def _budget(config: RunConfig) -> Iterator[tuple[str, str]]:
    limits, steps = config.budget, config.trainer.steps
    given = limits.model_dump(exclude_none=True)
    if given:
        named = (f"budget.{name}={limit:{',' if isinstance(limit, int) else 'g'}}" for name, limit in given.items())
        yield "ends earlier", f"after the first step that comes to {' or '.join(named)}"
    if limits.max_samples is not None:
        each = config.trainer.questions_per_step * config.samples_per_question
        last = math.ceil(limits.max_samples / each)
        yield (
            "ends at max_samples",
            f"after {last:,} steps, {last * each:,} samples" if last < steps else "never: trainer.steps end it",
        )


def _notes(config: RunConfig) -> Iterator[str]:
    """What a reader of the numbers must know (spec: one update a batch makes several objectives the same)."""
    objective = config.objective
    reinforce = objective.surrogate == "reinforce"
    if objective.kl_beta == 0:
        yield "reference model: none (objective.kl_beta=0)"
    else:
        yield f"reference model: a frozen copy of the policy before training (objective.kl_beta={objective.kl_beta:g})"
    if config.budget.model_dump(exclude_none=True):
        yield "budget: trainer.steps stays the upper bound, and the horizon of the learning rate's schedule"
    if objective.advantage.select == "best":
        yield "imitation: the best right completion of each group has weight 1, all others have none"
    if config.updates_per_step > 1:
        if reinforce:
            yield "REINFORCE has no ratio: the updates of a step after the first are off-policy and not corrected"
        return
    yield "on-policy: " + ("one update a step, no ratio" if reinforce else "clipping is inert (the ratio is 1)")
    same = "identical by construction with one update a step: "
    if objective.ratio == "sequence" and objective.aggregation == "sequence_mean":
        yield same + "GSPO and GRPO with sequence mean"
    if objective.surrogate == "detached" and objective.aggregation == "token_mean":
        yield same + "CISPO and the DAPO loss, both with token mean (at the same mask_truncated)"
    if objective.advantage.baseline == "leave_one_out":
        size = config.group_size
        yield (
            f"identical by construction up to a factor: leave-one-out advantages are G/(G-1) = {size}/{size - 1} times "
            "those of the mean-only baseline"
        )
