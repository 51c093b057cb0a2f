r"""Identity of a benchmark: the number of its questions and a hash of their problems and answers.

The hash is the same for copies of a data set that differ in the order of their rows, in ids, in white space, case and
punctuation, or in spellings of LaTeX (`igrpo.data.problem_text`): two mirrors seldom agree in those. Numbers in answers
are compared by value (``073`` and ``73.0`` are 73), and ``^\circ`` behind an answer makes no difference.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final

from igrpo.data.problem_text import problem_tokens, same_text
from igrpo.settings.benchmark import BenchmarkConfig
from igrpo.types import Question

_LEADING_ZEROS: Final = re.compile(r"0+(?=\d+$)")
_DEGREES: Final = ("^", "circ")


def content_digest(questions: Iterable[Question]) -> str:
    """Return the SHA-256 hash, in 64 hexadecimal digits, of the normalised problems and answers, in any order."""
    rows = sorted(f"{same_text(problem_tokens(one.problem))}\n{_answer(one.answer)}\n" for one in questions)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def check_identity(section: str, expected: BenchmarkConfig, questions: Sequence[Question]) -> None:
    """Check that a benchmark has the expected number of questions and the expected content.

    Args:
        section: section of the configuration that describes the benchmark, for the message.

    Raises:
        ValueError: it has not; the message says what was expected and found, and how to accept what was found.
    """
    if expected.rows is None and expected.digest is None:
        return
    rows, digest = len(questions), content_digest(questions)
    if expected.rows in (None, rows) and expected.digest in (None, digest):
        return
    given = {"rows": expected.rows, "digest": expected.digest}
    wanted = " and ".join(f"{section}.{name}={value}" for name, value in given.items() if value is not None)
    raise ValueError(
        f"{section}.dataset={expected.dataset} is not the data set that was expected by {wanted}: it has {rows} "
        f"questions with the digest {digest}. Give the expected data, or accept these with {section}.rows={rows} "
        f"{section}.digest={digest}"
    )


def _answer(answer: str) -> str:
    tokens = problem_tokens(answer)
    if tokens[-2:] == _DEGREES:
        tokens = tokens[:-2]
    # signs alone, such as [], have no tokens: they are taken as they are written
    return same_text(tuple(_LEADING_ZEROS.sub("", token) for token in tokens)) or "".join(answer.split())
