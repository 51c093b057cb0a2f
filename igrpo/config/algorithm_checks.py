"""Checks of an algorithm's settings, alone and against the budget of completions per question."""

from __future__ import annotations

from collections.abc import Iterator

from igrpo.config.schema import RunConfig
from igrpo.settings.algorithm import CritiqueGRPOConfig, GRPOConfig, IGRPOConfig, SelfVerificationConfig


def algorithm_problems(config: RunConfig) -> Iterator[str]:
    """Yield a message for each contradiction: the setting, its value and what to change."""
    algorithm, total = config.algorithm, config.completions_per_question
    match algorithm:
        case GRPOConfig():
            yield from _answers(algorithm.answers, total)
        case IGRPOConfig():
            yield from _split(config, algorithm)
            yield from _drafts(config, algorithm)
            yield from _trained(algorithm)
        case CritiqueGRPOConfig():
            yield from _critiques(algorithm, total)
        case SelfVerificationConfig():
            yield from _verifications(algorithm, config)
    if algorithm.transferring is not None and config.objective.ratio == "sequence":
        setting = "train_on=internalize" if isinstance(algorithm, IGRPOConfig) else f"name={algorithm.name}"
        yield (
            f"algorithm.{setting} cannot go with objective.ratio=sequence, whose clip is made for samples of "
            "the prompt that is trained; choose an objective with objective.ratio=token"
        )
    yield from _condition(config)


def _answers(answers: int, total: int) -> Iterator[str]:
    if answers > total:
        yield (
            f"algorithm.answers={answers} is more than completions_per_question={total}, the budget of a question; "
            "lower it, or raise the budget"
        )
    if answers < 2:
        yield (
            f"algorithm.answers={answers}, of completions_per_question={total}, is a group of {answers}; a baseline "
            "within the group needs at least 2: raise algorithm.answers, or completions_per_question if it follows it"
        )


def _split(config: RunConfig, algorithm: IGRPOConfig) -> Iterator[str]:
    total, drafts, rounds = config.completions_per_question, algorithm.drafts, algorithm.rounds
    left = f"after algorithm.drafts={drafts} " if drafts else ""
    if config.group_size < 2:
        among = f"for each of algorithm.rounds={rounds}; " if rounds > 1 else ""
        yield (
            f"completions_per_question={total} leaves {left}a group of {max(config.group_size, 0)}"
            f"{' ' + among if among else '; '}a baseline within the group needs at least 2: set "
            f"completions_per_question to {drafts + 2 * rounds} or more"
            + (" or algorithm.drafts lower" if drafts else "")
        )
    elif (total - drafts) % rounds:
        yield (
            f"completions_per_question={total} leaves {left}{total - drafts} refinements, which algorithm.rounds="
            f"{rounds} cannot share evenly; change one of them"
        )


def _drafts(config: RunConfig, algorithm: IGRPOConfig) -> Iterator[str]:
    if not algorithm.drafts:
        for key, value, off in (("rounds", algorithm.rounds, 1), ("show", algorithm.show, 1)):
            if value != off:
                yield f"algorithm.{key}={value} needs drafts, and algorithm.drafts=0; set it to {off}"
        if set(algorithm.train_on) != {"refine"}:
            parts = list(algorithm.train_on)
            yield f"algorithm.train_on={parts} needs drafts, and algorithm.drafts=0; set it to [refine]"
    elif algorithm.show > algorithm.drafts or (algorithm.rounds > 1 and algorithm.show > config.group_size):
        least = min(algorithm.drafts, config.group_size) if algorithm.rounds > 1 else algorithm.drafts
        yield f"algorithm.show={algorithm.show} is more than the {least} drafts there are to choose from; lower it"
    if algorithm.bare_fraction and not algorithm.drafts:
        yield "algorithm.bare_fraction needs drafts, and algorithm.drafts=0 asks the bare question always; set it to 0"


def _trained(algorithm: IGRPOConfig) -> Iterator[str]:
    twice = sorted({part for part in algorithm.train_on if algorithm.train_on.count(part) > 1})
    if twice:
        yield f"algorithm.train_on={list(algorithm.train_on)} names {twice[0]} twice; once is enough"
    if algorithm.joint_baseline and set(algorithm.train_on) != {"draft", "internalize"}:
        yield (
            f"algorithm.joint_baseline=true cannot go with algorithm.train_on={list(algorithm.train_on)}: one baseline "
            "needs one prompt; set algorithm.train_on=[draft,internalize]"
        )
    if "draft" in algorithm.train_on and algorithm.drafts == 1:
        yield (
            f"algorithm.train_on={list(algorithm.train_on)} and algorithm.drafts=1 make a group of one draft; a "
            "baseline within the group needs at least 2: raise algorithm.drafts"
        )


def _critiques(algorithm: CritiqueGRPOConfig, total: int) -> Iterator[str]:
    answers, kept = algorithm.answers, algorithm.kept
    left = total - answers
    if answers < 2 or left < 2:
        yield (
            f"algorithm.answers={answers} leaves {max(left, 0)} of completions_per_question={total}; there must be 2 "
            "answers or more, for a baseline, and 2 completions left, for a critique and a refinement: set "
            "completions_per_question to 4 or more, and algorithm.answers to at most 2 less"
        )
        return
    if left % 2:
        yield (
            f"algorithm.answers={answers} leaves {left} of completions_per_question={total}, which critiques and "
            "refinements cannot share evenly; change one of them by 1"
        )
    if kept > algorithm.critiques(total) or kept >= answers:
        yield (
            f"algorithm.kept={kept} must be less than algorithm.answers={answers}, and at most the "
            f"{algorithm.critiques(total)} refinements that the budget leaves to a question; lower it"
        )


def _verifications(algorithm: SelfVerificationConfig, config: RunConfig) -> Iterator[str]:
    answers, total = algorithm.answers, config.completions_per_question
    if answers < 2 or algorithm.verifications(total) < 2:
        yield (
            f"algorithm.answers={answers} leaves {algorithm.verifications(total)} verifications of "
            f"completions_per_question={total}; a baseline within the group needs at least 2 of each: set "
            "completions_per_question to 4 or more, and algorithm.answers to at most 2 less"
        )
    right, wrong = config.prompt.verdict_right, config.prompt.verdict_wrong
    if right.strip().casefold() == wrong.strip().casefold():
        yield (
            f"prompt.verdict_right={right} and prompt.verdict_wrong={wrong} are the same word; a verdict could not be "
            "read: change one of them"
        )


def _condition(config: RunConfig) -> Iterator[str]:
    """Yield a message for each setting that conflicts with the condition that the run is labelled with.

    That the run uses the condition's groups is checked when the run is composed.
    """
    label, select, attempts = config.condition, config.objective.advantage.select, config.dynamic_sampling.max_attempts
    if label == "best_of_n" and select != "best":
        yield (
            f"condition=best_of_n cannot go with objective.advantage.select={select}: it imitates the best; leave one "
            "of them out"
        )
    if label in {"dapo", "igrpo_dapo", "igrpo_both_dapo"} and attempts == 0:
        yield (
            f"condition={label} cannot go with dynamic_sampling.max_attempts=0: it stands for the whole of DAPO; leave "
            "one of them out"
        )
