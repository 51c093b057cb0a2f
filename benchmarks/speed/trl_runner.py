"""Steps of TRL's GRPOTrainer on a case: ``python -m benchmarks.speed.trl_runner JOB RESULT``, two JSON files.

As TRL's users would run it, in its best configuration for this work: all completions of a step in one batch of
generation, SDPA attention, no gradient checkpointing, no reference model, micro-batches of ``microbatch`` rows.
Generation is the time in ``model.generate``, training everything else.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerFast,
    Qwen2ForCausalLM,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer

from benchmarks.speed.workload import Case, Lengths, Meter, problems, spread


class EndsAt(LogitsProcessor):
    """Makes each row end at its length, end token included, and not before."""

    def __init__(self, lengths: list[int], prompt: int, end: int, device: torch.device) -> None:
        self._lengths, self._prompt, self._end = torch.tensor(lengths, device=device), prompt, end

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        last = self._lengths <= input_ids.shape[1] - self._prompt + 1
        scores = scores.clone()
        scores[:, self._end] = float("-inf")
        scores[last] = float("-inf")
        scores[last, self._end] = 0.0
        return scores


class Model(Qwen2ForCausalLM):
    """The model, with the time that it spends in ``generate``, and lengths as the case has them."""

    meter: Meter
    lengths: Lengths | None = None
    generating = 0.0
    generated = 0

    def generate(self, *args: Any, **options: Any) -> Any:
        start = self.meter.now()
        ids = options["input_ids"]
        if self.lengths is not None:
            ends = EndsAt(self.lengths.take(len(ids)), ids.shape[1], self.config.eos_token_id, ids.device)
            options["logits_processor"] = LogitsProcessorList([ends])
        output = super().generate(*args, **options)
        Model.generating += self.meter.now() - start
        return output


def score(completion_ids: list[list[int]], **_: Any) -> list[float]:
    Model.generated += sum(len(ids) for ids in completion_ids)
    return [spread(ids) for ids in completion_ids]


class Steps(TrainerCallback):
    """Seconds and tokens of each step, from the end of the one before to its own."""

    def __init__(self, meter: Meter) -> None:
        self.meter, self.rows, self._start = meter, list[dict[str, float]](), 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._start = self.meter.now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        now = self.meter.now()
        step = now - self._start
        row = {"step": step, "generation": Model.generating, "training": step - Model.generating}
        self.rows.append(row | {"generated_tokens": Model.generated})
        Model.generating, Model.generated, self._start = 0.0, 0, self.meter.now()


def run(job: dict[str, Any]) -> dict[str, Any]:
    case, cuda = Case(**job["case"]), job["device"] == "cuda"
    torch.set_num_threads(job["threads"])
    meter = Meter(job["device"])
    model = Model.from_pretrained(job["model"], dtype="float32", attn_implementation="sdpa")
    Model.meter = meter
    if case.uniform:
        Model.lengths = Lengths(case, job["seed"])
    rows = job["microbatch"] or case.rows
    settings = GRPOConfig(
        output_dir=job["folder"],
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=case.rows // rows,
        num_generations=case.group,
        max_completion_length=case.completion,
        generation_kwargs={} if case.uniform else {"min_new_tokens": case.completion},
        max_steps=1 + case.steps,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        beta=0.0,
        loss_type="grpo",
        scale_rewards="group",
        learning_rate=1e-6,
        lr_scheduler_type="constant",
        gradient_checkpointing=False,
        use_cpu=not cuda,
        bf16=cuda,
        seed=job["seed"],
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    steps = Steps(meter)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=score,
        args=settings,
        train_dataset=Dataset.from_list([{"prompt": row["problem"]} for row in problems(case, job["seed"])]),
        processing_class=PreTrainedTokenizerFast.from_pretrained(job["model"]),
        callbacks=[steps],
    )
    trainer.train()
    versions = {name: version(name) for name in ("trl", "torch", "transformers")}
    return {"steps": steps.rows[1:], "peak_mib": meter.peak_mib(), "versions": versions, "microbatch_rows": rows}


if __name__ == "__main__":
    job_file, result_file = map(Path, sys.argv[1:])
    result_file.write_text(json.dumps(run(json.loads(job_file.read_text(encoding="utf-8")))), encoding="utf-8")
