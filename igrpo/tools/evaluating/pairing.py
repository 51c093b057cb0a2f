"""Questions that two evaluations have in common: those with the same content, however it is spelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from igrpo.data.identity import content_digest
from igrpo.types import Question


def same_content(first: Mapping[str, Question], second: Mapping[str, Question]) -> bool:
    """True if two sets of questions by id have the same problems and answers, as a benchmark's ``digest`` has it.

    Ids, order, white space, case and spellings of LaTeX make no difference.
    """
    return content_digest(first.values()) == content_digest(second.values())


def common_questions(first: Mapping[str, Question], second: Mapping[str, Question]) -> list[tuple[str, str]]:
    """Return the pairs of ids under which both have a question of the same content, in the order of ``first``.

    A content that occurs several times in one of them is paired by equal ids alone.
    """
    ours, theirs = (
        {name: content_digest([question]) for name, question in questions.items()} for questions in (first, second)
    )
    often = [Counter(contents.values()) for contents in (ours, theirs)]
    by_content = {content: name for name, content in theirs.items()}
    found = []
    for name, content in ours.items():
        if theirs.get(name) == content:
            found.append((name, name))
        elif all(times[content] == 1 for times in often):
            found.append((name, by_content[content]))
    return found
