"""`igrpo chat`: ask a trained model one or more questions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from igrpo.cli.arguments import Parser
from igrpo.cli.terminal import printable
from igrpo.config import ConfigError
from igrpo.runs.console import reader_left

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


def run(arguments: Sequence[str]) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: invalid arguments, or a model or question that does not fit them.
    """
    asked = _parser().read(arguments)
    if asked is None:
        return 0
    if asked.question is not None and not asked.question.strip():
        raise ConfigError(["the question is empty"], _PROG)

    from igrpo.tools.chat import Chat, ChatOptions

    options = ChatOptions(
        refine=asked.refine,
        drafts=asked.drafts,
        temperature=0.0 if asked.greedy else asked.temperature,
        max_tokens=asked.max_tokens,
        seed=asked.seed,
    )
    try:
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


def _parser() -> Parser:
    parser = Parser(
        _PROG,
        "Ask a trained model. Without a QUESTION it reads them from the standard input, one a line. A run's prompts "
        "and the sampling settings of its evaluations are used.",
        _EXAMPLES,
    )
    add = parser.add_argument
    add("model", type=Path, metavar="RUN_DIR|MODEL_DIR", help="a run, or a Hugging Face directory")
    add("question", nargs="?", metavar="QUESTION", help="what to ask; one that starts with '-' comes after --")
    add("--refine", action="store_true", help="sample drafts, pick one of the most frequent answer, and refine it")
    add("--drafts", type=_number("--drafts", 1), metavar="N", help="for --refine (default: as many as the run had)")
    heat = parser.add_mutually_exclusive_group()
    heat.add_argument("--temperature", type=_temperature, metavar="T", help="of the sampling (default: the run's)")
    heat.add_argument("--greedy", action="store_true", help="the most likely token each time; drafts are sampled still")
    add("--max-tokens", type=_number("--max-tokens", 1), metavar="N", help="of an answer (default: the run's)")
    add("--seed", type=_number("--seed", 0), metavar="N", help="another one, other samples (default: the run's)")
    add("--checkpoint", metavar="best|last|STEP", help="of a run: which weights (default: last)")
    add("--prompt", metavar="NAME", help="of a model that no run tells about: conf/prompt/NAME.yaml (default: boxed)")
    return parser


def _number(name: str, least: int) -> type:
    """Return a converter for argparse's `type`: an integer of at least ``least``."""

    def read(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    read.__name__ = "whole number"
    return read  # type: ignore[return-value]


def _temperature(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no temperature: give 0 (greedy) or above")
    return value


_temperature.__name__ = "number"


def _chat_model(asked: argparse.Namespace) -> ChatModel:
    from igrpo.tools.chat import model_of_directory, model_of_run

    directory: Path = asked.model
    if not (directory / "config.yaml").is_file() and (directory / "config.json").is_file():
        if asked.checkpoint is not None:
            raise ConfigError([f"--checkpoint {asked.checkpoint}: {directory} is a model, not a run"], _PROG)
        return model_of_directory(directory, asked.prompt, _MAX_TOKENS)
    if (directory / "adapter_config.json").is_file():
        raise ConfigError([f"{directory} holds adapters alone; export the run again without --adapters"], _PROG)
    if asked.prompt is not None:
        raise ConfigError([f"--prompt {asked.prompt}: a run has prompts of its own; leave it out"], _PROG)
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
    return run_coroutine(chat.ask(question))


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
