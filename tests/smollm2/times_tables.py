"""Products for a real small model: settings of runs that take a core about a minute and less than 4 GB."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from igrpo.config.composing.overrides import quoted
from tests.end_to_end import runs

#: The questions and samples of a step, so that 3 steps show everything.
QUESTIONS, SAMPLES = 4, 4

#: Of a run that takes a minute where nothing else runs.
PATIENCE_S = 600.0

#: The preset's own reward: the verifier.
RULE: tuple[str, ...] = ()


def arguments(run_dir: Path, *more: str, reward: Sequence[str] = RULE) -> list[str]:
    """Of `igrpo train`: the shipped preset, cut down. No run is tracked, and one checkpoint is kept: it has 1.6 GB."""
    return [
        "train", f"hydra.run.dir={run_dir}", "experiment=times_tables", "trainer.steps=3",
        f"trainer.questions_per_step={QUESTIONS}", f"completions_per_question={SAMPLES}",
        "sampling.temperature=0.7", "trainer.tokens_per_microbatch=512", "trainer.head_chunk=256", "evaluation.every=3", "evaluation.questions=2",
        "evaluation.samples=2", "evaluation.greedy=false", "checkpoint.every=2", "checkpoint.keep_last=1",
        "checkpoint.keep_best=false", "tracking=none", *reward, *more,
    ]  # fmt: skip


def run(arguments: Sequence[str], folder: Path) -> str:
    """`igrpo ARGUMENTS` in ``folder``, with patience: on a busy machine a minute of a core is several."""
    return runs.run(arguments, folder, timeout_s=PATIENCE_S)


def judge(name: str, model: Path, cache: Path, *more: str) -> list[str]:
    """A reward that is this model as a judge, shown two gradings: without these it repeats what it is to grade.

    Greedily it says 1 to nearly everything, and at temperature 1 hardly anything that can be read.
    """
    shots = (("2 + 2", "4", "4", "right", 1), ("3 * 5", "15", "The answer is 16", "wrong", 0))
    shown = "".join(
        f"Problem: {problem}\nRight: {answer}\nSolution: {solution}\nGrade?<|im_end|>\n<|im_start|>assistant\n"
        f'{{"reason": "{reason}", "score": {score}}}<|im_end|>\n<|im_start|>user\n'
        for problem, answer, solution, reason, score in shots
    )
    user = shown + "{problem}\n{reference}\n{solution}\nGrade?"
    return [
        f"reward={name}", f"reward.model={model}", f"reward.cache={cache}", "reward.max_tokens=24", "reward.temperature=0.5",
        "reward.verifier.answer_format=[last_line]",
        "reward.prompt.system='Grade with 1 for right and 0 for wrong.'", f"reward.prompt.user={quoted(user)}",
        "reward.prompt.reference='Right: {answer}'", *more,
    ]  # fmt: skip


def last_number(text: str) -> int | None:
    """The number that ends a reply of the form ``84`` or ``12 * 7 = 84``; None: the reply is something else."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = re.fullmatch(r"(?:[\d *x×]+= *)?(\d+)\.?", lines[-1]) if lines else None
    return None if found is None else int(found[1])
