"""Probe for contamination: can the model complete a problem's text that it is not shown?

A model that has never seen a problem cannot know how its text goes on; one that was trained on it may. As in 'Reasoning
or Memorization' (Wu et al. 2025, arXiv 2507.10532), the first part of the problem is given as plain text, without a
chat template, and completed by greedy decoding. Reported are the share of problems whose rest is reproduced word for
word, the share whose next words are, and the overlap of both texts (ROUGE-L).

Some text can be guessed without having been seen, so a share alone says little. The comparison is with a benchmark that
was published after the model: what the older one has more of is a sign of contamination, if its problems are no more
formulaic. No difference does not show that a model is clean: it may know the answers without the wording.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from igrpo.evaluation.samples import EvaluatedSample
from igrpo.evaluation.validity.intervals import Interval, difference_of_means, difference_of_shares, mean, share
from igrpo.evaluation.validity.overlap import rouge_l
from igrpo.evaluation.validity.shown import head, printable, tail
from igrpo.types import Question

#: Fewer hidden words can be guessed, and are not probed.
FEWEST_WORDS = 4
#: Most completed problems that are shown.
EXAMPLES = 5
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Cut:
    """A problem's text, cut between two words: what the model is shown, and what it is not."""

    shown: str
    hidden: str


@dataclass(frozen=True, slots=True)
class Completed:
    """Result of one problem: whether the hidden text (``exact``) and its first words are reproduced, and ROUGE-L."""

    question: str
    exact: bool
    next_words: bool
    overlap: float
    shown_end: str
    hidden: str
    completion: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Results on a benchmark. ``left_out``: problems whose hidden part has fewer words than ``FEWEST_WORDS``."""

    questions: int
    left_out: int
    exact: Interval
    next_words: Interval
    overlap: Interval
    completed: tuple[Completed, ...]


@dataclass(frozen=True, slots=True)
class OlderMinusNewer:
    """Differences between the problems of the older and of the newer benchmarks."""

    exact: Interval
    next_words: Interval
    overlap: Interval


@dataclass(frozen=True, slots=True)
class Contamination:
    """Result of the probe, by benchmark; the difference is None if there is no problem of one of both kinds.

    ``too_short`` has the names of the benchmarks without any problem of `fewest_words` words.
    """

    shown: float
    words: int
    older: Mapping[str, Probe]
    newer: Mapping[str, Probe]
    difference: OlderMinusNewer | None
    too_short: tuple[str, ...] = ()


def fewest_words(shown: float) -> int:
    """Return the number of words that a problem needs to be cut: one to show, and ``FEWEST_WORDS`` to hide."""
    words = FEWEST_WORDS + 1
    while not _enough(words, round(words * shown)):
        words += 1
    return words


def cut(problem: str, shown: float) -> Cut | None:
    """Cut a problem after the share ``shown`` of its words; None if too few words are left to be completed."""
    words = list(_WORD.finditer(problem))
    kept = round(len(words) * shown)
    if not _enough(len(words), kept):
        return None
    return Cut(problem[words[0].start() : words[kept - 1].end()], problem[words[kept - 1].end() :].strip())


def compared(question: Question, parts: Cut, completion: str, words: int) -> Completed:
    """Compare the hidden text with as many words of a completion; ``words`` is the number of next words."""
    hidden, given = parts.hidden.split(), completion.split()[: len(parts.hidden.split())]
    return Completed(
        question=printable(question.id),
        exact=given == hidden,
        next_words=given[:words] == hidden[:words],
        overlap=rouge_l(parts.hidden, " ".join(given)),
        shown_end=tail(parts.shown),
        hidden=head(parts.hidden),
        completion=head(completion),
    )


def contamination(
    older: Mapping[str, Sequence[Completed]],
    newer: Mapping[str, Sequence[Completed]],
    *,
    left_out: Mapping[str, int],
    shown: float,
    words: int,
) -> Contamination:
    """Summarise the results of all problems, by benchmark. Benchmarks without results are left out."""
    all_older, all_newer = ([one for results in side.values() for one in results] for side in (older, newer))
    return Contamination(
        shown=shown,
        words=words,
        older={name: _probe(results, left_out[name]) for name, results in older.items() if results},
        newer={name: _probe(results, left_out[name]) for name, results in newer.items() if results},
        difference=_difference(all_older, all_newer) if all_older and all_newer else None,
        too_short=tuple(name for side in (older, newer) for name, results in side.items() if not results),
    )


def results_of(
    questions: Sequence[Question], samples: Mapping[str, EvaluatedSample], shown: float, words: int
) -> list[Completed]:
    """Return the results of the questions that can be cut, from the sample of each."""
    return [
        compared(question, parts, samples[question.id].text, words)
        for question in questions
        if (parts := cut(question.problem, shown)) is not None
    ]


def _enough(words: int, kept: int) -> bool:
    return kept >= 1 and words - kept >= FEWEST_WORDS


def _probe(results: Sequence[Completed], left_out: int) -> Probe:
    by_length = sorted((one for one in results if one.exact or one.next_words), key=lambda one: -len(one.hidden))
    return Probe(
        questions=len(results),
        left_out=left_out,
        exact=share([one.exact for one in results]),
        next_words=share([one.next_words for one in results]),
        overlap=mean([one.overlap for one in results]),
        completed=tuple(sorted(by_length, key=lambda one: not one.exact)[:EXAMPLES]),
    )


def _difference(older: Sequence[Completed], newer: Sequence[Completed]) -> OlderMinusNewer:
    return OlderMinusNewer(
        exact=difference_of_shares([one.exact for one in older], [one.exact for one in newer]),
        next_words=difference_of_shares([one.next_words for one in older], [one.next_words for one in newer]),
        overlap=difference_of_means([one.overlap for one in older], [one.overlap for one in newer]),
    )
