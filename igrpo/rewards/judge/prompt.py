"""What the judge reads. A solution is data: whatever it says, it cannot end its own delimiters.

Problem, reference answer and solution stand between two lines that carry a key which occurs in none of them. A text can
therefore neither close its own delimiters nor open others. What a server would take for a control token of its chat
template (``<|im_start|>``, ``</s>``, ``[INST]``) gets a space after its bracket, since text that comes in a message can
become such a token there.

The key depends on the question alone as long as no solution holds it: the solutions of a group then share a prefix,
which servers compute once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from igrpo.types import Question

#: One message of a chat: role and content.
Message = dict[str, str]

#: Ends a request whose reply could not be read. Nothing of that reply is in it: it may say what a solution made it say.
AGAIN = (
    "A reply to this request could not be read. Reply with the JSON object alone, and keep it short: no word before "
    "it, none after it, and no code fence."
)

_KEY_DIGITS = 16
#: An opening bracket that a control token or a delimiter may begin with; "a < b" and "[0, 1]" are none.
_OPENING = re.compile(r"<(?=[|｜/<!A-Za-z_])|\[(?=/?[A-Z_]{2,})")
_MARK = re.compile(r"\{(problem|reference|answer|solution)\}")


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """The judge's messages for one solution.

    ``user`` holds ``{problem}`` and ``{solution}``, and ``{reference}`` where the text ``reference`` goes, which holds
    ``{answer}``; without an answer, or with ``use_reference`` False, nothing stands there. A solution of more than
    ``max_solution_chars`` loses its middle.

    Raises:
        ValueError: a layout lacks a mark, or has it twice.
    """

    system: str
    user: str
    reference: str
    use_reference: bool
    max_solution_chars: int

    def __post_init__(self) -> None:
        marks = {"user": ["problem", "reference", "solution"], "reference": ["answer"]}
        for key, names in marks.items():
            found = _MARK.findall(getattr(self, key))
            if sorted(found) != sorted(names):
                wanted = ", ".join(f"{{{name}}}" for name in names)
                raise ValueError(f"reward.prompt.{key} must hold {wanted}, each once; it holds {found}")

    def messages(self, question: Question, solution: str) -> list[Message]:
        """The system's and the user's turn."""
        problem, answer, text = map(harmless, (question.problem, question.answer, self._shortened(solution)))
        key = _key((problem, answer), text)
        reference = ""
        if self.use_reference and answer.strip():
            reference = _filled(self.reference, {"answer": fenced("reference answer", answer, key)})
        parts = {
            "problem": fenced("problem", problem, key),
            "reference": reference,
            "solution": fenced("solution", text, key),
        }
        return [{"role": "system", "content": self.system}, {"role": "user", "content": _filled(self.user, parts)}]

    def is_cut(self, solution: str) -> bool:
        """Whether the judge sees less than the whole solution."""
        return len(solution) > self.max_solution_chars

    def _shortened(self, solution: str) -> str:
        if not self.is_cut(solution):
            return solution
        head = self.max_solution_chars // 2
        tail = self.max_solution_chars - head
        left_out = len(solution) - self.max_solution_chars
        return f"{solution[:head]}\n[{left_out} characters left out]\n{solution[-tail:]}"


def asked_again(messages: Sequence[Message]) -> list[Message]:
    """The messages once more, after a reply that could not be read: a judge without a temperature repeats itself."""
    *before, last = messages
    return [*before, last | {"content": f"{last['content']}\n\n{AGAIN}"}]


def harmless(text: str) -> str:
    """The text without anything that a server could take for layout: see the module's docstring."""
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    return _OPENING.sub(lambda found: f"{found[0]} ", encodable)


def fenced(what: str, text: str, key: str) -> str:
    """The text between its delimiters."""
    return f"<<<{what} {key}>>>\n{text}\n<<<end of {what} {key}>>>"


def _key(question: Sequence[str], solution: str) -> str:
    """Digits that occur in none of the texts."""
    for number in count():
        digest = hashlib.sha256("\x1f".join((str(number), *question)).encode()).hexdigest()[:_KEY_DIGITS]
        if not any(digest in text for text in (*question, solution)):
            return digest
    raise AssertionError("itertools.count ends never")


def _filled(template: str, parts: dict[str, str]) -> str:
    """In one pass: a mark that a part happens to hold is text."""
    return _MARK.sub(lambda found: parts[found[1]], template)
