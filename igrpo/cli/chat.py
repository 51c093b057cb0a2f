"""`igrpo chat`: ask a trained model one or more questions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from igrpo.cli.arguments import Parser, number, whole_number
from igrpo.cli.terminal import printable
from igrpo.config import ConfigError
from igrpo.runs.console import get_console, reader_left, waiting

if TYPE_CHECKING:
    from igrpo.tools.chat import Chat, ChatModel, ChatResult

_PROG = "igrpo chat"
_EXAMPLES = (
    'igrpo chat runs/DATE/TIME_NAME "2 +3 *4"',
    "igrpo chat RUN_DIR --refine --drafts 8 --seed 1",
    "igrpo chat MODEL_DIR --greedy < questions.txt",
)
#: Maximum tokens of an answer if neither a run nor --max-tokens sets it.
_MAX_TOKENS = 1024


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        "chat",
        "Ask a trained model. Without a QUESTION, questions are read from the standard input, one per line. The "
        "prompts of the run and the sampling settings of its evaluations are used.",
        _EXAMPLES,
    )
    add = made.add_argument
    add("model", type=Path, metavar="RUN_DIR|MODEL_DIR", help="a run, or a Hugging Face directory")
    add("question", nargs="?", metavar="QUESTION", help="the question; put -- before one that starts with '-'")
    add("--refine", action="store_true", help="sample drafts, pick one with the most frequent answer, and refine it")
    add("--drafts", type=whole_number(1), metavar="N", help="number of drafts for --refine (default: the run's)")
    sampling = made.add_mutually_exclusive_group()
    sampling.add_argument(
        "--temperature", type=number(positive=False), metavar="T", help="sampling temperature (default: the run's)"
    )
    sampling.add_argument("--greedy", action="store_true", help="take the most likely token; drafts are still sampled")
    add("--max-tokens", type=whole_number(1), metavar="N", help="maximum length of an answer (default: the run's)")
    add("--seed", type=whole_number(0), metavar="N", help="seed of the samples (default: the run's)")
    add("--checkpoint", metavar="best|last|STEP", help="checkpoint of a run (default: last)")
    add("--prompt", metavar="NAME", help="for a MODEL_DIR: conf/prompt/NAME.yaml (default: boxed)")
    return made


def run(asked: argparse.Namespace) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: a model or question that does not fit the arguments.
    """
    if asked.question is not None and not asked.question.strip():
        raise ConfigError(["the question is empty"], _PROG)

    with _waiting("importing torch and transformers"):
        from igrpo.tools.chat import Chat, ChatOptions

    options = ChatOptions(
        refine=asked.refine,
        drafts=asked.drafts,
        temperature=0.0 if asked.greedy else asked.temperature,
        max_tokens=asked.max_tokens,
        seed=asked.seed,
    )
    try:
        with _waiting("loading the model"):
            chat = Chat(_chat_model(asked), options)
        try:
            _answer_all(chat, asked)
        finally:
            chat.close()
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError([printable(str(error))], _PROG) from error
    return 0


def _chat_model(asked: argparse.Namespace) -> ChatModel:
    from igrpo.tools.chat import model_of_directory, model_of_run

    directory: Path = asked.model
    if not (directory / "config.yaml").is_file() and (directory / "config.json").is_file():
        if asked.checkpoint is not None:
            raise ConfigError([f"--checkpoint {asked.checkpoint}: {directory} is a model, not a run"], _PROG)
        return model_of_directory(directory, asked.prompt, _MAX_TOKENS)
    if (directory / "adapter_config.json").is_file():
        raise ConfigError([f"{directory} contains only adapters; export the run again without --adapters"], _PROG)
    if asked.prompt is not None:
        raise ConfigError([f"--prompt {asked.prompt}: a run has its own prompts; leave it out"], _PROG)
    return model_of_run(directory, asked.checkpoint or "last")


def _answer_all(chat: Chat, asked: argparse.Namespace) -> None:
    if asked.question is not None:
        _print_reply(_ask(chat, asked.question))
        return
    try:
        for question in _questions():
            try:
                _print_reply(_ask(chat, question))
            except ValueError as error:  # affects only this question
                print(f"igrpo: {printable(str(error))}", file=sys.stderr)
            if reader_left():
                return
    except KeyboardInterrupt:
        print()


def _questions() -> Iterator[str]:
    """Yield the non-blank lines of the standard input until it ends."""
    at_terminal = sys.stdin.isatty()
    while True:
        try:
            line = input("question> " if at_terminal else "")
        except EOFError:
            if at_terminal:
                print()
            return
        if line.strip():
            yield line.strip()


def _ask(chat: Chat, question: str) -> ChatResult:
    from igrpo.training.event_loop import run_coroutine

    unread = chat.unread(question)
    if unread is not None:
        print(f"igrpo: the model does not see all of the question: {printable(unread)}", file=sys.stderr)
    with _waiting("sampling"):
        return run_coroutine(chat.ask(question))


def _waiting(label: str) -> AbstractContextManager[object]:
    """Show a spinner on the standard error, because the standard output has the answers."""
    return waiting(label, get_console(stderr=True))


def _print_reply(reply: ChatResult) -> None:
    if reply.vote is not None:
        for i, answer in enumerate(reply.draft_answers):
            print(f"draft {i + 1}: {_shown(answer)}")
        ballots = [f"{_shown(reply.draft_answers[samples[0]])} ({len(samples)})" for samples in reply.vote.ballots]
        print(f"votes: {', '.join(ballots) or 'none'}")
        print(f"refined: draft {reply.vote.pick + 1}\n")
    print(printable(reply.completion.text))
    if reply.completion.truncated:
        print(f"[cut off after {len(reply.completion.token_ids)} tokens]")
    print(f"\nanswer: {_shown(reply.answer)}", flush=True)


def _shown(answer: str | None) -> str:
    return "none" if answer is None else printable(answer)
