"""Chat with a trained model: it answers directly, or samples drafts, votes among them and refines one."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from igrpo.assembly import Policy, build_device, build_policy, build_prompts
from igrpo.assembly.answer_equality import AnswerEquality, verifier_settings
from igrpo.config import RunConfig
from igrpo.config.composing.composer import Composer
from igrpo.config.composing.overrides import quoted
from igrpo.evaluation.voting import Vote, vote
from igrpo.generation.base import SamplingParams, complete
from igrpo.generation.local.engine import LocalEngine
from igrpo.models.encoding import encode_exact
from igrpo.rewards.math.extraction import extract_answer
from igrpo.rewards.math.normalise import normalise
from igrpo.runs.console import get_console
from igrpo.runs.fingerprints import kept_date
from igrpo.runs.run_directory import RunDirectory
from igrpo.seeding import derive_seed
from igrpo.settings.prompt import PromptConfig
from igrpo.settings.reward import RewardConfig
from igrpo.settings.sampling import SamplingConfig
from igrpo.tools.exported import evaluation_sampling, read_record
from igrpo.tools.trained import load_trained
from igrpo.types import Completion, Question


@dataclass(frozen=True, slots=True)
class ChatModel:
    """A model with its prompts and sampling settings. ``drafts`` is the run's number of drafts (0: none).

    ``today`` is the date of the run, for chat templates that include a date; None if no run is known.
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
    """Command-line options that override the run's settings; None keeps the run's.

    ``temperature`` 0 is greedy. Drafts are always sampled at the run's temperature, or at a positive one given here.
    """

    refine: bool
    drafts: int | None
    temperature: float | None
    max_tokens: int | None
    seed: int | None


@dataclass(frozen=True, slots=True)
class ChatResult:
    """A reply: ``completion``, a refinement of ``drafts[vote.pick]`` if there is a ``vote``, and its ``answer``."""

    completion: Completion
    answer: str | None
    drafts: tuple[Completion, ...] = ()
    draft_answers: tuple[str | None, ...] = ()
    vote: Vote | None = None


def model_of_run(run_dir: Path, checkpoint: str) -> ChatModel:
    """Load the policy of a run, with its prompts and the sampling settings of its evaluations.

    Raises:
        ValueError: the run or checkpoint does not exist.
    """
    trained = load_trained(run_dir, checkpoint, get_console(stderr=True))
    return replace(_chat_model(trained.policy, trained.config), today=kept_date(RunDirectory(run_dir)))


def model_of_directory(directory: Path, prompt: str | None, max_tokens: int) -> ChatModel:
    """Load any Hugging Face directory.

    A model exported by igrpo has its prompts stored; other models use those of conf/prompt/``prompt``.yaml, and up to
    ``max_tokens`` tokens per answer.

    Raises:
        ValueError: the directory holds no causal language model, the prompt does not exist, or a prompt is given for a
            model that has its own.
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
    """Build the chat model, on a GPU if one is available, whatever the run used."""
    policy.model.to(build_device(config.trainer.model_copy(update={"device": "auto", "devices": 1})))
    return ChatModel(policy, config.prompt, evaluation_sampling(config), config.reward, config.plan.drafts, config.seed)


def _composed(directory: Path, prompt: str | None) -> RunConfig:
    """Compose the settings of `experiment=math_local` for the model in ``directory``."""
    name = f"model.name_or_path={quoted(directory)}"
    overrides = ["experiment=math_local", "data.path=none", "model=huggingface", name]
    with Composer("train") as composer:
        return composer.check_run([*overrides, *([] if prompt is None else [f"prompt={prompt}"])]).config


class Chat:
    """Chat session that answers one question at a time. Equal questions, options and weights give equal replies.

    Raises:
        ValueError: an option does not fit the model, the tokenizer cannot encode the prompts, or the local engine
            cannot sample from the model.
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
        self._answers = verifier_settings(model.reward)
        self._same = AnswerEquality(self._answers)

    async def ask(self, problem: str) -> ChatResult:
        """Answer a question.

        Raises:
            ValueError: the problem exceeds its token budget, or does not fit the model.
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
        """Describe the part of the problem that tokenization loses; None if the tokens represent the whole text."""
        try:
            encode_exact(self._tokenizer, problem)
        except ValueError as error:
            return str(error)
        return None

    def close(self) -> None:
        """Stop the verifier's processes and free the engine's memory."""
        self._same.close()
        self._engine.close()

    def _seeds(self, problem: str, purpose: str, count: int) -> list[int]:
        return [derive_seed("chat", self._seed, problem, purpose, i) for i in range(count)]

    def _answer(self, completion: Completion) -> str | None:
        found = extract_answer(completion.text, self._answers.answer_format)
        if found is None or len(found) > self._answers.max_answer_chars:
            return None
        return normalise(found) or None


def _draft_count(model: ChatModel, options: ChatOptions) -> int:
    """Return the number of drafts to sample; 0: ask the bare question."""
    if not options.refine:
        if options.drafts is not None:
            raise ValueError(f"--drafts {options.drafts} is for --refine: add it")
        return 0
    drafts = model.drafts if options.drafts is None else options.drafts
    if drafts == 0:
        raise ValueError("--refine: the model was trained without drafts; say how many to sample with --drafts N")
    return drafts
