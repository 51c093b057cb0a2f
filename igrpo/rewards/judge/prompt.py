"""Prompt of the judge. A solution is treated as data: it cannot close its delimiters, whatever it contains.

Problem, reference answer and solution are each enclosed in two delimiter lines with a key that occurs in none of the
texts. A text can therefore neither close its own delimiters nor open others. Text that a server could read as a control
token of its chat template (``<|im_start|>``, ``</s>``, ``[INST]``) gets a space after its bracket.

The key depends only on the question, unless a solution contains the key. The prompts of a group then share a prefix,
which servers compute once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import count

from igrpo.settings.judge import GenerativeJudgeConfig
from igrpo.types import Question

#: Chat message: role and content.
Message = dict[str, str]

#: Appended to a request whose reply could not be read. It does not quote the reply, whose text a solution may have
#: dictated.
AGAIN = (
    "A reply to this request could not be read. Reply with the JSON object alone, and keep it short: no word before "
    "it, none after it, and no code fence."
)

_KEY_DIGITS = 16
#: Opening bracket of a possible control token or delimiter; "a < b" and "[0, 1]" do not match.
_OPENING = re.compile(r"<(?=[|｜/<!A-Za-z_])|\[(?=/?[A-Z_]{2,})")
_MARK = re.compile(r"\{(problem|reference|answer|solution)\}")


class JudgePrompt:
    """Builder of the judge's messages.

    The template ``user`` of ``config.prompt`` contains ``{problem}``, ``{reference}`` and ``{solution}``, each once.
    ``{reference}`` is replaced by the template ``reference``, which contains ``{answer}``; it is left empty without an
    answer, or if ``use_reference`` is False. The middle of a solution longer than ``max_solution_chars`` is left out.
    """

    def __init__(self, config: GenerativeJudgeConfig) -> None:
        self._templates, self._use_reference = config.prompt, config.use_reference
        self._max_solution_chars = config.max_solution_chars

    def messages(self, question: Question, solution: str) -> list[Message]:
        """Return the system message and the user message for one solution."""
        problem, answer, text = map(harmless, (question.problem, question.answer, self._shortened(solution)))
        key = _key((problem, answer), text)
        reference = ""
        if self._use_reference and answer.strip():
            reference = _filled(self._templates.reference, {"answer": fenced("reference answer", answer, key)})
        parts = {
            "problem": fenced("problem", problem, key),
            "reference": reference,
            "solution": fenced("solution", text, key),
        }
        user = _filled(self._templates.user, parts)
        return [{"role": "system", "content": self._templates.system}, {"role": "user", "content": user}]

    def is_cut(self, solution: str) -> bool:
        """True if the solution is longer than ``max_solution_chars``."""
        return len(solution) > self._max_solution_chars

    def _shortened(self, solution: str) -> str:
        if not self.is_cut(solution):
            return solution
        head = self._max_solution_chars // 2
        tail = self._max_solution_chars - head
        left_out = len(solution) - self._max_solution_chars
        return f"{solution[:head]}\n[{left_out} characters left out]\n{solution[-tail:]}"


def asked_again(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with ``AGAIN`` appended.

    The request must differ from the first one: a judge at temperature 0 would repeat its unreadable reply.
    """
    *before, last = messages
    return [*before, last | {"content": f"{last['content']}\n\n{AGAIN}"}]


def harmless(text: str) -> str:
    """Break up everything in the text that a server could read as a control token (see the module's docstring)."""
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    return _OPENING.sub(lambda found: f"{found[0]} ", encodable)


def fenced(what: str, text: str, key: str) -> str:
    """Enclose the text in delimiters."""
    return f"<<<{what} {key}>>>\n{text}\n<<<end of {what} {key}>>>"


def _key(question: Sequence[str], solution: str) -> str:
    """Return hexadecimal digits that occur in none of the texts."""
    for number in count():
        digest = hashlib.sha256("\x1f".join((str(number), *question)).encode()).hexdigest()[:_KEY_DIGITS]
        if not any(digest in text for text in (*question, solution)):
            return digest
    raise AssertionError("itertools.count ends never")


def _filled(template: str, parts: dict[str, str]) -> str:
    """Fill all placeholders in one pass, so that a placeholder inside a part stays text."""
    return _MARK.sub(lambda found: parts[found[1]], template)
