"""Values of every metric of a summary by question, of the samples and of resamplings of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from igrpo.evaluation.answer_groups import AnswerGroups, group_answers
from igrpo.evaluation.bootstrap import Array, Resamples
from igrpo.evaluation.majority import agreement, consistency, majority_curve
from igrpo.evaluation.right_counts import g_pass_table, mg_pass_table, pass_table, worst_table
from igrpo.evaluation.samples import EvaluatedSample

#: Shares of K samples for G-Pass@K; 1 is worst_at_K.
TAUS = (0.25, 0.5, 0.75)

#: Number of times that the samples of each question are resampled.
RESAMPLINGS = 16


@dataclass(frozen=True, slots=True)
class Columns:
    """M metrics of Q questions: their names, the values by question, and J resamplings of them.

    ``blocks`` is the number of independent estimates that the samples of a question are worth (see `share_interval`);
    0 for a length.
    """

    names: tuple[str, ...]
    blocks: tuple[int, ...]
    measured: Resamples
    resampled: Resamples

    def is_share(self, i: int) -> bool:
        """True if metric ``i`` is a mean over questions of values in [0, 1]."""
        return self.blocks[i] > 0

    @property
    def values(self) -> Array:
        """Values of the metrics, shape (M,); NaN without data."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.measured.tops_QJM[:, 0].sum(axis=0) / self.measured.bottoms_QJM[:, 0].sum(axis=0))

    def with_data(self) -> Columns:
        """Return the metrics that have data."""
        kept = np.flatnonzero(np.isfinite(self.values)).tolist()
        names, blocks = tuple(self.names[i] for i in kept), tuple(self.blocks[i] for i in kept)
        return Columns(names, blocks, self.measured.only(kept), self.resampled.only(kept))

    def joined(self, other: Columns) -> Columns:
        """Return these metrics with others behind them."""
        return Columns(
            self.names + other.names,
            self.blocks + other.blocks,
            self.measured.joined(other.measured),
            self.resampled.joined(other.resampled),
        )


def columns_of(
    samples: Sequence[EvaluatedSample], same: Callable[[str, str], bool], rng: np.random.Generator
) -> Columns:
    """Return the metrics of the samples of one kind (see `summary.summarise_samples`)."""
    rows_QK = by_question(samples)
    parts = [_lengths(rows_QK, rng)]
    if any(sample.score.answer is not None for row in rows_QK for sample in row):
        answers = [[sample.score.answer for sample in row] for row in rows_QK]
        groups_Q = group_answers(answers, [[sample.correct for sample in row] for row in rows_QK], same)
        parts.insert(0, _answers(groups_Q, rng))
    if any(sample.scored for row in rows_QK for sample in row):
        parts.insert(0, _verdicts(rows_QK, rng))
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.joined(part)
    return joined.with_data()


def by_question(samples: Sequence[EvaluatedSample]) -> list[list[EvaluatedSample]]:
    """Return the samples by question, in the order of the questions' first samples, and of the indices.

    Raises:
        ValueError: no samples, several kinds, or questions with different numbers of samples.
    """
    kinds = sorted({sample.kind for sample in samples})
    if len(kinds) != 1:
        raise ValueError(f"need samples of one kind; got {', '.join(kinds) or 'none'}")
    rows: dict[str, list[EvaluatedSample]] = {}
    for sample in samples:
        rows.setdefault(sample.question, []).append(sample)
    counts = sorted({len(row) for row in rows.values()})
    if len(counts) > 1:
        raise ValueError(f"need questions with the same number of '{kinds[0]}' samples; got counts {counts}")
    return [sorted(row, key=lambda sample: sample.index) for row in rows.values()]


def sizes_up_to(n: int) -> list[int]:
    """Return the powers of two below n, and n."""
    return [2**i for i in range(n.bit_length()) if 2**i < n] + [n]


def _verdicts(rows_QK: Sequence[Sequence[EvaluatedSample]], rng: np.random.Generator) -> Columns:
    n = len(rows_QK[0])
    tables = list(_tables(n))
    right_Q = np.array([sum(sample.correct for sample in row) for row in rows_QK])
    names, blocks, by_count = zip(*tables, strict=True)
    return count_columns(names, blocks, by_count, right_Q, rng)


def _tables(n: int) -> Iterator[tuple[str, int, Array]]:
    """Yield the name, blocks and table of each metric that depends on the number of right samples."""
    yield "accuracy", n, pass_table(n, 1)
    several = [k for k in sizes_up_to(n) if k > 1]
    for k in several:
        yield f"pass_at_{k}", n // k, pass_table(n, k)
    for k in several:
        yield f"worst_at_{k}", n // k, worst_table(n, k)
    for k in several:
        yield from ((f"g_pass_at_{k}/tau_{tau}", n // k, g_pass_table(n, k, tau)) for tau in TAUS)
    for k in several:
        yield f"mg_pass_at_{k}", n // k, mg_pass_table(n, k)


def count_columns(
    names: Sequence[str], blocks: Sequence[int], tables: Sequence[Array], count_Q: Array, rng: np.random.Generator
) -> Columns:
    """Return metrics that are tables over the number of right samples (see `right_counts`), of n samples per question.

    Args:
        names: names of the metrics.
        blocks: as in `Columns`.
        tables: shape (n + 1,) each.
        count_Q: number of right samples per question.
        rng: draws the resamplings.
    """
    n = len(tables[0]) - 1
    table = np.stack(tables, axis=1)  # (n + 1, M)
    # n draws with replacement from n samples with c right ones have Binomial(n, c / n) right ones.
    drawn_QJ = rng.binomial(n, count_Q[:, None] / n, size=(len(count_Q), RESAMPLINGS))
    return Columns(
        tuple(names),
        tuple(blocks),
        Resamples.means(table[count_Q][:, None]),
        Resamples.means(table[drawn_QJ]),
    )


def _answers(groups_Q: Sequence[AnswerGroups], rng: np.random.Generator) -> Columns:
    n = groups_Q[0].samples
    ks = [k for k in sizes_up_to(n) if k > 1]
    values = lru_cache(maxsize=100_000)(_answer_values)  # few questions differ in their counts at small n
    drawn = [[values(groups.resampled(rng)) for _ in range(RESAMPLINGS)] for groups in groups_Q]
    both = {"consistency": n, "agreement": n // 2} if n > 1 else {}
    return Columns(
        (*(f"majority_at_{k}" for k in ks), *both),
        (*(n // k for k in ks), *both.values()),
        Resamples.means(np.array([[values(groups)] for groups in groups_Q])),
        Resamples.means(np.array(drawn)),
    )


def _answer_values(groups: AnswerGroups) -> tuple[float, ...]:
    n = groups.samples
    if n < 2:
        return ()
    curve = majority_curve(groups)
    return (*(float(curve[k - 1]) for k in sizes_up_to(n) if k > 1), consistency(groups), agreement(groups))


def _lengths(rows_QK: Sequence[Sequence[EvaluatedSample]], rng: np.random.Generator) -> Columns:
    """Return the share of truncated samples, and the mean lengths of all, right and other samples."""
    n = len(rows_QK[0])
    truncated_Q = np.array([sum(sample.truncated for sample in row) for row in rows_QK])
    truncated = count_columns(["truncated_share"], [n], [pass_table(n, 1)], truncated_Q, rng)
    tokens_QK = np.array([[float(len(sample.token_ids)) for sample in row] for row in rows_QK])
    right_QK = np.array([[sample.correct for sample in row] for row in rows_QK], dtype=float)
    among_QKM = np.stack([np.ones_like(right_QK), right_QK, 1 - right_QK], axis=2)
    chosen_QJK = rng.integers(n, size=(len(rows_QK), RESAMPLINGS, n))
    questions = np.arange(len(rows_QK))[:, None, None]
    names = ("length_mean", "length_right", "length_wrong")
    lengths = Columns(
        names,
        (0,) * len(names),
        Resamples((tokens_QK[..., None] * among_QKM).sum(axis=1)[:, None], among_QKM.sum(axis=1)[:, None]),
        Resamples(
            (tokens_QK[..., None] * among_QKM)[questions, chosen_QJK].sum(axis=2),
            among_QKM[questions, chosen_QJK].sum(axis=2),
        ),
    )
    return truncated.joined(lengths)
