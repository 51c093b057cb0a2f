"""Descriptions of how an algorithm spends the budget of a question, for `igrpo.config.facts`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from igrpo.config.schema import RunConfig
from igrpo.settings.algorithm import CritiqueGRPOConfig, IGRPOConfig, SelfVerificationConfig
from igrpo.settings.importance_weights import CrossPromptConfig, CrossPromptWeightsConfig


def split(config: RunConfig) -> str:
    """Describe how the completions per question are split."""
    total, algorithm = config.completions_per_question, config.algorithm
    if isinstance(algorithm, CritiqueGRPOConfig):
        pairs = algorithm.critiques(total)
        return (
            f"at most {total} = {algorithm.answers} answers (n) + {pairs} critiques + {pairs} refinements, where no "
            f"answer is right; {algorithm.answers} elsewhere. budget/samples_per_question is what is realised"
        )
    if isinstance(algorithm, SelfVerificationConfig):
        return (
            f"{total} = {algorithm.answers} answers + {algorithm.verifications(total)} verifications of one earlier "
            f"answer; {algorithm.answers} in the first step, which has no earlier ones"
        )
    if config.drafts:
        refined, rounds = f"{config.group_size} refinements (G)", config.sampled[-1].prompts
        refined = f"{rounds} rounds of {refined}" if rounds > 1 else refined
        return f"{total} = {config.drafts} drafts (N) + {refined}"
    rest = f" of a budget of {total}" if config.group_size < total else ""
    return f"{config.group_size} answers (G){rest}, no drafts"


def varies(config: RunConfig) -> bool:
    """True if a question may cost fewer completions than its budget, depending on the data."""
    return config.least_samples_per_question < config.samples_per_question


def most_rows(config: RunConfig) -> int:
    """Return the maximum number of completions per question that get a gradient: 1 if only the best is imitated."""
    objective = config.objective
    only_best = objective.advantage.select == "best" and objective.kl_beta == 0 and not objective.has_entropy_bonus
    return 1 if only_best else config.rows_per_question


def variants(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Yield what is trained on, where the split does not show it."""
    algorithm = config.algorithm
    if isinstance(algorithm, CritiqueGRPOConfig):
        how = _transfer(algorithm.transfer)
        yield "trained on", f"answers; up to {algorithm.kept} refinements as answers to the bare question, {how}"
    if isinstance(algorithm, SelfVerificationConfig):
        yield "trained on", "answers; verifications, given the earlier question and answer"
    if not isinstance(algorithm, IGRPOConfig):
        return
    if set(algorithm.train_on) != {"refine"}:
        words = {
            "draft": "drafts, given the question",
            "refine": "refinements, given the draft",
            "internalize": f"refinements as answers to the bare question, {_transfer(algorithm.transfer)}",
        }
        together = "; all of a question are one group" if algorithm.joint_baseline else ""
        yield "trained on", "; ".join(words[part] for part in algorithm.train_on) + together
    if algorithm.bare_fraction:
        questions = config.trainer.questions_per_step
        once = algorithm.answered_once(questions)
        each = " or ".join(str(n) for n in sorted({math.floor(once), math.ceil(once)}))
        yield (
            "answered once, all trained on",
            f"{100 * algorithm.bare_fraction:g} % of the questions ({each} of a step's {questions}), "
            f"{config.samples_per_question} completions each",
        )


def _transfer(transfer: CrossPromptConfig) -> str:
    if isinstance(transfer, CrossPromptWeightsConfig) and transfer.level == "none":
        return "without a weight for the prompt that they were sampled from"
    if isinstance(transfer, CrossPromptWeightsConfig):
        return f"weighed by at most {transfer.cap:g} ({transfer.level})"
    return f"each token's term A pi / (pi + {transfer.gamma:g})"
