"""Comparison of the cost model with the costs printed in the paper, in the same setting."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from igrpo.config.checks import longest_row
from igrpo.config.composing.folders import shipped
from igrpo.config.schema import RunConfig
from igrpo.settings.rollout import VllmConfig
from igrpo.tools.doctor.cost import Assumptions, both_algorithms, step_cost
from igrpo.tools.doctor.device import DEVICES, GIB
from igrpo.tools.doctor.memory import trainer_memory
from igrpo.tools.doctor.shape import Shape


@dataclass(frozen=True, slots=True)
class Reference:
    """GPU-hours of a run and peak GB of its busiest device, as printed and as modelled, for one algorithm."""

    algorithm: str
    printed_gpu_hours: float
    gpu_hours: float
    printed_gb: float
    gb: float


def paper_tables() -> dict[str, Any]:
    """Return all tables copied from the paper, including their known defects."""
    found: dict[str, Any] = json.loads((shipped("experiments") / "paper" / "paper_tables.json").read_text("utf-8"))
    return found


def references(config: RunConfig, shape: Shape, assumed: Assumptions) -> list[Reference]:
    """Return the costs of GRPO and iGRPO in the setting of the paper's cost table; empty for runs of other settings.

    Devices, batch and steps are the paper's; model, lengths and assumptions are the run's.
    """
    tables = paper_tables()
    setting = tables["tableS3_setting"]
    same = (
        config.sampling.max_completion_tokens == setting["max_completion_tokens"]
        and config.completions_per_question == setting["completions_per_question"]
        and 7e9 < shape.parameters < 8.5e9
        and isinstance(config.rollout, VllmConfig)
    )
    if not same:
        return []
    there = replace(assumed, device=DEVICES["a100"], server_devices=setting["serving_devices"])
    found = []
    for row, (name, run) in zip(tables["tableS3_cost"], both_algorithms(config).items(), strict=True):
        assert row["method"] == name
        placed = _as_the_paper(run, setting)
        cost = step_cost(placed, shape, there)
        questions = cost.steps * placed.trainer.questions_per_step
        hours = cost.gpu_hours * setting["questions"] / questions
        gb = trainer_memory(placed, shape, DEVICES["a100"].memory * GIB).peak / 1e9
        found.append(Reference(name, row["gpu_hours"], hours, row["peak_gb"], gb))
    return found


def _as_the_paper(config: RunConfig, setting: dict[str, Any]) -> RunConfig:
    tokens = setting["sequences_a_device"] * longest_row(config)
    trainer = {
        "strategy": "fsdp2", "devices": setting["training_devices"], "nodes": 1, "tokens_per_microbatch": tokens,
        "activation_checkpointing": True, "precision": "bf16",
    }  # fmt: skip
    return config.model_copy(
        update={
            "trainer": config.trainer.model_copy(update=trainer),
            "rollout": config.rollout.model_copy(update={"tensor_parallel": 1}),
        }
    )
