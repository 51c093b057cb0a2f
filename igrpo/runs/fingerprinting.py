"""Computation of a run's fingerprints, once, in the main process, before the first step."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import igrpo.rewards
from igrpo.assembly.cycle import Parts
from igrpo.assembly.questions import read_splits
from igrpo.config.schema import RunConfig
from igrpo.disk import disk_errors
from igrpo.files import write_text_atomic
from igrpo.models.encoding import decoded
from igrpo.models.warm_start import RECIPE_VERSION
from igrpo.prompts.builder import PromptBuilder
from igrpo.runs.file_prints import file_print, folder_prints, user_files
from igrpo.runs.fingerprints import (
    Fingerprints,
    Prints,
    digest,
    keep_fingerprints,
    refuse_changed_questions,
    run_date,
)
from igrpo.runs.run_directory import RunDirectory
from igrpo.settings.judge import EngineJudgeConfig, GenerativeJudgeConfig
from igrpo.settings.model import HuggingFaceModelConfig, TinyModelConfig
from igrpo.settings.reward import (
    NOT_SCORING,
    PythonRewardConfig,
    RewardConfig,
    SingleRewardConfig,
    WeightedConfig,
    reward_parts,
)
from igrpo.settings.verifier import MathVerifyConfig
from igrpo.types import Question

#: All questions by split, as returned by `read_splits`.
Splits = Mapping[str, Sequence[Question]]

#: Packages that the verdicts of the math verifier depend on.
_VERIFIER_PACKAGES = ("math-verify", "latex2sympy2-extended", "sympy")


def unchanged_splits(config: RunConfig, directory: RunDirectory) -> Splits:
    """Read the questions of a resumed run and check that they have not changed.

    Raises:
        ValueError: the questions cannot be read, or have changed; the error is also written to run.json.
    """
    try:
        splits = read_splits(config)
        refuse_changed_questions(directory, question_prints(splits))
    except ValueError as error:
        if directory.record_file.exists():
            directory.explain(str(error))
        raise
    return splits


def record_fingerprints(
    config: RunConfig, directory: RunDirectory, parts: Parts, splits: Splits, step: int | None
) -> Fingerprints:
    """Write the run's fingerprints, and an example of each prompt, to its directory.

    Args:
        step: see `igrpo.runs.fingerprints.keep_fingerprints`.
    """
    made = make_fingerprints(config, parts.prompts, splits, run_date(directory))
    kept = keep_fingerprints(directory, made, step)
    examples = prompt_examples(parts.prompts, parts.policy.tokenizer, splits["train"][0])
    with disk_errors(directory.prompts):
        write_text_atomic(directory.prompts, examples)
    return kept


def make_fingerprints(config: RunConfig, prompts: PromptBuilder, splits: Splits, today: date) -> Fingerprints:
    """Compute the fingerprints of a run. ``splits`` are its questions as they were read."""
    return Fingerprints(
        date=today.isoformat(),
        questions=question_prints(splits),
        prompts={name: {"tokens": digest(json.dumps(layout.pieces))} for name, layout in prompts.layouts.items()},
        reward={
            path: one
            for setting, reward in config.rewards.items()
            for path, one in reward_prints(reward, setting).items()
        },
        model=model_prints(config),
    )


def prompt_examples(prompts: PromptBuilder, tokenizer: Any, question: Question) -> str:
    """Return the full text of each prompt layout, with ``question`` and placeholders for a draft and its critique."""
    texts = []
    for name, layout in prompts.layouts.items():
        pieces = (
            (question.problem if piece == "problem" else f"{{{piece}}}")
            if isinstance(piece, str)
            else decoded(tokenizer, piece)
            for piece in layout.pieces
        )
        texts.append(f"===== prompt.{name}, with question {question.id} =====\n{''.join(pieces)}\n")
    return "\n".join(texts)


def question_prints(splits: Splits) -> Prints:
    """Return per split the number of questions, and hashes of their ids, texts and answers, which depend on order."""
    return {
        name: {
            "questions": str(len(questions)),
            "ids": _hash_texts(question.id for question in questions),
            "problems": _hash_texts(question.problem for question in questions),
            "answers": _hash_texts(question.answer for question in questions),
        }
        for name, questions in splits.items()
    }


def reward_prints(reward: RewardConfig, setting: str = "reward") -> Prints:
    """Fingerprint a reward, or each part of a sum: the settings that change a score, and the source.

    ``setting`` is the path of the reward's settings.
    """
    prints: dict[str, Mapping[str, str]] = {}
    if isinstance(reward, WeightedConfig):
        prints[f"{setting}.parts"] = {name: str(part.weight) for name, part in reward.parts.items()}
    for path, part in reward_parts(reward, setting).items():
        settings = _scoring(part.model_dump(mode="json"))
        prints[path] = {"settings": digest(json.dumps(settings, sort_keys=True)), **_source_of(part)}
    return prints


def model_prints(config: RunConfig) -> Prints:
    """Fingerprint the weights that training starts from. For igrpo's own models, fingerprint their settings."""
    model = config.model
    if isinstance(model, HuggingFaceModelConfig):
        return {"model": folder_prints(model.name_or_path, model.revision, model.gguf_file)}
    settings = {"settings": digest(model.model_dump_json())}
    if isinstance(model, TinyModelConfig):
        operations = str(getattr(config.data, "operations", ""))
        settings |= {"warm start": f"recipe {RECIPE_VERSION}, operations {operations}"}
    return {"model": settings}


def _hash_texts(texts: Iterable[str]) -> str:
    found = hashlib.sha256()
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        found.update(b"%d:" % len(content))  # so that the boundaries between texts count
        found.update(content)
    return found.hexdigest()


def _scoring(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _scoring(value) if isinstance(value, dict) and name == "verifier" else value
        for name, value in settings.items()
        if name not in NOT_SCORING
    }


def _source_of(reward: SingleRewardConfig) -> dict[str, str]:
    if isinstance(reward, PythonRewardConfig):
        return {name: file_print(path) for name, path in user_files(reward.target.partition(":")[0])}
    own = Path(inspect.getfile(igrpo.rewards)).parent
    if not isinstance(reward, MathVerifyConfig | GenerativeJudgeConfig):
        return {f"igrpo/rewards/{path.name}": file_print(path) for path in sorted(own.glob(f"{reward.name}*.py"))}
    verifier = {"igrpo/rewards/math": _hash_texts(map(file_print, sorted((own / "math").rglob("*.py"))))}
    found = verifier | {name: version(name) for name in _VERIFIER_PACKAGES}
    if isinstance(reward, GenerativeJudgeConfig):
        found |= {
            f"igrpo/rewards/judge/{name}": file_print(own / "judge" / name) for name in ("prompt.py", "parsing.py")
        }
    if isinstance(reward, EngineJudgeConfig):
        found |= {f"judge's {name}": value for name, value in folder_prints(reward.model, reward.revision).items()}
    return found
