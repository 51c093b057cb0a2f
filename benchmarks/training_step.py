"""Time, throughput, model FLOP utilisation and memory of whole training steps, GRPO and iGRPO at the same samples.

    python benchmarks/training_step.py --shape qwen2.5-0.5b --peak-tflops 990 [--rollout local] [--steps 6]
        [--out FILE] [SETTING=VALUE ...]

The model has the published shape and random weights, so that nothing is downloaded, and answers of full length, since a
random model does not end them. The reward is a function of the tokens, so that every group has a gradient. Medians over
the steps after the first. Utilisation is the operations of sampling and update (igrpo/models/flops.py; neither padding
nor what is computed twice counts) over what the device could do in the step's time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import AutoConfig, AutoModelForCausalLM

from igrpo.files import write_json_atomic
from igrpo.models.byte_level import build_byte_level_tokenizer
from igrpo.types import Completion, Question, Score

PHASES = ("generation", "reward_wait", "entropies", "update", "weight_sync")


class Spread:
    """A reward that differs from answer to answer."""

    name = "spread"

    async def score(self, question: Question, completions: Sequence[Completion]) -> list[Score]:
        """0 to 1 by the tokens; the upper half counts as right."""
        values = [sum(completion.token_ids) % 97 / 96 for completion in completions]
        return [Score(value, value > 0.5, "right" if value > 0.5 else "wrong") for value in values]

    def close(self) -> None:
        """Nothing to release."""


def known_shapes() -> dict[str, Any]:
    """The shapes of published models, by the name of their entry."""
    shapes: dict[str, Any] = yaml.safe_load(
        files("igrpo.tools.doctor").joinpath("shapes.yaml").read_text(encoding="utf-8")
    )
    return dict(shapes["shapes"])


def make_model(shape: str, layers: int | None, folder: Path, dtype: torch.dtype) -> Path:
    """A directory with a random model of the named shape (or of its first layers) and a byte-level tokenizer."""
    values = dict(known_shapes()[shape]["config"])
    if layers is not None:
        values["num_hidden_layers"] = layers
    tokenizer = build_byte_level_tokenizer(chat_template=False)
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    config.pad_token_id = tokenizer.pad_token_id
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train(algorithm: str, model: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the program for some steps and take its own measurements."""
    problems = folder / "problems.jsonl"
    rows = [{"id": str(i), "problem": f"What is {i} + {i + 7}? " * 12, "answer": str(2 * i + 7)} for i in range(64)]
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run_dir = folder / algorithm
    command = [
        sys.executable, "-m", "igrpo", "train", f"hydra.run.dir={run_dir}", f"algorithm={algorithm}", "trainer=single",
        f"trainer.device={arguments.device}", f"trainer.precision={arguments.precision}", "model=huggingface",
        f"model.name_or_path={model}", "data=jsonl", f"data.path={problems}", "prompt=boxed", "reward=python",
        "reward.target=training_step:Spread", f"rollout={arguments.rollout}", f"trainer.steps={arguments.steps}",
        f"trainer.questions_per_step={arguments.questions}", "completions_per_question=8",
        f"sampling.max_completion_tokens={arguments.tokens}", "prompt.max_question_tokens=512",
        f"prompt.max_draft_tokens={max(arguments.tokens, 64)}", "trainer.tokens_per_microbatch=32768",
        "evaluation.every=1000", "evaluation.questions=1", "evaluation.samples=1", "evaluation.greedy=false",
        "evaluation.draft_conditioned=false", "evaluation.max_completion_tokens=8", "checkpoint.every=1000",
        "checkpoint.keep_best=false", "tracking=none",
        *arguments.overrides,
    ]  # fmt: skip
    here = str(Path(__file__).parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))}
    subprocess.run(command, check=True, cwd=Path(__file__).parent, env=environment, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return measured([line for line in lines if "budget/samples" in line], arguments.peak_tflops)


def measured(lines: list[dict[str, Any]], peak_tflops: float | None) -> dict[str, Any]:
    """Medians over the steps after the first, from the cumulative counters of metrics.jsonl."""
    rows = []
    for before, line in pairwise(lines):
        spent = {name: line[f"budget/{name}"] - before[f"budget/{name}"] for name in
                 ("samples", "generated_tokens", "trained_tokens", "flops")}  # fmt: skip
        seconds = {phase: line.get(f"step_seconds/{phase}", 0.0) for phase in PHASES}
        step = sum(seconds.values())
        row = {f"seconds_{phase}": value for phase, value in seconds.items()} | {"seconds": step}
        row |= {
            "samples": spent["samples"],
            "samples_per_s": spent["samples"] / step,
            "generated_tokens_per_s_of_generation": spent["generated_tokens"] / seconds["generation"],
            "trained_tokens_per_s_of_update": spent["trained_tokens"] / seconds["update"],
            "tflops_per_s": spent["flops"] / step / 1e12,
        }
        if peak_tflops is not None:
            row["utilisation"] = row["tflops_per_s"] / peak_tflops
        if "memory/peak_gib" in line:
            row["peak_memory_gib"] = line["memory/peak_gib"]
        rows.append(row)
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]} | {"steps": len(rows)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="qwen2.5-0.5b", choices=sorted(known_shapes()))
    parser.add_argument("--layers", type=int, help="only so many layers of the shape")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--rollout", default="local", choices=["local", "vllm_colocate", "vllm_server"])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=512, help="of a completion, and of a shown draft")
    parser.add_argument("--peak-tflops", type=float, help="what the device can do, for the utilisation")
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    parser.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="of the program, after those made here")
    return parser.parse_args()


def main() -> None:
    """Measure both algorithms, and print or keep the results."""
    arguments = parse()
    record: dict[str, Any] = {
        "settings": {key: value for key, value in vars(arguments).items() if key != "out"},
        "device": torch.cuda.get_device_name() if arguments.device == "cuda" else platform.machine(),
        "versions": {package: version(package) for package in ("torch", "transformers", "igrpo")},
        "results": {},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = make_model(arguments.shape, arguments.layers, folder / "model", torch.float32)
        for algorithm in ("grpo", "igrpo"):
            record["results"][algorithm] = train(algorithm, model, folder, arguments)
            if arguments.out is not None:
                write_json_atomic(arguments.out, record)  # the second may yet fail
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
