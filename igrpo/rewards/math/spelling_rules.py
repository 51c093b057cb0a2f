r"""Rules that rewrite notation to the normal form, in the order in which they are applied."""

from __future__ import annotations

import re

from igrpo.rewards.math.spelling import COMMAND, Spelling, bare_powers, letters, money, one_spelling, rows, spelling
from igrpo.rewards.math.spellings import UPRIGHT_OPERATORS

_MACRO = r"\\(?!frac|sqrt|text)[a-zA-Z]+"
_PART = rf"(?:\d|{_MACRO}|(?<=[\s\d}}])[a-zA-Z])"
_WORD = r"\\text ?\{[^{}]*\}(?:\^\{?\d\}?)?"
_LAYOUT = r"(?:align|aligned|split|gathered|gather|cases|equation|eqnarray)\*?"
_AMOUNT = r"[0-9.](?:[0-9.]|(?:,(?:\\!)?|\{,\}|\\[,!])(?=[0-9]))*"
_COMPARISONS = {"<=": r"\leq ", ">=": r"\geq ", "!=": r"\neq ", "=<": r"\leq ", "**": "^", "==": "="}

#: Applied in this order.
RULES: tuple[Spelling, ...] = (
    spelling("emphasis", r"^\s*(\*\*|__|`+|\*)((?:(?!\1).)+)\1([.,;:!]?)\s*$", r"\2\3", "**7**", "7"),
    spelling(
        "money",
        rf"(?P<sign>[-+]?)\s*(?:(?P<mark>\bUS\\?\$|\\\$|[€£¥₹¢]|\bRs\b\.?|^\$(?=[^$]*$))\s*(?P<minus>-?)(?P<amount>{_AMOUNT})"
        rf"|(?P<before>{_AMOUNT})\s*(?P<behind>\\\$|[€£¥₹¢]|Rs\b\.?))",
        money,
        r"\$5.50",
        r"5.50\text{dollars}",
    ),
    spelling(
        "thin thousands",
        r"(?<=\d)(?:\s*\{\s*,\s*\}\s*|,\\!\s*|\\!|\\,|\\ |\\;|\\:|~)(?:\\!\s*)?(?=\d{3}(?!\d))",
        "",
        r"1{,}234",
        "1234",
    ),
    spelling(
        "unseen",
        r"\\(?:[hv]?phantom|[hv]space\*?|tag\*?|label)\s*\{[^{}]*\}|(?<=[0-9)])\{\}\s*$",
        "",
        r"\hspace{1cm}7\tag{1}",
        "7",
    ),
    spelling(
        "letters in bold",
        r"\\(?:mathbf|boldsymbol|bm|pmb|mathit|mathnormal|ensuremath)\s*\{(?P<body>(?:[^{}]|\{[^{}]*\})*)\}",
        letters,
        r"\mathbf{i}+2\mathbf{j}",
        "i+2 j",
    ),
    spelling(
        "one cell", r"\\begin\{array\}\s*\{[^{}]*\}([^&\\]*)\\end\{array\}", r"\1", r"\begin{array}{c}7\end{array}", "7"
    ),
    spelling(
        "aside", r"(?:\\[,;: ])? ?\( ?(\\approx|≈|=)([^()]*)\) ?$", r" \1\2", r"\pi (\approx 3.14)", r"\pi\approx3.14"
    ),
    spelling("box", r"\\f?boxed\s*|\\fbox\s*", "", r"\boxed{x}", "x"),
    spelling("colour", r"\\(?:text)?color\s*(?:\[[^\]]*\])?\s*\{[^{}]*\}", "", r"\color{red}{7}", "7"),
    spelling(
        "row gap",
        r"\\\\\s*\[[^\]]*(?:ex|em|pt|mm|cm|in)\]",
        r"\\\\",
        r"\begin{matrix}1\\[1ex]2\end{matrix}",
        r"\begin{matrix}1\\2\end{matrix}",
    ),
    spelling(
        "small matrix",
        r"\{smallmatrix\}",
        "{matrix}",
        r"\begin{smallmatrix}1\\2\end{smallmatrix}",
        r"\begin{matrix}1\\2\end{matrix}",
    ),
    spelling(
        "system behind a brace",
        r"\\left\s*\\\{\s*\\begin\s*\{array\}\s*(?:\{[^{}]*\})?(?P<body>.*?)\\end\s*\{array\}\s*(?:\\right\s*\.)?\s*$",
        r"\\begin{aligned}\g<body>\\end{aligned}",
        r"\left\{\begin{array}{l}x=1\\y=2\end{array}\right.",
        "x=1,y=2",
    ),
    spelling(
        "laid out rows",
        rf"\\begin\s*\{{(?P<name>{_LAYOUT})\}}(?P<body>.*?)\\end\s*\{{{_LAYOUT}\}}",
        rows,
        r"\begin{cases}x=1\\y=2\end{cases}",
        "x=1,y=2",
    ),
    spelling("delimiters", r"\\[()\[\]]", " ", r"\(7\)", "7"),
    spelling(
        "comparison",
        "|".join(map(re.escape, _COMPARISONS)),
        lambda match: _COMPARISONS[match.group()],
        "x<=3",
        r"x\leq3",
    ),
    spelling(
        "upright operator",
        rf"\\(?:operatorname\*?|mathrm|text|mathop)\s*\{{\s*({'|'.join(sorted(UPRIGHT_OPERATORS))})\s*\}}",
        r"\\\1 ",
        r"\operatorname{lcm}(4,6)",
        r"\lcm(4,6)",
    ),
    spelling("command", COMMAND.pattern, one_spelling, r"\dfrac{1}{2}\le x", r"\frac{1}{2}\leq x"),
    spelling(
        "text in text", r"\\text ?\{\s*\\text ?\{([^{}]*)\}\s*\}", r"\\text{\1}", r"\textbf{\text{red}}", r"\text{red}"
    ),
    spelling(
        "fraction of units",
        rf"(?<=[0-9}}\s])\\frac\s*\{{\s*({_WORD})\s*\}}\s*\{{\s*({_WORD})\s*\}}",
        r"\1/\2",
        r"9.8\frac{\text{m}}{\text{s}^2}",
        r"9.8\text{m}/s^2",
    ),
    spelling(
        "number in text",
        r"^\s*\\text ?\{\s*(-?[0-9][0-9.,]*)\s+([A-Za-z][^{}0-9]*)\}\s*$",
        r"\1\\text{\2}",
        r"\text{6 ways}",
        r"6\text{ways}",
    ),
    spelling("pi in text", r"(?i)\\text ?\{\s*pi\s*\}", r"\\pi ", r"2\text{pi}", r"2\pi"),
    spelling(
        "minus infinity in words",
        r"(?i)\\text ?\{\s*(?:negative|minus)\s+infinity\s*\}",
        r"-\\infty ",
        r"\text{negative infinity}",
        r"-\infty",
    ),
    spelling(
        "infinity in words",
        r"(?i)\\text ?\{\s*(?:positive\s+)?infinity\s*\}",
        r"\\infty ",
        r"\text{infinity}",
        r"\infty",
    ),
    spelling(
        "percent",
        r"\s*(?:\\text ?\{\s*(?:percent|pct|percentage|%|\\%)\s*\}|\\?%|\b(?:percent|pct|percentage)\b"
        r"|(?<=\d)(?:percent|pct)\b)",
        r"\\%",
        "28 percent",
        r"28\%",
    ),
    spelling(
        "degrees",
        r"\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ)\s*|(?<=[0-9}])\s*\\circ(?![a-zA-Z])\s*",
        r"^\\circ ",
        r"90^{\circ}",
        r"90^\circ",
    ),
    spelling("temperature", r"\^\\circ\s*([CFK])\s*$", r"^\\circ\\text{\1}", r"10^\circ C", r"10^\circ\text{C}"),
    spelling("modulus", r"\\pmod\s*([0-9]+)", r"\\pmod{\1}", r"\pmod 4", r"\pmod{4}"),
    spelling(
        "congruence",
        r"(\\equiv[^\\()]{0,60}?) ?\(? ?(?:\\bmod|\\text ?\{ ?mod ?\}|\bmod\b) {0,2}\{?([0-9]+|[a-z]\b)\}?\)?",
        r"\1\\pmod{\2}",
        r"n\equiv 1 \mod 4",
        r"n\equiv1\pmod{4}",
    ),
    spelling("dots", r"\.\s?\.\s?\.+", r"\\ldots ", "1,2,...", r"1,2,\ldots"),
    spelling(
        "ordinal",
        r"(\d)\s*\^?\s*(?:\{\s*\\text ?\{\s*(?:th|st|nd|rd)\s*\}\s*\}|\\text ?\{\s*(?:th|st|nd|rd)\s*\}"
        r"|\{\s*(?:th|st|nd|rd)\s*\}|(?:th|st|nd|rd)\b)",
        r"\1",
        r"21^{\text{st}}",
        "21",
    ),
    spelling("no words in text", r"\\text ?\{([^a-zA-Z{}]*)\}", r"\1", r"\text{13}", "13"),
    spelling("letter in text", r"(?<![\w\s}.])\\text ?\{\s*([a-zA-Z])\s*\}", r"\1", r"\text{y}", "y"),
    spelling("constant in text", r"(?<![0-9}\s])\\text ?\{\s*([ei])\s*\}", r"\1", r"2+\text{i}", "2+i"),
    spelling(
        "prime",
        r"\^\s*(?:\{\s*(?:\\prime\s*)+\}|\\prime)",
        lambda match: "'" * match.group().count("prime"),
        r"f^\prime",
        "f'",
    ),
    spelling("one digit script", r"([_^])\s*([0-9])(?= [0-9])", r"\1{\2}", "x_1 2", "x_{1}2"),
    spelling("long exponent", r"\^\s*(-?[0-9]{2,}|-[0-9a-zA-Z])(?![0-9.])", r"^{\1}", "2^10", "2^{10}"),
    spelling(
        "power in text",
        r"\\text ?\{(?:[^{}]*\^\{-?\d\})+[^{}]*\}",
        bare_powers,
        r"5\text{m s^{-2}}",
        r"5\text{m s^-2}",
    ),
    spelling("choose", r"\{([^{}]*?)\\choose\s*([^{}]*?)\}", r"\\binom{\1}{\2}", r"{5\choose2}", r"\binom{5}{2}"),
    spelling("binomial of digits", r"\\binom\s*(\d)\s*(\d)", r"\\binom{\1}{\2}", r"\binom52", r"\binom{5}{2}"),
    spelling("fraction of digits", r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", r"\frac12", r"\frac{1}{2}"),
    spelling("bare numerator", rf"\\frac\s*({_PART})\s*(?=\{{)", r"\\frac{\1}", r"\frac\pi{4}", r"\frac{\pi}{4}"),
    spelling(
        "bare denominator", rf"(\\frac\s*\{{[^{{}}]*\}})\s*({_PART}|[a-zA-Z])", r"\1{\2}", r"\frac{1}2", r"\frac{1}{2}"
    ),
    spelling("bare fraction", rf"\\frac\s*({_PART})\s*({_PART})", r"\\frac{\1}{\2}", r"\frac\pi4", r"\frac{\pi}{4}"),
    spelling("bare root", rf"\\sqrt\s*(\d|[a-zA-Z]|{_MACRO})", r"\\sqrt{\1}", r"\sqrt2", r"\sqrt{2}"),
)
#: Applied in this order to text outside ``\text``.
PLAIN_RULES: tuple[Spelling, ...] = (
    spelling(
        "plain infinity", r"(?<![A-Za-z\\])(?:[Ii]nfinity|infty|inf)(?![A-Za-z])", r"\\infty ", "-inf", r"-\infty"
    ),
    spelling("lone pi", r"^\s*[Pp]i\s*$", r"\\pi ", "pi", r"\pi"),
    spelling(
        "plain command",
        r"(?<![A-Za-z\\])(?!^\s*[a-z]+\s*$)(sqrt|pi|exp|sin|cos|tan|cot|csc|ln|lg|log|arcsin|arccos|arctan"
        r"|theta|alpha|beta|sec(?=[(^]))(?![A-Za-z])",
        r"\\\1 ",
        "2pi",
        r"2\pi",
    ),
    spelling("plain root", r"\\sqrt ?\(([^()]*(?:\([^()]*\)[^()]*)*)\)", r"\\sqrt{\1}", "sqrt(2)", r"\sqrt{2}"),
    spelling(
        "exponential",
        r"\\exp ?(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\)|\{([^{}]*)\})",
        lambda match: f"e^{{{match[1] or match[2] or ''}}}",
        r"\exp(x)",
        "e^{x}",
    ),
    spelling("plain power", r"\^ ?\(([^()]*)\)", r"^{\1}", "2^(1/3)", "2^{1/3}"),
)
