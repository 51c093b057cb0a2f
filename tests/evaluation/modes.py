"""Test-time modes on the digit task of `tests.evaluation.fakes`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from igrpo.evaluation.result import EvaluationResult
from igrpo.evaluation.samples import EvaluatedSample, SampleKey
from igrpo.evaluation.test_time.aids import Aids
from igrpo.evaluation.test_time.base import Mode
from igrpo.evaluation.test_time.majority import Majority
from igrpo.evaluation.test_time.pdr import DistillRefine
from igrpo.evaluation.test_time.refine import Refine
from igrpo.evaluation.test_time.rsa import SelfAggregation
from igrpo.evaluation.test_time.running import Modes
from igrpo.rewards.base import Reward
from igrpo.types import Completion, Prompt, Question
from tests.evaluation.fakes import DRAFT_MARK, DigitEngine, Prompts, evaluator

REFINE = Refine(name="refine", drafts=4, refinements=3, rounds=2, pick="majority", judge=None, among="round", repeats=1)
MAJORITY = Majority(name="majority", samples=None, repeats=1)
RSA = SelfAggregation(name="rsa", population=3, shown=2, rounds=2, pick="random", judge=None, repeats=1)
PDR = DistillRefine(name="pdr", drafts=3, rounds=2, distil="summary", summary_tokens=5, kept=2, repeats=1)
MODES: dict[str, Mode] = {"majority": MAJORITY, "refine": REFINE, "rsa": RSA, "pdr": PDR}


class SameText:
    """Equality of texts."""

    def __call__(self, one: str, other: str, /) -> bool:
        return one == other

    def close(self) -> None: ...


class SeveralDrafts(Prompts):
    """Prompts that show each draft behind a mark of its own."""

    def refinement_prompt(self, question: Question, drafts: Sequence[Completion]) -> Prompt:
        ids = [int(question.problem)]
        for draft in drafts:
            ids += [DRAFT_MARK, *draft.token_ids]
        cut = sum(draft.text == "1" for draft in drafts)
        return Prompt(tuple(ids), draft_tokens=2 * len(drafts), draft_tokens_cut=cut)


@dataclass
class Store:
    """A `SampleStore` in memory."""

    kept: dict[tuple[str, SampleKey], EvaluatedSample] = field(default_factory=dict)

    def get(self, question: str, key: SampleKey) -> EvaluatedSample | None:
        return self.kept.get((question, key))

    def add(self, samples: Sequence[EvaluatedSample]) -> None:
        self.kept |= {(sample.question, sample.key): sample for sample in samples}

    def of(self, question: str, kind: str) -> list[EvaluatedSample]:
        """The samples of a question and kind, in order."""
        found = [sample for (name, key), sample in self.kept.items() if (name, key[0]) == (question, kind)]
        return sorted(found, key=lambda sample: sample.index)


def run_modes(
    modes: Mapping[str, Mode],
    *,
    engine: DigitEngine | None = None,
    store: Store | None = None,
    judges: Mapping[str, Reward] | None = None,
    **changes: Any,
) -> EvaluationResult:
    """Evaluate the two questions of the fakes with these modes; 2 single-shot samples, unless changed."""
    settings = {"samples": 2, "greedy": False, "draft_conditioned": False} | changes
    together = Modes(modes, Aids(SameText(), judges or {}))
    made = evaluator(engine or DigitEngine(), prompts=SeveralDrafts(), store=store, modes=together, **settings)
    return asyncio.run(made.run())
