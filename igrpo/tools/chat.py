"""Asking a trained model: the bare question, or drafts, a vote among them and a refinement."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import yaml

from igrpo.assembly import Policy, build_device, build_policy, build_prompts
from igrpo.config import RunConfig
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.folders import shipped
from igrpo.config.composing.overrides import quoted
from igrpo.config.parts.prompt import PromptConfig
from igrpo.config.parts.reward import GenerativeJudgeConfig, MathVerifyConfig, RewardConfig, reward_parts
from igrpo.config.schema import SamplingConfig
from igrpo.evaluation.voting import Vote, vote
from igrpo.generation.base import SamplingParams, complete
from igrpo.generation.local.engine import LocalEngine
from igrpo.models.encoding import encode_exact
from igrpo.rewards.math.extraction import extract_answer
from igrpo.rewards.math.normalise import normalise
from igrpo.rewards.math.verifier import MathVerifier
from igrpo.runs.console import get_console
from igrpo.runs.fingerprints import kept_date
from igrpo.runs.run_directory import RunDirectory
from igrpo.seeding import derive_seed
from igrpo.tools.exported import evaluation_sampling, read_record
from igrpo.tools.trained import load_trained
from igrpo.types import Completion, Question


@dataclass(frozen=True, slots=True)
class ChatModel:
    """A model with its prompts and sampling settings. ``drafts`` is the run's number of drafts, 0 where it had none.

    ``today`` is the date of the run, for a chat template that asks for it; None where no run is known.
    """

    policy: Policy
    prompt: PromptConfig
    sampling: SamplingConfig
    reward: RewardConfig
    drafts: int
    seed: int
    today: date | None = None


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """Options of the command line that replace the run's own settings; None keeps the run's.

    ``temperature`` 0 is greedy. Drafts are always sampled at the run's temperature, or at a positive one given here.
    """

    refine: bool
    drafts: int | None
    temperature: float | None
    max_tokens: int | None
    seed: int | None


@dataclass(frozen=True, slots=True)
class ChatResult:
    """An answer: ``completion``, which refines ``drafts[vote.pick]`` where there is a ``vote``, and its ``answer``."""

    completion: Completion
    answer: str | None
    drafts: tuple[Completion, ...] = ()
    draft_answers: tuple[str | None, ...] = ()
    vote: Vote | None = None


def model_of_run(run_dir: Path, checkpoint: str) -> ChatModel:
    """Load the policy of a run, with its prompts and the sampling settings of its evaluations.

    Raises:
        ValueError: no such run or checkpoint.
    """
    trained = load_trained(run_dir, checkpoint, get_console(stderr=True))
    return replace(_chat_model(trained.policy, trained.config), today=kept_date(RunDirectory(run_dir)))


def model_of_directory(directory: Path, prompt: str | None, max_tokens: int) -> ChatModel:
    """Load any Hugging Face directory. One that igrpo exported knows its prompts; another is given those of
    conf/prompt/``prompt``.yaml, and up to ``max_tokens`` tokens an answer.

    Raises:
        ValueError: no causal language model, no such prompt, or a prompt for a model that has its own.
    """
    record = read_record(directory)
    if record is not None and prompt is not None:
        raise ValueError(f"--prompt {prompt}: {directory} has the prompts that it was trained on; leave it out")
    config = _composed(directory, prompt)
    config = config if record is None else config.model_copy(update={"prompt": record.prompt})
    model = _chat_model(build_policy(config, get_console(stderr=True)), config)
    if record is None:
        sampling = model.sampling.model_copy(update={"max_completion_tokens": max_tokens})
        return replace(model, sampling=sampling)
    return replace(
        model,
        sampling=record.sampling,
        reward=record.reward,
        drafts=record.drafts,
        seed=record.seed,
        today=record.date,
    )


def _chat_model(policy: Policy, config: RunConfig) -> ChatModel:
    """Put the policy on a GPU where there is one, whatever the run used."""
    policy.model.to(build_device(config.trainer.model_copy(update={"device": "auto", "devices": 1})))
    return ChatModel(policy, config.prompt, evaluation_sampling(config), config.reward, config.drafts, config.seed)


def _composed(directory: Path, prompt: str | None) -> RunConfig:
    """Compose settings for a model without a record: those of `experiment=math_local`."""
    name = f"model.name_or_path={quoted(directory)}"
    overrides = ["experiment=math_local", "data.path=none", "model=huggingface", name]
    with Composer("train") as composer:
        return composer.check_run([*overrides, *([] if prompt is None else [f"prompt={prompt}"])]).config


class Chat:
    """Answers questions, one at a time. The same question, options and weights give the same reply.

    Raises:
        ValueError: an option that does not fit the model, prompts that the tokenizer cannot encode, or a model that the
        local
            engine cannot sample from.
    """

    def __init__(self, model: ChatModel, options: ChatOptions) -> None:
        policy, sampling = model.policy, model.sampling
        self._drafts = _draft_count(model, options)
        self._seed = model.seed if options.seed is None else options.seed
        self._draft_params = SamplingParams(
            temperature=options.temperature or sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_new_tokens=options.max_tokens or sampling.max_completion_tokens,
            stop_token_ids=policy.stop_token_ids,
        )
        self._params = self._draft_params
        if options.temperature == 0:
            self._params = replace(self._draft_params, temperature=0.0, top_p=1.0, top_k=0)
        self._tokenizer = policy.tokenizer
        self._prompts = build_prompts(model.prompt, policy.tokenizer, model.today)
        self._engine = LocalEngine(policy.model, policy.tokenizer, max_batch_rows=max(1, self._drafts))
        self._answers = _verifier_settings(model.reward)
        # its own settings but for the place of the answer: it is given bare ones here
        bare = self._answers.model_dump(exclude={"name"}) | {"answer_format": ("answer_tag",)}
        self._verifier = MathVerifier(**bare)

    async def ask(self, problem: str) -> ChatResult:
        """One answer.

        Raises:
            ValueError: the problem is over its token budget, or does not fit the model.
        """
        question = Question(id="chat", problem=problem, answer="")
        prompt = self._prompts.question_prompt(question)
        if not self._drafts:
            (completion,) = await complete(self._engine, prompt, self._params, self._seeds(problem, "answer", 1))
            return ChatResult(completion, self._answer(completion))
        seeds = self._seeds(problem, "draft", self._drafts)
        drafts = await complete(self._engine, prompt, self._draft_params, seeds)
        answers = tuple(self._answer(draft) for draft in drafts)
        chosen = vote(answers, self._same, random.Random(derive_seed("chat", self._seed, problem, "vote")))
        shown = self._prompts.refinement_prompt(question, [drafts[chosen.pick]])
        seeds = self._seeds(problem, "refinement", 1)
        (completion,) = await complete(self._engine, shown, self._params, seeds)
        return ChatResult(completion, self._answer(completion), drafts, answers, chosen)

    def unread(self, problem: str) -> str | None:
        """What of the problem the model does not see, in words; None where its tokens stand for the whole text."""
        try:
            encode_exact(self._tokenizer, problem)
        except ValueError as error:
            return str(error)
        return None

    def close(self) -> None:
        """Stop the verifier's processes and free the engine's memory."""
        self._verifier.close()
        self._engine.close()

    def _seeds(self, problem: str, purpose: str, count: int) -> list[int]:
        return [derive_seed("chat", self._seed, problem, purpose, i) for i in range(count)]

    def _answer(self, completion: Completion) -> str | None:
        found = extract_answer(completion.text, self._answers.answer_format)
        if found is None or len(found) > self._answers.max_answer_chars:
            return None
        return normalise(found) or None

    def _same(self, one: str, other: str) -> bool:
        """Whether the verifier takes one for the other, either way round: it is not symmetric."""
        return self._is(one, other) or self._is(other, one)

    def _is(self, gold: str, answer: str) -> bool:
        (score,) = self._verifier.score_sync(Question("chat", "", gold), [f"<answer>{answer}</answer>"])
        return score.correct is True


def _draft_count(model: ChatModel, options: ChatOptions) -> int:
    """How many drafts to sample; 0: none, the bare question is asked."""
    if not options.refine:
        if options.drafts is not None:
            raise ValueError(f"--drafts {options.drafts} is for --refine: add it")
        return 0
    drafts = model.drafts if options.drafts is None else options.drafts
    if drafts == 0:
        raise ValueError("--refine: the model was trained without drafts; say how many to sample with --drafts N")
    return drafts


def _verifier_settings(reward: RewardConfig) -> MathVerifyConfig:
    """The reward's, where a verifier is a part of it; else those of conf/reward/math_verify.yaml."""
    for part in reward_parts(reward).values():
        if isinstance(part, MathVerifyConfig):
            return part
        if isinstance(part, GenerativeJudgeConfig):
            return part.verifier
    text = (shipped("conf") / "reward" / "math_verify.yaml").read_text(encoding="utf-8")
    return MathVerifyConfig.model_validate(yaml.safe_load(text))
