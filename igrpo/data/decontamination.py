"""Training questions that stand in a held-out set too, exactly or nearly, are left out of training.

Exact: the same tokens (`igrpo.data.problem_text`), however they are spaced. Near: nearly the same words, that is

- of the questions' sets of n-grams of tokens, what they share is at least ``shorter_share`` of the smaller set and
  ``longer_share`` of the larger; or the training question begins with the whole held-out question, such as one that
  goes on to ask for the answer in another form;
- and the numbers agree: those of one question are all among those of the other, counted with repetition. Problems
  that were made from one template and differ in a number are different problems, and stay.

Everything else that differs little counts as near, even where the answer is another (``sum`` for ``product``, a number
swapped with another): a question too many left out costs little. The code of two drawings must be nearly the same, too;
where only one question has a figure, or the figure is a link, the words must be many enough to say what is asked.

Pairs are found by an inverted index of held-out n-grams that misses none, so nothing is random or approximate.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

from igrpo.config.parts.data import DecontaminationConfig
from igrpo.data.problem_text import (
    Tokens,
    drawing_tokens,
    is_number,
    problem_tokens,
    same_text,
    without_figures,
    wording,
)
from igrpo.types import Question

#: So many tokens say what is asked without the figure. 'What is the value of x in the diagram?' has 9.
_ENOUGH_WITHOUT_FIGURE: Final = 12

#: A held-out question of fewer tokens may begin another by chance, as 'What is the value of x' does.
_ENOUGH_TO_BEGIN: Final = 8


@dataclass(frozen=True, slots=True)
class Match:
    """A training question and the question of one held-out set that it is most like, both by id.

    ``similarity``: the share of the smaller set of n-grams that both have, in (0, 1]; 1 where it is exact.
    """

    train: str
    held_out: str
    kind: Literal["exact", "near"]
    similarity: float


@dataclass(frozen=True, slots=True)
class Decontaminated:
    """The training questions that no held-out set has, in their order, and what was found of the others.

    ``found`` has every held-out set by its name, and of each training question at most one match a set, so a question
    that two sets have is in both. ``checked`` counts the training questions before, ``held_out`` those of each set.
    """

    method: Literal["off", "exact", "near"]
    checked: int
    held_out: Mapping[str, int]
    kept: tuple[Question, ...]
    found: Mapping[str, tuple[Match, ...]]

    def counts(self) -> dict[str, dict[str, int]]:
        """``exact`` and ``near`` duplicates among the training questions, for each held-out set."""
        counted = {name: Counter(match.kind for match in matches) for name, matches in self.found.items()}
        return {name: {"exact": kinds["exact"], "near": kinds["near"]} for name, kinds in counted.items()}

    def summary(self) -> str:
        """One line for a log: how many were left out, and for which sets."""
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
        """For a JSON file: the counts, and the ids of every match."""
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
    """Leave out the training questions that are duplicates of held-out ones. Answers are not looked at.

    Args:
        train: the questions to train on.
        held_out: the questions of each held-out set, by its name.
        config: what counts as a duplicate.
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
    """A problem as it is compared: ``key`` for exact duplicates, ``words`` and ``drawing`` for near ones."""

    __slots__ = ("bare", "drawing", "key", "words")

    def __init__(self, problem: str) -> None:
        bare = without_figures(problem)
        tokens = problem_tokens(problem)
        self.key = same_text(tokens) or problem.strip()
        self.bare = bare == problem
        self.words = wording(tokens if self.bare else problem_tokens(bare))
        self.drawing = () if self.bare else drawing_tokens(problem)


class _Index:
    """Finds the questions of one held-out set that are like a question."""

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
        """Enter each question under so many of its rarest n-grams that a match cannot miss all of them.

        A match has at least this least share of the question's n-grams; so it lacks at most the others, and has one of
        any choice of one more than those.
        """
        least = min(self._config.shorter_share, self._config.longer_share)
        frequency = Counter(gram for grams in self._grams for gram in grams)
        for number, grams in enumerate(self._grams):
            entered = min(len(grams), math.floor(len(grams) * (1 - least) + 1e-9) + 1)
            for gram in sorted(grams, key=lambda gram: (frequency[gram], gram))[:entered]:
                self._by_gram[gram].append(number)

    def best(self, train_id: str, text: _Text) -> Match | None:
        """The exact duplicate, else the near one of the greatest similarity, the first of equals; None: neither."""
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
        """The share of the smaller set that both have; None where the two are not nearly the same (other: held out)."""
        small, large = sorted((len(grams), len(other_grams)))
        if small == 0:
            return None
        goes_on = len(other) >= _ENOUGH_TO_BEGIN and tokens[: len(other)] == other
        if not goes_on and small < self._config.longer_share * large:  # not even if it had them all
            return None
        shared = len(grams & other_grams)
        similar = shared / small >= self._config.shorter_share and shared / large >= self._config.longer_share
        return shared / small if (similar or goes_on) and _numbers_agree(tokens, other) else None


def _grams(tokens: Tokens, size: int) -> frozenset[Tokens]:
    """The set of n-grams; of fewer tokens than n, all of them as one."""
    if len(tokens) <= size:
        return frozenset([tokens] if tokens else ())
    return frozenset(zip(*(tokens[start:] for start in range(size)), strict=False))


def _numbers_agree(tokens: Tokens, other: Tokens) -> bool:
    """Whether the numbers of one are all among those of the other, counted with repetition."""
    first, second = Counter(filter(is_number, tokens)), Counter(filter(is_number, other))
    return first <= second or second <= first
