"""Formatting of names and numbers in a report, shared by the page, the tables and the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from igrpo.types import ANSWER_ROLES

_MINUS = "\N{MINUS SIGN}"
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

#: Words for a metric, by its name without the split.
_METRICS: dict[str, str] = {
    "single_shot/accuracy": "single-shot accuracy",
    "single_shot/pass_at_k": "single-shot pass@k",
    "single_shot/majority_at_k": "single-shot majority@k",
    "single_shot/length_mean": "length of single-shot answers",
    "single_shot/truncated_share": "truncated single-shot answers",
    "greedy/accuracy": "greedy accuracy",
    "draft_conditioned/accuracy": "draft-conditioned accuracy",
    "draft_conditioned_oracle/accuracy": "draft-conditioned accuracy, best of N drafts",
    "train/entropy": "entropy of trained samples",
    "train/reward": "reward of trained samples",
    **{
        f"{role}/{name}": f"{words} of {role}s"
        for name, words in (("entropy", "entropy"), ("length_mean", "length"), ("reward_mean", "reward"))
        for role in ANSWER_ROLES
    },
    **{f"{role}/accuracy": f"accuracy of {role}s in training" for role in ANSWER_ROLES},
    "groups/zero_variance_share": "groups without variance",
    "transfer/right_given_wrong": "right, given a wrong draft",
    "copy/answer_rate": "draft's answer repeated",
}
_SPLITS = ("development", "test", "eval")
_SHARE_ENDS = ("accuracy", "pass_at_k", "majority_at_k", "_share", "_rate", "_given_right", "_given_wrong")
_UNITS = {"entropy": "nats per token", "length": "tokens"}


@dataclass(frozen=True, slots=True)
class Quantity:
    """Description of a metric. ``share``: True if shown in %; ``unit`` is empty for a metric without a unit."""

    words: str
    split: str | None
    unit: str
    share: bool

    @property
    def full(self) -> str:
        """Words and the split on which the metric was measured."""
        return self.words if self.split is None else f"{self.words}, {self.split}"

    @property
    def axis_label(self) -> str:
        """Axis label: words and unit."""
        return f"{self.words}, {self.unit}" if self.unit else self.words

    def value(self, number: float) -> str:
        """Format a value for the tables: shares in % with one decimal, other values with three decimals."""
        return percent(number) if self.share else _signless_zero(f"{number:,.3f}").replace("-", _MINUS)

    def change(self, number: float) -> str:
        """Format a difference with its sign: shares in percentage points with one decimal, others with three."""
        return signed(100 * number, 1) if self.share else signed(number, 3)

    @property
    def change_unit(self) -> str:
        """Unit of ``change`` in words."""
        return "percentage points" if self.share else self.unit


def quantity(metric: str) -> Quantity:
    """Describe a metric by its name; the words of an unknown metric are its name."""
    split, _, rest = metric.partition("/")
    name = rest if split in _SPLITS and rest else metric
    share = name.endswith(_SHARE_ENDS)
    unit = "%" if share else next((u for end, u in _UNITS.items() if end in name), "")
    words = _METRICS.get(name, name.replace("_", " "))
    return Quantity(words, split if name != metric else None, unit, share)


def signed(number: float, decimals: int) -> str:
    """Format a number with + or a typographic minus sign; a number that rounds to zero has no sign."""
    text = f"{number:+,.{decimals}f}"
    return _signless_zero(text).replace("-", _MINUS)


def _signless_zero(text: str) -> str:
    return text if text.strip("+-0.,") else text.lstrip("+-")


def percent(share: float) -> str:
    """Format a share in percent with one decimal, without the % sign."""
    return _signless_zero(f"{100 * share:.1f}").replace("-", _MINUS)


def bracket(low: str, high: str) -> str:
    """Format an interval."""
    return f"[{low}, {high}]"


def probability(p: float) -> str:
    """Format a probability with three decimals; "< 0.001" or "> 0.999" if it would round to 0 or 1."""
    if 0 < p < 0.0005:
        return "< 0.001"
    if 0.9995 <= p < 1:
        return "> 0.999"
    return f"{p:.3f}"


def integer(number: float) -> str:
    """Format a number as an integer with thousands separators (a mean over seeds is rounded)."""
    return f"{number:,.0f}"


def scientific(number: float) -> str:
    """Format a number with three significant digits and a power of ten."""
    if number == 0:
        return "0"
    mantissa, exponent = f"{number:.2e}".split("e")
    return f"{mantissa}×10{superscript(int(exponent))}"


def moment(iso: str) -> str:
    """Format a time (ISO 8601) as '2026-01-02 03:04 UTC'; any other text is returned unchanged."""
    try:
        at = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def superscript(exponent: int) -> str:
    """Format an exponent in superscript digits."""
    return str(exponent).translate(_SUPERSCRIPTS)


def pair_words(pair: tuple[str, str]) -> str:
    """Format a pair as "second − first", in the order of ``Comparison.difference``."""
    return f"{pair[1]} {_MINUS} {pair[0]}"


def printable(text: str) -> str:
    """Return the text on one line, without characters that XML forbids or that change the text direction."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))


def stem(metric: str) -> str:
    """Convert a metric's name to a form that is valid in file names and XML ids."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in metric)


def capital(words: str) -> str:
    """Return the words with a capital first letter."""
    return words[:1].upper() + words[1:]


def shortened(text: str, length: int) -> str:
    """Shorten to at most ``length`` characters. The middle is removed, since run names often differ at their end."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[-tail:]}"


def points(share: float) -> str:
    """Format a share as percentage points with a sign."""
    return signed(100 * share, 1)


def listed(parts: Sequence[str]) -> str:
    """Join parts to an enumeration: 'a', 'a and b', 'a, b and c'."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)


def shortlist(texts: Sequence[str], separator: str = ", ", most: int = 5) -> str:
    """Join at most ``most`` texts, followed by the number of the others: 'a, b, and 3 more'."""
    rest = len(texts) - most
    if rest > 0:
        return separator.join([*texts[:most], f"and {rest} more"])
    return listed(texts) if separator == ", " else separator.join(texts)
