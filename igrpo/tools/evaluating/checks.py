"""Checks of what could be wrong with an evaluation: from its samples and, if asked for, from further ones."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from igrpo.assembly import Parts, build_prompts, build_reward
from igrpo.assembly.answer_equality import AnswerEquality
from igrpo.config.schema import RunConfig
from igrpo.evaluation.sampler import SampleStore
from igrpo.evaluation.samples import SINGLE_SHOT, EvaluatedSample
from igrpo.evaluation.validity.confidence import grouped_by
from igrpo.evaluation.validity.contamination import Completed, Contamination, contamination, cut, results_of
from igrpo.evaluation.validity.probing import ContaminationProbe
from igrpo.evaluation.validity.result import Checks, Validity, free_checks
from igrpo.evaluation.validity.sensitivity import Sensitivity, sensitivity
from igrpo.evaluation.validity.variants import Variant, Variants, at_temperature
from igrpo.generation.base import SamplingParams
from igrpo.prompts.builder import PromptError
from igrpo.rewards.base import Reward
from igrpo.rewards.math.extraction import ANSWER_FORMATS
from igrpo.settings.prompt import PromptConfig
from igrpo.settings.reward import FormatConfig, RewardConfig, reward_parts
from igrpo.settings.verifier import MathVerifyConfig
from igrpo.types import Question

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A benchmark as it was evaluated: its questions, the settings of its reward, and its sampling."""

    questions: Sequence[Question]
    reward: RewardConfig
    sampling: SamplingParams


class EvaluationChecks:
    """Makes the checks of an evaluation, benchmark by benchmark.

    Args:
        config: the evaluation's settings.
        parts: its model, engine, reward and prompts.
        prompts: further sets of prompts by name (see `igrpo.tools.evaluating.prompt_sets`).
        today: date for chat templates that ask for it.
        names: the benchmarks of the evaluation.

    Raises:
        ValueError: the settings name a benchmark that is not among them, or the tokenizer cannot express a prompt.
    """

    def __init__(
        self, config: RunConfig, parts: Parts, prompts: Mapping[str, PromptConfig], today: date, names: Collection[str]
    ) -> None:
        self._config, self._parts, self._today = config, parts, today
        self._checks: dict[str, Checks] = {}
        self._completed: dict[str, list[Completed]] = {}
        self._left_out: dict[str, int] = {}
        self._temperatures: dict[str, float] = {}
        for name in config.evaluation.contamination.benchmarks:
            if name not in names:
                raise ValueError(
                    f"evaluation.contamination: '{name}' is not evaluated here; evaluated: {', '.join(names)}"
                )
        tokenizer = parts.policy.tokenizer
        self._prompts = {name: build_prompts(prompt, tokenizer, today) for name, prompt in prompts.items()}

    @property
    def validity(self) -> Validity:
        """The checks of the benchmarks so far."""
        return Validity(dict(self._checks), self._contamination(), tuple(self._not_compared()))

    def _not_compared(self) -> Iterator[str]:
        """Say which settings were to be varied, and have no other value than the evaluation's own."""
        asked = self._config.evaluation.sensitivity
        if asked.prompts and not self._prompts:
            which = asked.prompts if isinstance(asked.prompts, str) else f"[{','.join(asked.prompts)}]"
            yield (
                f"prompts were not compared: none of evaluation.sensitivity.prompts={which} is other than the "
                f"evaluation's own, prompt={self._config.prompt.name}, and one that the tokenizer can express"
            )
        own = [name for name, temperature in self._temperatures.items() if set(asked.temperatures) == {temperature}]
        if own:
            yield (
                f"temperatures were not compared on {', '.join(own)}: evaluation.sensitivity.temperatures has only the "
                "evaluation's own"
            )

    def planned_samples(self, name: str, of: Evaluated) -> int:
        """Return the number of samples that the checks of a benchmark need beyond those of the evaluation."""
        variants = [variant for group in self._variants(of).values() for variant in group]
        per_question = sum(self._samples if variant.params.temperature else 1 for variant in variants)
        return per_question * len(of.questions) + (len(self._probed(of)) if self._is_probed(name) else 0)

    async def benchmark(
        self, name: str, of: Evaluated, samples: Sequence[EvaluatedSample], store: SampleStore
    ) -> Checks:
        """Make the checks of a benchmark.

        Args:
            name: its name.
            of: the benchmark as it was evaluated.
            samples: all samples of the evaluation.
            store: where further samples are kept.

        Raises:
            RewardError: the reward broke its contract.
            ValueError: a prompt does not fit the model.
        """
        rows = [sample for sample in samples if sample.kind == SINGLE_SHOT]
        verifier = rule_verifier(of.reward)
        if verifier is None:
            checks = free_checks(of.questions, rows, None)
        else:
            with AnswerEquality(verifier) as same:
                checks = free_checks(of.questions, rows, verifier, grouped_by(same))
        found = replace(checks, sensitivity=await self._sensitivities(of, rows, store))
        if self._is_probed(name):
            await self._probe(name, of.questions, store)
        self._checks[name] = found
        self._temperatures[name] = of.sampling.temperature
        return found

    def _is_probed(self, name: str) -> bool:
        return name in self._config.evaluation.contamination.benchmarks

    def _probed(self, of: Evaluated) -> list[Question]:
        shown = self._config.evaluation.contamination.shown
        return [question for question in of.questions if cut(question.problem, shown) is not None]

    async def _probe(self, name: str, questions: Sequence[Question], store: SampleStore) -> None:
        settings, policy = self._config.evaluation.contamination, self._parts.policy
        probe = ContaminationProbe(
            self._parts.engine,
            policy.tokenizer,
            policy.stop_token_ids,
            shown=settings.shown,
            seed=self._config.seed,
            store=store,
        )
        self._completed[name] = results_of(questions, await probe.run(questions), settings.shown, settings.words)
        self._left_out[name] = len(questions) - len(self._completed[name])

    def _contamination(self) -> Contamination | None:
        settings = self._config.evaluation.contamination
        if not self._completed:
            return None
        return contamination(
            {name: self._completed[name] for name in settings.older if name in self._completed},
            {name: self._completed[name] for name in settings.newer if name in self._completed},
            left_out=self._left_out,
            shown=settings.shown,
            words=settings.words,
        )

    @property
    def _samples(self) -> int:
        return self._config.evaluation.sensitivity.samples

    def _variants(self, of: Evaluated) -> dict[str, list[Variant]]:
        """Return the variants by the setting that they change."""
        temperatures = [
            value for value in self._config.evaluation.sensitivity.temperatures if value != of.sampling.temperature
        ]
        own = self._parts.prompts
        found = {
            "prompt": [Variant(f"prompt={name}", prompts, of.sampling) for name, prompts in self._prompts.items()],
            "temperature": [
                Variant(f"temperature={value:g}", own, at_temperature(of.sampling, value)) for value in temperatures
            ],
        }
        return {setting: variants for setting, variants in found.items() if variants}

    async def _sensitivities(
        self, of: Evaluated, rows: Sequence[EvaluatedSample], store: SampleStore
    ) -> dict[str, Sensitivity]:
        varied = self._variants(of)
        if not varied:
            return {}
        reward = self._reward(of.reward)
        sampler = Variants(self._parts.engine, reward, seed=self._config.seed, samples=self._samples, store=store)
        names = {
            "prompt": f"prompt={self._config.prompt.name}", "temperature": f"temperature={of.sampling.temperature:g}",
        }  # fmt: skip
        try:
            main = await sampler.judged(of.questions, _first(rows, self._samples))
            return {
                setting: sensitivity(
                    {names[setting]: main, **{one.name: await sampler.verdicts(one, of.questions) for one in variants}}
                )
                for setting, variants in varied.items()
            }
        finally:
            if reward is not self._parts.reward:
                reward.close()

    def _reward(self, settings: RewardConfig) -> Reward:
        """Return the reward that judges all variants: it reads every form of answer if rules do."""
        verifier = rule_verifier(settings)
        if verifier is not None:
            return build_reward(verifier.model_copy(update={"answer_format": ANSWER_FORMATS}))
        return self._parts.reward if settings == self._config.reward else build_reward(settings, today=self._today)


def expressible(prompts: Mapping[str, PromptConfig], tokenizer: Any, today: date) -> dict[str, PromptConfig]:
    """Return the sets of prompts that the tokenizer can express; the log says why others are left out."""
    found = {}
    for name, prompt in prompts.items():
        try:
            build_prompts(prompt, tokenizer, today)
        except PromptError as error:
            log.warning("prompt=%s is left out of the check of sensitivity: %s", name, error)
        else:
            found[name] = prompt
    return found


def rule_verifier(reward: RewardConfig) -> MathVerifyConfig | None:
    """Return the settings of the rule verifier if it alone gives the verdicts, else None."""
    parts = reward_parts(reward).values()
    verifiers = [part for part in parts if isinstance(part, MathVerifyConfig)]
    others = [part for part in parts if not isinstance(part, MathVerifyConfig | FormatConfig)]
    return verifiers[0] if len(verifiers) == 1 and not others else None


def _first(rows: Sequence[EvaluatedSample], most: int) -> dict[str, list[EvaluatedSample]]:
    found: dict[str, list[EvaluatedSample]] = {}
    for row in rows:
        if row.index < most:
            found.setdefault(row.question, []).append(row)
    return found
