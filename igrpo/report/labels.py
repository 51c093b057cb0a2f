"""How the report writes names and numbers: one place for the page, the tables and the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from igrpo.report.model import Axis

#: The axes of a budget, in the order in which the report shows them.
AXES: tuple[str, ...] = get_args(Axis)

AXIS_LABELS: dict[str, str] = {
    "steps": "training steps",
    "samples": "training samples",
    "generated_tokens": "generated tokens",
    "trained_tokens": "trained tokens",
    "flops": "training FLOPs",
    "seconds": "seconds of training",
}

_MINUS = "\N{MINUS SIGN}"
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

#: Name without its split, the words for it.
_METRICS: dict[str, str] = {
    "single_shot/accuracy": "single-shot accuracy",
    "single_shot/pass_at_k": "single-shot pass@k",
    "single_shot/majority_at_k": "single-shot majority@k",
    "single_shot/length_mean": "length of single-shot answers",
    "single_shot/truncated_share": "truncated single-shot answers",
    "greedy/accuracy": "greedy accuracy",
    "draft_conditioned/accuracy": "draft-conditioned accuracy",
    "draft_conditioned_oracle/accuracy": "draft-conditioned accuracy, best of N drafts",
    "stage1/entropy": "entropy in stage 1",
    "stage2/entropy": "entropy in stage 2",
    "stage1/length_mean": "length in stage 1",
    "stage2/length_mean": "length in stage 2",
    "stage1/reward_mean": "reward in stage 1",
    "stage2/reward_mean": "reward in stage 2",
    "stage1/accuracy": "accuracy of training samples in stage 1",
    "stage2/accuracy": "accuracy of training samples in stage 2",
    "groups/zero_variance_share": "groups without variance",
    "transfer/right_given_wrong": "right, given a wrong draft",
    "copy/answer_rate": "draft's answer repeated",
}
_SPLITS = ("development", "test", "eval")
_SHARE_ENDS = ("accuracy", "pass_at_k", "majority_at_k", "_share", "_rate", "_given_right", "_given_wrong")
_UNITS = {"entropy": "nats a token", "length": "tokens"}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A metric in words. ``share``: shown in %; ``unit`` is empty where the metric's words say enough."""

    words: str
    split: str | None
    unit: str
    share: bool

    @property
    def full(self) -> str:
        """The words with the split that it was measured on."""
        return self.words if self.split is None else f"{self.words}, {self.split}"

    @property
    def axis_label(self) -> str:
        """What an axis says: words and unit."""
        return f"{self.words}, {self.unit}" if self.unit else self.words

    def value(self, number: float) -> str:
        """A value as the tables show it: shares in % with one decimal, anything else with three."""
        return percent(number) if self.share else _signless_zero(f"{number:,.3f}").replace("-", _MINUS)

    def change(self, number: float) -> str:
        """A difference with its sign: shares in percentage points with one decimal, anything else with three."""
        return signed(100 * number, 1) if self.share else signed(number, 3)

    @property
    def change_unit(self) -> str:
        """The unit of ``change``, in words."""
        return "percentage points" if self.share else self.unit


def quantity(metric: str) -> Quantity:
    """What a metric's name means; an unknown one is its own words."""
    split, _, rest = metric.partition("/")
    name = rest if split in _SPLITS and rest else metric
    share = name.endswith(_SHARE_ENDS)
    unit = "%" if share else next((u for end, u in _UNITS.items() if end in name), "")
    words = _METRICS.get(name, name.replace("_", " "))
    return Quantity(words, split if name != metric else None, unit, share)


def signed(number: float, decimals: int) -> str:
    """With + or a true minus sign; what rounds to zero has none."""
    text = f"{number:+,.{decimals}f}"
    return _signless_zero(text).replace("-", _MINUS)


def _signless_zero(text: str) -> str:
    return text if text.strip("+-0.,") else text.lstrip("+-")


def percent(share: float) -> str:
    """A share in percent with one decimal, without the sign %."""
    return _signless_zero(f"{100 * share:.1f}").replace("-", _MINUS)


def bracket(low: str, high: str) -> str:
    """An interval."""
    return f"[{low}, {high}]"


def probability(p: float) -> str:
    """Three decimals; what would round to 0 or 1 without being it says so."""
    if 0 < p < 0.0005:
        return "< 0.001"
    if 0.9995 <= p < 1:
        return "> 0.999"
    return f"{p:.3f}"


def count(number: float) -> str:
    """A whole number with separators (a mean over seeds is rounded)."""
    return f"{number:,.0f}"


def scientific(number: float) -> str:
    """Three figures and a power of ten."""
    if number == 0:
        return "0"
    mantissa, exponent = f"{number:.2e}".split("e")
    return f"{mantissa}×10{superscript(int(exponent))}"


def superscript(exponent: int) -> str:
    return str(exponent).translate(_SUPERSCRIPTS)


def pair_words(pair: tuple[str, str]) -> str:
    """``difference`` is second minus first, so the second comes first here."""
    return f"{pair[1]} {_MINUS} {pair[0]}"


def printable(text: str) -> str:
    """One line without characters that XML forbids or that change the direction of what follows."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))


def stem(metric: str) -> str:
    """A metric's name as a part of a file's name and of an XML id."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in metric)


def capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def shortened(text: str, length: int) -> str:
    """At most ``length`` characters, cut in the middle: names of runs often differ at their end."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[-tail:]}"
