"""Removal of training questions that are exact or near duplicates of held-out questions.

Exact duplicates have the same tokens (`igrpo.data.problem_text`), regardless of spacing. Near duplicates have nearly
the same words, which means both of the following:

- The n-grams of tokens that both questions have are at least ``shorter_share`` of the smaller set of n-grams and
  ``longer_share`` of the larger. Alternatively, the training question begins with the whole held-out question (for
  example, it then asks for the answer in another form).
- The numbers agree: all numbers of one question occur in the other, counted with repetition. Problems that come from
  one template and differ in a number are different problems, and are kept.

All other small differences count as near, even if the answer differs (``sum`` for ``product``, two numbers swapped),
since removing a question too many costs little. If both questions contain code of drawings, that code must be nearly
the same, too. If only one has a figure, or a figure is a link, the words alone must be enough to state the problem.

Pairs are found by an inverted index of held-out n-grams that misses none, so the result is exact and not random.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

from igrpo.data.problem_text import (
    Tokens,
    drawing_tokens,
    is_number,
    problem_tokens,
    same_text,
    without_figures,
    wording,
)
from igrpo.settings.data import DecontaminationConfig
from igrpo.types import Question

#: Tokens that are enough to state a problem without its figure. 'What is the value of x in the diagram?' has 9.
_ENOUGH_WITHOUT_FIGURE: Final = 12

#: A held-out question with fewer tokens may be the beginning of another by chance, as 'What is the value of x' is.
_ENOUGH_TO_BEGIN: Final = 8


@dataclass(frozen=True, slots=True)
class Match:
    """Ids of a training question and of the most similar question in one held-out set.

    ``similarity``: shared n-grams as a share of the smaller set of n-grams, in (0, 1]; 1 for exact duplicates.
    """

    train: str
    held_out: str
    kind: Literal["exact", "near"]
    similarity: float


@dataclass(frozen=True, slots=True)
class Decontaminated:
    """Result of decontamination: the training questions that are kept, in order, and the duplicates.

    ``found`` maps the name of each held-out set to its matches. A training question has at most one match per set, and
    can have matches in several sets. ``checked`` is the number of training questions before decontamination,
    ``held_out`` the number of questions of each held-out set.
    """

    method: Literal["off", "exact", "near"]
    checked: int
    held_out: Mapping[str, int]
    kept: tuple[Question, ...]
    found: Mapping[str, tuple[Match, ...]]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the numbers of ``exact`` and ``near`` duplicates among the training questions, by held-out set."""
        counted = {name: Counter(match.kind for match in matches) for name, matches in self.found.items()}
        return {name: {"exact": kinds["exact"], "near": kinds["near"]} for name, kinds in counted.items()}

    def summary(self) -> str:
        """Return one line for a log: the number of questions left out, by held-out set."""
        if self.method == "off":
            return f"decontamination is off: {self.checked} training questions were not compared with held-out ones"
        each = [
            f"{name} ({self.held_out[name]} questions): {kinds['exact']} exact, {kinds['near']} near"
            for name, kinds in self.counts().items()
            if any(kinds.values())
        ]
        free = ", ".join(name for name, matches in self.found.items() if not matches)
        return (
            f"{self.checked - len(self.kept)} of {self.checked} training questions are duplicates of held-out ones "
            f"(method {self.method}) and are left out"
            + (f"; {'; '.join(each)}" if each else "")
            + (f"; none of {free}" if free else "")
        )

    def as_dict(self) -> dict[str, object]:
        """Return the counts and the ids of every match, for a JSON file."""
        counts = self.counts()
        return {
            "method": self.method,
            "checked": self.checked,
            "left_out": self.checked - len(self.kept),
            "held_out": {
                name: {"questions": size, **counts[name], "matches": [asdict(match) for match in self.found[name]]}
                for name, size in self.held_out.items()
            },
        }


def decontaminate(
    train: Sequence[Question], held_out: Mapping[str, Sequence[Question]], config: DecontaminationConfig
) -> Decontaminated:
    """Leave out training questions that are duplicates of held-out ones. Answers are not compared.

    Args:
        train: the questions to train on.
        held_out: the questions of each held-out set, by name.
        config: settings that define a duplicate.
    """
    found: dict[str, tuple[Match, ...]] = dict.fromkeys(held_out, ())
    if config.method != "off":
        texts = [_Text(question.problem) for question in train]
        for name, questions in held_out.items():
            index = _Index(questions, config)
            matches = (index.best(question.id, text) for question, text in zip(train, texts, strict=True))
            found[name] = tuple(match for match in matches if match is not None)
    gone = {match.train for matches in found.values() for match in matches}
    kept = tuple(question for question in train if question.id not in gone)
    return Decontaminated(config.method, len(train), {name: len(held_out[name]) for name in held_out}, kept, found)


class _Text:
    """Problem text prepared for comparison: ``key`` for exact duplicates, ``words`` and ``drawing`` for near ones."""

    __slots__ = ("bare", "drawing", "key", "words")

    def __init__(self, problem: str) -> None:
        bare = without_figures(problem)
        tokens = problem_tokens(problem)
        self.key = same_text(tokens) or problem.strip()
        self.bare = bare == problem
        self.words = wording(tokens if self.bare else problem_tokens(bare))
        self.drawing = () if self.bare else drawing_tokens(problem)


class _Index:
    """Index that finds the questions of one held-out set that duplicate a given question."""

    def __init__(self, questions: Sequence[Question], config: DecontaminationConfig) -> None:
        self._config = config
        self._ids = [question.id for question in questions]
        self._texts = [_Text(question.problem) for question in questions]
        self._by_key = {text.key: number for number, text in reversed(list(enumerate(self._texts)))}
        self._grams: list[frozenset[Tokens]] = []
        self._by_gram: dict[Tokens, list[int]] = defaultdict(list)
        if config.method == "near":
            self._grams = [_grams(text.words, config.ngram) for text in self._texts]
            self._index_rare_grams()

    def _index_rare_grams(self) -> None:
        """Index each question by its rarest n-grams, as many as are needed to find every match.

        A match shares at least a share ``least`` of the question's n-grams, so it lacks at most a share 1 - ``least``
        of them. Of any selection with one n-gram more than that, it has at least one.
        """
        least = min(self._config.shorter_share, self._config.longer_share)
        frequency = Counter(gram for grams in self._grams for gram in grams)
        for number, grams in enumerate(self._grams):
            entered = min(len(grams), math.floor(len(grams) * (1 - least) + 1e-9) + 1)
            for gram in sorted(grams, key=lambda gram: (frequency[gram], gram))[:entered]:
                self._by_gram[gram].append(number)

    def best(self, train_id: str, text: _Text) -> Match | None:
        """Return the exact duplicate, else the most similar near duplicate (the first among equals), else None."""
        if text.key in self._by_key:
            return Match(train_id, self._ids[self._by_key[text.key]], "exact", 1.0)
        if self._config.method != "near":
            return None
        grams = _grams(text.words, self._config.ngram)
        near = {}
        for number in sorted({number for gram in grams for number in self._by_gram.get(gram, ())}):
            shared = self._shared(grams, self._grams[number], text.words, self._texts[number].words)
            if shared is not None and self._same_figures(text, self._texts[number]):
                near[number] = shared
        if not near:
            return None
        number = max(near, key=lambda number: near[number])
        return Match(train_id, self._ids[number], "near", near[number])

    def _same_figures(self, text: _Text, other: _Text) -> bool:
        if text.drawing and other.drawing:
            grams, other_grams = _grams(text.drawing, self._config.ngram), _grams(other.drawing, self._config.ngram)
            return self._shared(grams, other_grams, text.drawing, other.drawing) is not None
        return (text.bare and other.bare) or min(len(text.words), len(other.words)) >= _ENOUGH_WITHOUT_FIGURE

    def _shared(
        self, grams: frozenset[Tokens], other_grams: frozenset[Tokens], tokens: Tokens, other: Tokens
    ) -> float | None:
        """Return shared n-grams as a share of the smaller set; None if not near duplicates (``other``: held out)."""
        small, large = sorted((len(grams), len(other_grams)))
        if small == 0:
            return None
        goes_on = len(other) >= _ENOUGH_TO_BEGIN and tokens[: len(other)] == other
        if not goes_on and small < self._config.longer_share * large:  # too few even if all were shared
            return None
        shared = len(grams & other_grams)
        similar = shared / small >= self._config.shorter_share and shared / large >= self._config.longer_share
        return shared / small if (similar or goes_on) and _numbers_agree(tokens, other) else None


def _grams(tokens: Tokens, size: int) -> frozenset[Tokens]:
    """Return the set of n-grams. Fewer than n tokens form a single n-gram."""
    if len(tokens) <= size:
        return frozenset([tokens] if tokens else ())
    return frozenset(zip(*(tokens[start:] for start in range(size)), strict=False))


def _numbers_agree(tokens: Tokens, other: Tokens) -> bool:
    """True if all numbers of one occur in the other, counted with repetition."""
    first, second = Counter(filter(is_number, tokens)), Counter(filter(is_number, other))
    return first <= second or second <= first
