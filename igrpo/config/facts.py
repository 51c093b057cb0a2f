"""Facts that follow from the settings, such as samples per step and the length of the longest row.

Imports nothing heavy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from igrpo.config.checks import longest_row
from igrpo.config.plan_facts import answered_once, most_rows, other_questions, split, trained_on
from igrpo.config.schema import RunConfig
from igrpo.evaluation.rounds import round_ends
from igrpo.messages import count
from igrpo.settings.data import GeneratedDataConfig

#: Number of tokens below which the thinking and answer of a real model seldom fit.
_LEAST_THINKING = 256

#: A run with fewer optimizer steps is reported as a smoke test, because it hardly changes the model.
_LEAST_UPDATES = 20


def resolved_facts(config: RunConfig, *, details: bool = True) -> list[tuple[str, str]]:
    """Return the rows (name, value) of the table printed at start; rows named 'note' hold remarks.

    Without ``details``, the rows about lengths and micro-batches are left out.
    """
    return [
        *_step(config),
        *((*_microbatches(config), *_tokens(config)) if details else ()),
        *_totals(config),
        *_budget(config),
        *(("note", note) for note in (*too_short(config), *_notes(config))),
    ]


def _step(config: RunConfig) -> Iterator[tuple[str, str]]:
    trainer, plan = config.trainer, config.plan
    questions = trainer.questions_per_step
    yield "questions per step (S)", f"{questions:,}"
    yield "completions per question", split(config)
    rows, rows_once = _rows(config)
    only_best, attempts = rows < plan.rows, config.dynamic_sampling.max_attempts
    counts = sorted({(questions - n) * rows + n * rows_once for n in other_questions(config)})
    trained = " or ".join(f"{number:,}" for number in counts)
    if attempts or only_best or plan.varies:
        trained = f"up to {counts[-1]:,}"
    each = questions * config.plan.samples
    bound = f"at least {each:,}" if attempts else f"{each:,}"
    if plan.varies:
        bound = f"at most {config.most_samples_per_step:,}"
    yield "completions per step", f"{bound}, of which {trained} are trained on"
    if attempts:
        yield (
            "dynamic sampling",
            f"up to {count(attempts, 'replacement')} of each question that is answered all right or all wrong: "
            f"up to {config.most_samples_per_step:,} completions per step",
        )
    yield "trained on", trained_on(config)
    yield from answered_once(config)
    if config.processes > 1:
        least, most = questions // config.processes, math.ceil(questions / config.processes)
        share = f"{most}" if least == most else f"{least} or {most}"
        yield "processes", f"{config.processes} ({trainer.strategy}), {share} questions of a step each"
    passes = "1 pass" if trainer.epochs == 1 else f"{trainer.epochs} passes"
    parts = "1 minibatch" if trainer.minibatches == 1 else f"{trainer.minibatches} minibatches"
    yield "updates per step", f"{config.updates_per_step} ({passes} x {parts})"


def _rows(config: RunConfig) -> tuple[int, int]:
    """Return the maximum number of trained samples per question, and per question that is only answered."""
    rows = most_rows(config)
    return rows, rows if rows < config.plan.rows else sum(part.samples for part in config.plan.other)


def _microbatches(config: RunConfig) -> Iterator[tuple[str, str]]:
    trainer = config.trainer
    update = math.ceil(trainer.questions_per_step / trainer.minibatches) * max(_rows(config))
    at_least = min(max(trainer.tokens_per_microbatch // longest_row(config), 1), update)
    yield (
        "sequences per micro-batch",
        f"{at_least} (all of an update)"
        if at_least == update
        else f"about {at_least} to {update}, as their lengths allow",
    )


def _samples(config: RunConfig) -> str:
    """Describe the number of training samples, as far as the settings determine it."""
    steps = config.trainer.steps
    samples = steps * config.trainer.questions_per_step * config.plan.samples
    if config.dynamic_sampling.max_attempts:
        most = f"at most {steps * config.most_samples_per_step:,}"
        return f"{most} samples" if config.plan.varies else f"at least {samples:,} samples, {most}"
    return f"{'at most ' if config.plan.varies else ''}{samples:,} samples"


def _tokens(config: RunConfig) -> Iterator[tuple[str, str]]:
    prompt = config.prompt
    yield "tokens, at most: question", f"{prompt.max_question_tokens:,}"
    shown = config.plan.shown
    if shown:
        each = f"{shown} x " if shown > 1 else ""
        what = "draft" if config.plan.drafts else "text"
        yield f"tokens, at most: shown {what}", f"{each}{prompt.max_draft_tokens:,} (a longer one loses its middle)"
    yield "tokens, at most: completion", f"{config.sampling.max_completion_tokens:,}"
    yield "tokens, at most: trained row", f"{longest_row(config):,}, and the layout of the prompt"
    yield "tokens per micro-batch", f"{config.trainer.tokens_per_microbatch:,}"


def _totals(config: RunConfig) -> Iterator[tuple[str, str]]:
    trainer, evaluation, data = config.trainer, config.evaluation, config.data
    yield "training", f"{count(trainer.steps, 'step')}, {_samples(config)}"
    ways = [f"{count(evaluation.samples, 'sample')} each{_by_need(config)}"]
    ways += ["greedy"] if evaluation.greedy else []
    ways += ["draft-conditioned"] if evaluation.draft_conditioned else []
    ways += [f"best of {count(evaluation.oracle_drafts, 'draft')} (oracle)"] if evaluation.oracle_drafts else []
    if isinstance(data, GeneratedDataConfig):
        development, test = (f"{size:,}" for size in evaluation_questions(config))
    else:
        development = test = f"up to {evaluation.questions:,}"
    when = "after every step" if evaluation.every == 1 else f"every {evaluation.every} steps"
    yield (
        "evaluation",
        f"{development} development questions {when}, {test} test questions before and after; " + ", ".join(ways),
    )
    budgets = evaluation.budgets
    modes = [
        f"{name} ({mode.plan(budgets)[-1].samples * mode.repeats} samples each)"
        for name, mode in evaluation.test_time.items()
    ]
    if modes:
        yield "test-time modes", f"on the test split and the benchmarks: {', '.join(modes)}"


def _by_need(config: RunConfig) -> str:
    """Describe by how many samples evaluations of the development split may stop, if they may."""
    evaluation = config.evaluation
    first = round_ends(evaluation.samples, evaluation.oracle_drafts)[0]
    if evaluation.interval_width is None or first == evaluation.samples:
        return ""
    points = f"{100 * evaluation.interval_width:g} points"
    return f" (development: from {first}, until the 95 % interval is narrower than {points})"


def evaluation_questions(config: RunConfig) -> tuple[int, int]:
    """Return the numbers of development and test questions per evaluation; upper bounds if the data must be read."""
    questions, data = config.evaluation.questions, config.data
    if not isinstance(data, GeneratedDataConfig):
        return questions, questions
    return min(questions, data.development), min(questions, data.test)


def evaluated_tokens(config: RunConfig) -> int:
    """Return the maximum number of tokens per completion in evaluation, without benchmarks that have their own."""
    return config.evaluation.max_completion_tokens or config.sampling.max_completion_tokens


def most_evaluated_tokens(config: RunConfig) -> int:
    """Return the maximum number of tokens per completion in any evaluation, benchmarks included."""
    own = (benchmark.max_completion_tokens or 0 for benchmark in config.evaluation.benchmarks.values())
    return max(evaluated_tokens(config), *own, 0)


def planned_steps(config: RunConfig) -> int:
    """Return the number of steps that a run will take, as far as the settings determine it.

    Limits other than max_samples may end it earlier, and dynamic sampling reaches max_samples in fewer steps.
    """
    if config.budget.max_samples is None:
        return config.trainer.steps
    each = config.trainer.questions_per_step * config.plan.samples
    return min(config.trainer.steps, math.ceil(config.budget.max_samples / each))


def too_short(config: RunConfig) -> Iterator[str]:
    """Yield a note if a run takes too few optimizer steps to learn anything."""
    steps = planned_steps(config)
    if steps * config.updates_per_step < _LEAST_UPDATES:
        limit = "trainer.steps" if steps == config.trainer.steps else "budget.max_samples"
        yield (
            f"{count(steps, 'step')} of {count(config.trainer.questions_per_step, 'question')} hardly change the "
            f"model: a smoke test, whose accuracies say nothing about a method; raise {limit} to train"
        )


def _budget(config: RunConfig) -> Iterator[tuple[str, str]]:
    limits = config.budget
    given = limits.model_dump(exclude_none=True)
    if given:
        named = (f"budget.{name}={limit:{',' if isinstance(limit, int) else 'g'}}" for name, limit in given.items())
        yield "ends earlier", f"after the first step that comes to {' or '.join(named)}"
    if limits.max_samples is not None:
        yield "ends at max_samples", _end_at_max_samples(config, limits.max_samples)


def _end_at_max_samples(config: RunConfig, limit: int) -> str:
    steps, each = config.trainer.steps, config.trainer.questions_per_step * config.plan.samples
    first, last = math.ceil(limit / config.most_samples_per_step), math.ceil(limit / each)
    if first >= steps:
        return "never: trainer.steps end it"
    if config.plan.varies:
        return f"after {count(first, 'step')} or more, {first * config.most_samples_per_step:,} samples"
    if first == last:
        return f"after {count(last, 'step')}, {count(last * each, 'sample')}"
    return f"after {first:,} to {min(last, steps):,} steps, as dynamic sampling needs"


def cut_thinking(config: RunConfig) -> Iterator[str]:
    """Yield a note if the prompt asks for thinking and completions are too short for it.

    Such a run finishes without an error, but its reward stays at 0.
    """
    tokens = config.sampling.max_completion_tokens
    if tokens < _LEAST_THINKING and "<think>" in config.prompt.asks:
        yield (
            f"short completions: prompt={config.prompt.name} asks for <think> and an answer, which seldom fit in "
            f"sampling.max_completion_tokens={tokens}; what is cut has no answer, and no reward"
        )


def _notes(config: RunConfig) -> Iterator[str]:
    """Yield remarks on the settings, such as objectives that coincide when there is one update per step."""
    objective = config.objective
    yield from config.algorithm.notes(objective)
    reinforce = objective.surrogate == "reinforce"
    if objective.kl_beta == 0:
        yield "reference model: none (objective.kl_beta=0)"
    else:
        yield f"reference model: a frozen copy of the policy before training (objective.kl_beta={objective.kl_beta:g})"
    if config.budget.model_dump(exclude_none=True):
        yield "budget: trainer.steps stays the upper bound, and the horizon of the learning rate's schedule"
    if objective.advantage.select == "best":
        yield "imitation: the best right completion of each group has weight 1, all others have none"
    if objective.entropy_control.target is not None:
        yield (
            f"entropy control: the bonus is on below {objective.entropy_control.target:g} nats per token, at most "
            f"{objective.entropy_control.maximum:g}"
        )
    if objective.overlong_buffer is not None:
        yield (
            f"soft overlong penalty: the reward that is trained on falls by up to 1 in the last "
            f"{objective.overlong_buffer:,} of {config.sampling.max_completion_tokens:,} tokens"
        )
    yield from cut_thinking(config)
    if config.updates_per_step > 1:
        if reinforce:
            yield "REINFORCE has no ratio: the updates of a step after the first are off-policy and not corrected"
        return
    yield "on-policy: " + ("one update per step, no ratio" if reinforce else "clipping is inert (the ratio is 1)")
    same = "identical by construction with one update per step: "
    if objective.ratio == "sequence" and objective.aggregation == "sequence_mean":
        yield same + "GSPO and GRPO with sequence mean"
    if objective.surrogate == "detached" and objective.aggregation == "token_mean":
        yield same + "CISPO and the DAPO loss, both with token mean (at the same mask_truncated)"
    sizes = config.plan.group_sizes
    if objective.advantage.baseline == "leave_one_out" and len(sizes) == 1 and config.reward.scores_all:
        (size,) = sizes
        yield (
            f"identical by construction up to a factor: leave-one-out advantages are G/(G-1) = {size}/{size - 1} times "
            "those of the mean-only baseline"
        )
