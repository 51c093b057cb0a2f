"""Checks that load the data and the model and sample from it. They download nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from igrpo import assembly
from igrpo.assembly import Policy
from igrpo.config.schema import RunConfig
from igrpo.data.sources import read_source
from igrpo.prompts.builder import PromptBuilder, PromptError
from igrpo.rewards.base import RewardError
from igrpo.settings.data import GeneratedDataConfig, HubDataConfig
from igrpo.settings.model import HuggingFaceModelConfig
from igrpo.settings.rollout import LocalRolloutConfig
from igrpo.tools.doctor.draft_worth import worth_check
from igrpo.tools.doctor.reward_checks import format_checks, gold_check, judge_checks, thinking_checks, without_judges
from igrpo.tools.doctor.shape import Shape
from igrpo.tools.doctor.static_checks import DRAFT_SECONDS, NOT_MEASURED, Check
from igrpo.types import Completion, Question

#: Models with more parameters are loaded only if there is a CUDA device, or if the user asks for it.
LARGEST = 3_000_000_000

#: Number of questions whose lengths are checked, whose gold answers are checked, and tokens of the trial rollout.
_LENGTHS, _GOLDS, _TOKENS = 256, 16, 8


def live_checks(
    config: RunConfig, shape: Shape | None, *, load: bool, draft_seconds: float = DRAFT_SECONDS
) -> Iterator[Check]:
    """Check tokenizer, template, lengths, reward, a rollout and the worth of a draft.

    Each check is ok, failed, a warning, or not checked (with the reason).

    Args:
        config: settings of the run.
        shape: sizes of the model (None: unknown).
        load: load the model whatever its size.
        draft_seconds: time limit for measuring the worth of a draft.
    """
    questions: Sequence[Question] = ()
    development: Sequence[Question] = ()
    absent = _data_absent(config)
    if absent:
        yield Check("data", "not checked", absent)
    else:
        try:
            source = read_source(config.data)
            questions, development = list(islice(source.train, _LENGTHS)), source.development
        except (ValueError, OSError) as error:
            yield Check("data", "not checked" if _is_remote(config) else "failed", str(error))
        else:
            yield Check("data", "ok", f"the first of {len(questions)} questions that are looked at: {questions[0].id}")
    if questions:
        yield gold_check(config, questions[:_GOLDS])
    yield from judge_checks(config)
    yield from format_checks(config)
    reason = _not_loaded(config, shape, load=load)
    if reason:
        yield Check("model, tokenizer, rollout", "not checked", reason)
        yield NOT_MEASURED
        return
    yield from _model_checks(config, questions, development, draft_seconds)


def _model_checks(
    config: RunConfig, questions: Sequence[Question], development: Sequence[Question], draft_seconds: float
) -> Iterator[Check]:
    from igrpo.runs.console import get_console

    try:
        policy = assembly.build_policy(_on_this_machine(config), get_console())
    except PromptError as error:
        yield Check("prompt", "failed", str(error))
        return
    except (ValueError, ImportError) as error:
        yield Check("model", "failed", str(error))
        return
    yield _tokens(policy)
    try:
        prompts = assembly.build_prompts(config.prompt, policy.tokenizer)
    except ValueError as error:
        yield Check("prompt", "failed", str(error))
        return
    yield _template(config, policy, prompts)
    yield from thinking_checks(config, policy, prompts)
    try:
        assembly.check_lengths(config, policy.model, prompts)
    except ValueError as error:
        yield Check("lengths", "failed", str(error))
        fits_model = False
    else:
        fits_model = True
        longest = assembly.longest_prompt(config, prompts)
        completion = config.sampling.max_completion_tokens
        yield Check("lengths", "ok", f"prompts of up to {longest:,} tokens and completions of {completion:,} fit")
    if not questions:
        yield Check("rollout", "not checked", "there are no questions to ask")
        return
    fitting = [question for question in questions if prompts.fits(question)]
    share = f"{len(fitting)} of the first {len(questions)} questions fit prompt.max_question_tokens"
    yield Check("questions", "ok" if fitting else "failed", share)
    if fitting:
        rollout = _rollout(config, policy, prompts, fitting[:1])
        yield rollout
        if rollout.state == "ok" and fits_model:
            yield worth_check(_on_local_engine(config), policy, prompts, development, draft_seconds)


def _data_absent(config: RunConfig) -> str:
    """Return why the data cannot be read on this machine; empty if it can."""
    data = config.data
    if isinstance(data, GeneratedDataConfig) or _is_remote(config):  # data from the hub may be in the cache
        return ""
    name = data.dataset if isinstance(data, HubDataConfig) else data.path
    if Path(name).expanduser().exists():
        return ""
    setting = "data.dataset" if isinstance(data, HubDataConfig) else "data.path"
    return f"{setting}={name} is not on this machine"


def _is_remote(config: RunConfig) -> bool:
    """Return True if the data are on the hub. They must be in the cache then, since nothing is downloaded."""
    data = config.data
    if not isinstance(data, HubDataConfig) or Path(data.dataset).expanduser().exists():
        return False
    return not data.dataset.startswith((".", "/", "~"))


def model_absent(config: RunConfig) -> str:
    """Return the name of the run's model if it is not on this machine; empty if it is, or is made by the run."""
    model = config.model
    if not isinstance(model, HuggingFaceModelConfig):
        return ""
    from huggingface_hub import try_to_load_from_cache

    found = Path(model.name_or_path).expanduser().is_dir()
    if not found and "/" in model.name_or_path and not model.name_or_path.startswith((".", "/", "~")):
        found = isinstance(try_to_load_from_cache(model.name_or_path, "config.json", revision=model.revision), str)
    return "" if found else model.name_or_path


def _not_loaded(config: RunConfig, shape: Shape | None, *, load: bool) -> str:
    """Return why the model is not loaded here; empty if it is."""
    absent = model_absent(config)
    if absent:
        return f"{absent} is not on this machine, and nothing is downloaded here"
    if not isinstance(config.model, HuggingFaceModelConfig):
        return ""
    import torch

    if shape is not None and shape.parameters > LARGEST and not torch.cuda.is_available() and not load:
        return f"{shape.parameters / 1e9:.1f} billion parameters and no CUDA device: --load loads them all the same"
    return ""


def _tokens(policy: Policy) -> Check:
    tokenizer = policy.tokenizer
    named = {"bos": tokenizer.bos_token, "eos": tokenizer.eos_token, "pad": tokenizer.pad_token}
    shown = ", ".join(f"{name} {token!r}" if token else f"no {name}" for name, token in named.items())
    if not policy.stop_token_ids:
        return Check("tokenizer", "failed", f"nothing ends a completion ({shown})")
    return Check("tokenizer", "ok", f"{shown}; {len(policy.stop_token_ids)} token(s) end a completion")


def _template(config: RunConfig, policy: Policy, prompts: PromptBuilder) -> Check:
    tokenizer = policy.tokenizer
    question = Question("doctor", "1", "1")
    asked = prompts.question_prompt(question)
    bare = asked.token_ids
    ids = tuple(tokenizer.encode("1", add_special_tokens=False))
    draft = Completion(ids, "1", (0.0,) * len(ids), None, None, "stop", 0)
    shown = prompts.refinement_prompt(question, [draft]).token_ids
    begins = (tokenizer.bos_token_id,) * 2  # later in the prompt it may mark each turn, as <|im_start|> does
    if tokenizer.bos_token_id is not None and bare[:2] == shown[:2] == begins:
        return Check("prompt", "failed", f"the prompt has {tokenizer.bos_token!r} twice: set prompt.chat_template=off")
    used = config.prompt.chat_template != "off" and bool(tokenizer.chat_template)
    kind = "the chat template" if used else "no chat template"
    opened = f"opens {asked.opened!r} for the completion" if asked.opened else "opens no <think>"
    sizes = f"a question's prompt has {len(bare)} tokens, a refinement's {len(shown)}"
    return Check("prompt", "ok", f"{kind}; {sizes}; it {opened}")


def _rollout(config: RunConfig, policy: Policy, prompts: PromptBuilder, questions: Sequence[Question]) -> Check:
    """Run one rollout cycle on the local engine, with short completions."""
    from igrpo.budget import Budget

    tokens = min(_TOKENS, config.sampling.max_completion_tokens)
    sampling = config.sampling.model_copy(update={"max_completion_tokens": tokens})
    short = _on_local_engine(config).model_copy(update={"sampling": sampling})
    budget = Budget()
    try:
        with closing(assembly.build_reward(without_judges(config.reward), None)) as reward:
            engine = assembly.build_engine(short, policy, prompts, Path())
            parts = assembly.Parts(policy, engine, reward, prompts)
            (rollout,) = assembly.build_collector(short, parts).collect(1, questions, budget)
    except (ValueError, RewardError, FloatingPointError) as error:
        counts = isinstance(config.rollout, LocalRolloutConfig) or not isinstance(error, ValueError)
        return Check("rollout", "failed" if counts else "not checked", str(error))
    asked = ", ".join(f"{len(samples)} {samples[0].role}s" for samples in rollout.rounds)
    own = config.rollout.name
    untried = "" if own == "local" else f"; the run's own engine (rollout={own}) was not tried"
    return Check("rollout", "ok", f"with rollout=local: {asked}, {tokens} tokens each at most{untried}")


def _on_local_engine(config: RunConfig) -> RunConfig:
    """Return settings for one process with the local engine, on a CUDA device if available, unless the CPU is set."""
    rollout = LocalRolloutConfig(name="local", max_batch_rows=16, pipeline=False, fast_decode=True, prefix_caching=True)
    device = "cpu" if config.trainer.device == "cpu" else "auto"
    one = {"strategy": "single", "devices": 1, "nodes": 1, "device": device}
    return config.model_copy(update={"rollout": rollout, "trainer": config.trainer.model_copy(update=one)})


def _on_this_machine(config: RunConfig) -> RunConfig:
    """Replace flash attention, which the local engine does not use, by eager attention, which every family has."""
    model = config.model
    if not isinstance(model, HuggingFaceModelConfig) or model.attention != "flash_attention_2":
        return config
    return config.model_copy(update={"model": model.model_copy(update={"attention": "eager"})})
