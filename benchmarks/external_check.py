r"""Verdicts of lm-evaluation-harness on a model exported from a run, beside igrpo's own on the same prompts.

    make test-external                                            (in .venv-external, which has lm-eval; a small run)
    .venv-external/bin/python -m benchmarks.external_check RUN_DIR... [--questions 256] [--out FILE.json]

igrpo answers the questions of the run's test split greedily with the weights of its last checkpoint, and gives its
verdicts. The run is exported (`igrpo export`). lm-evaluation-harness loads that directory with transformers, answers a
local task of the same prompts greedily, and gives verdicts by its own means: the last ``\boxed{...}``, or the last
number as in its task gsm8k, found by a regular expression and equal to the gold answer as text. Text and verdict of
every question are compared, and each difference has one of three reasons: another text (the engines or the weights
differ), the same text of which the harness reads another answer, or the same answer that only one finds equal to the
gold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from igrpo import assembly
from igrpo.assembly.questions import evaluated_questions
from igrpo.config.facts import evaluated_tokens
from igrpo.data.sources import read_source
from igrpo.evaluation.sampler import Sampler
from igrpo.evaluation.samples import EvaluatedSample
from igrpo.files import write_json_atomic
from igrpo.generation.base import SamplingParams
from igrpo.runs.console import get_console
from igrpo.settings.verifier import MathVerifyConfig
from igrpo.tools.export import export
from igrpo.tools.trained import load_trained
from igrpo.types import Prompt, Question

OUT = Path(__file__).parent / "results" / "external_check.json"
TASK = "igrpo_local"

Reason = Literal["text", "extraction", "equality"]

#: Where the harness finds an answer, by what igrpo reads; the number is the "flexible-extract" of its task gsm8k.
_PATTERNS = {"boxed": r"\\boxed\s*\{([^{}]*)\}", "last_line": r"(-?[$0-9.,]{2,})|(-?[0-9]+)"}
#: What the harness ignores in a comparison, as its task gsm8k.
_IGNORED = [",", r"\$", r"\.$"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its prompt as text, and igrpo's greedy answer with its verdict."""

    question: Question
    prompt: str
    prompt_ids: tuple[int, ...]
    sample: EvaluatedSample


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked of both programs. ``answer_format`` is where the answer is, ``limit`` a length in tokens."""

    data: str
    answer_format: str
    limit: int
    asked: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """Both answers to a question with their verdicts; ``reason`` is None if the verdicts agree."""

    question: str
    gold: str
    text: str
    harness_text: str
    answer: str | None
    harness_answer: str
    correct: bool
    harness_correct: bool
    reason: Reason | None


def answered(run_dir: Path, questions: int) -> Asking:
    """Return igrpo's greedy answers to questions of the run's test split.

    Raises:
        ValueError: the run cannot be read, or its reward is not the verifier on a box or on the last line.
    """
    trained = load_trained(run_dir, "last", get_console())
    config, policy = trained.config, trained.policy
    prompts = assembly.build_prompts(config.prompt, policy.tokenizer)
    wider = config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"questions": questions})})
    chosen = evaluated_questions(wider, prompts, read_source(config.data).test, "test split")
    formats = list(config.reward.answer_format) if isinstance(config.reward, MathVerifyConfig) else []
    if len(formats) != 1 or formats[0] not in _PATTERNS:
        raise ValueError(f"{run_dir}: the harness reads {' or '.join(_PATTERNS)} alone, not {formats or 'this reward'}")
    limit = evaluated_tokens(config)
    greedy = SamplingParams(0.0, 1.0, 0, limit, policy.stop_token_ids)
    with closing(assembly.build_reward(config.reward)) as reward:
        sampler = Sampler(assembly.build_engine(config, policy, prompts), reward, config.seed)

        async def ask(question: Question) -> Asked:
            prompt = prompts.question_prompt(question)
            (sample,) = await sampler.sample(question, prompt, greedy, "greedy", [0])
            return Asked(question, _text(policy.tokenizer, prompt), prompt.token_ids, sample)

        async def ask_all() -> list[Asked]:
            return await asyncio.gather(*map(ask, chosen))

        return Asking(config.data.name, formats[0], limit, tuple(asyncio.run(ask_all())))


def _text(tokenizer: Any, prompt: Prompt) -> str:
    """Return a prompt as the text that encodes to its tokens.

    Raises:
        ValueError: there is no such text, so that another program could not be given this prompt.
    """
    text = str(tokenizer.decode(prompt.token_ids, skip_special_tokens=False))
    if tuple(tokenizer.encode(text, add_special_tokens=False)) != prompt.token_ids:
        raise ValueError(f"the prompt {text[:80]!r} has other tokens as text: it cannot be given to another program")
    return text


def write_task(folder: Path, asking: Asking) -> Path:
    """Write a task of lm-evaluation-harness with these prompts, and its data; return the task's file."""
    rows = [{"id": one.question.id, "prompt": one.prompt, "gold": one.question.answer} for one in asking.asked]
    data = folder / "questions.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    found = {"function": "regex", "regex_pattern": _PATTERNS[asking.answer_format], "group_select": -1}
    equal = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "regexes_to_ignore": _IGNORED}
    task = {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{gold}}",
        "generation_kwargs": {"do_sample": False, "until": [], "max_gen_toks": asking.limit},
        "filter_list": [{"name": "answer", "filter": [found, {"function": "take_first"}]}],
        "metric_list": [equal],
    }
    path = folder / f"{TASK}.yaml"
    path.write_text(json.dumps(task), encoding="utf-8")  # which is YAML
    return path


def harness_samples(model: Path, task: Path) -> list[dict[str, Any]]:
    """Return the samples of lm-evaluation-harness on the task, in the order of its questions."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager
    from transformers.utils import logging

    logging.set_verbosity_error()  # a warning per question
    result = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model), "dtype": "float32", "add_bos_token": False},
        tasks=[TASK],
        task_manager=TaskManager(include_path=str(task.parent), include_defaults=False),
        batch_size=1,
        device="cpu",
        bootstrap_iters=0,
    )
    samples: list[dict[str, Any]] = result["samples"][TASK]
    return sorted(samples, key=lambda sample: int(sample["doc_id"]))


def compared(one: Asked, sample: dict[str, Any]) -> Compared:
    """Compare igrpo's answer to a question with the harness's."""
    assert sample["doc"]["id"] == one.question.id, "both have the same questions"
    text, answer = str(sample["resps"][0][0]), str(sample["filtered_resps"][0])
    correct, harness = one.sample.correct, bool(sample["exact_match"] == 1)  # a number of numpy
    reason: Reason | None = None
    if correct != harness:
        same = one.sample.text.strip() == text.strip()
        reason = "text" if not same else "equality" if answer.strip() == one.sample.score.answer else "extraction"
    return Compared(
        one.question.id, one.question.answer, one.sample.text, text, one.sample.score.answer, answer, correct, harness,
        reason,
    )  # fmt: skip


def check(run_dir: Path, questions: int) -> tuple[str, list[Compared]]:
    """Answer questions by both programs and compare them; return the name of the data and the comparisons."""
    asking = answered(run_dir, questions)
    with tempfile.TemporaryDirectory() as folder:
        model = export(run_dir, checkpoint="last", out=Path(folder) / "model", adapters=False, dtype=None)
        samples = harness_samples(model, write_task(Path(folder), asking))
    return asking.data, [compared(one, sample) for one, sample in zip(asking.asked, samples, strict=True)]


def summary(rows: Sequence[Compared]) -> dict[str, Any]:
    """Return the numbers of a comparison, and every question on which the verdicts differ."""
    differing = [row for row in rows if row.reason is not None]
    return {
        "questions": len(rows),
        "same_text": sum(row.text.strip() == row.harness_text.strip() for row in rows),
        "same_verdict": len(rows) - len(differing),
        "right": {"igrpo": sum(row.correct for row in rows), "harness": sum(row.harness_correct for row in rows)},
        "reasons": dict(Counter(row.reason for row in differing)),
        "differing": [asdict(row) for row in differing],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dirs", type=Path, nargs="+", metavar="RUN_DIR")
    parser.add_argument("--questions", type=int, default=256)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    done = dict(check(run_dir, asked.questions) for run_dir in asked.run_dirs)
    result = {
        "versions": {name: version(name) for name in ("lm-eval", "transformers", "torch", "datasets")},
        "tasks": {name: summary(rows) for name, rows in done.items()},
    }
    write_json_atomic(asked.out, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
