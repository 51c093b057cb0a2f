r"""Tokens of a problem's text that are the same for different spellings of the problem.

Case, white space, punctuation, braces, dollars, layout commands (``\left``, ``\text``, ``\,``) and variants of a
command (``\dfrac``, ``\geq``) make no difference. Words, numbers, operators, parentheses and all other commands do.
Braces are ignored, so ``\sqrt{2}+x`` and ``\sqrt{2+x}`` have the same tokens; real problems rarely differ in this way.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

Tokens = tuple[str, ...]

_DRAWING: Final = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL | re.IGNORECASE)
_PICTURE: Final = re.compile(r"!\[[^\]]{0,999}\]\([^)]{0,999}\)|\\includegraphics(?:\[[^\]]{0,99}\])?\{[^}]{0,999}\}")
_THOUSANDS: Final = re.compile(r"(?<=\d)(?:,\\!|\{,\}|\\,|\\!|,)(?=\d{3}(?!\d))")
_SHORT_FRACTION: Final = re.compile(r"(\\[dtc]?frac)\s*(\d)(?=\s*\d)")  # \frac12 is 1/2, not 12
_HYPHEN: Final = re.compile(r"(?<=[^\W\d_]{2})-(?=[^\W\d_]{2})|(?<=[\d$])-(?=[^\W\d_]{2})")  # two-digit, 9-mile

_ENVIRONMENTS: Final = "align|aligned|alignat|equation|gather|gathered|eqnarray|multline|split|center|displaymath"
_TOKEN: Final = re.compile(
    r"\\(?:begin|end)\s*\{(?:" + _ENVIRONMENTS + r")\*?\}"
    r"|\\[a-zA-Z]+"
    r"|\\[^a-zA-Z|%]"  # \\(, \\[, \\$, \\, and a new line: ignored
    r"|\d+(?:\.\d+)?|\.\d+"
    r"|[\u3040-\u30ff\u3400-\u9fff]"  # Japanese and Chinese, which put no space between words
    r"|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+"
    r"|(?<=[\d)])!"  # a factorial; elsewhere it ends a sentence
    r"|(?<![^\W\d_]{2})(?<=[^\W\d_])'(?![^\W\d_])"  # a derivative; elsewhere a quotation mark or an apostrophe
    r"|[-+*/=<>|%^()]"
)

_LAYOUT_NAMES: Final = (
    "left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr displaystyle textstyle quad qquad text textbf textit "
    "textrm textnormal mathrm mathbf mathit mathsf operatorname mbox hbox hspace vspace hline limits nolimits rm bf it "
    "emph boxed phantom noindent par newline smallskip medskip bigskip begin end"
)
_LAYOUT: Final = frozenset(_LAYOUT_NAMES.split())
_SAME: Final = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom",
    "geq": "ge", "geqslant": "ge", "leq": "le", "leqslant": "le", "neq": "ne", "lt": "<", "gt": ">",
    "cdot": "*", "times": "*", "div": "/", "ldots": "dots", "cdots": "dots", "dotsc": "dots", "dotsb": "dots",
    "dotsm": "dots", "rightarrow": "to", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "degree": "circ",
    "prime": "'",
}  # fmt: skip
_SYMBOLS: Final = str.maketrans(
    {
        "−": "-", "–": "-", "×": r" \times ", "·": r" \cdot ", "⋅": r" \cdot ", "÷": r" \div ", "°": r"^\circ ",
        "≤": r" \le ", "≥": r" \ge ", "≠": r" \ne ", "π": r" \pi ", "√": r" \sqrt ", "…": r" \dots ",
        "½": r" \frac 1 2 ", "¼": r" \frac 1 4 ", "¾": r" \frac 3 4 ", "∠": r" \angle ", "′": "'",
    }
)  # fmt: skip
_SUPERSCRIPT: Final = re.compile(r"[⁺⁻]?[⁰¹²³⁴-⁹]+|ⁿ")

_TWO_TO_TWENTY: Final = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty"
)
_NUMBER_WORDS: Final = {word: str(number) for number, word in enumerate(_TWO_TO_TWENTY.split(), start=2)}


def without_figures(text: str) -> str:
    """Remove the figures from the text: code of drawings (``[asy] ... [/asy]``) and links to pictures."""
    return _PICTURE.sub(" ", _DRAWING.sub(" ", text))


def drawing_tokens(text: str) -> Tokens:
    """Return the tokens of the code of drawings; empty if there is none."""
    return problem_tokens(" ".join(_DRAWING.findall(text)))


def problem_tokens(text: str) -> Tokens:
    """Return lower-case words, numbers in digits (``1,000`` is ``1000``), command names, operators and parentheses."""
    if not text.isascii():
        text = _SUPERSCRIPT.sub(r"^\g<0>", text).translate(_SYMBOLS)
        text = unicodedata.normalize("NFKC", text).translate(_SYMBOLS)  # a superscript minus becomes a minus
    text = _HYPHEN.sub(" ", _SHORT_FRACTION.sub(r"\1 \2 ", _THOUSANDS.sub("", text)))
    tokens = []
    for token in _TOKEN.findall(text):
        if token[0] != "\\":
            tokens.append(_number(token) if "." in token else token.lower())
        elif token[1].isalpha() and token[-1] != "}" and token[1:] not in _LAYOUT:
            tokens.append(_SAME.get(token[1:], token[1:].lower()))
    return tuple(tokens)


def wording(tokens: Tokens) -> Tokens:
    """Remove parentheses and write ``two`` to ``twenty`` in digits (not ``one``, which is also a pronoun)."""
    return tuple(_NUMBER_WORDS.get(token, token) for token in tokens if token not in "()")


def is_number(token: str) -> bool:
    """True if the token is a number in digits."""
    return token[0].isdigit()


def _number(decimal: str) -> str:
    """Write ``2.50`` and ``.5`` as ``2.5`` and ``0.5``."""
    whole, _, digits = decimal.partition(".")
    digits = digits.rstrip("0")
    return f"{whole or '0'}.{digits}" if digits else whole or "0"


def same_text(tokens: Tokens) -> str:
    """Return a key that is equal for equal tokens, regardless of spaces (``AB``, ``A B``) except between numbers."""
    parts: list[str] = []
    for token in tokens:
        if parts and token[0].isdigit() and parts[-1][-1].isdigit():
            parts.append(" ")
        parts.append(token)
    return "".join(parts)
