"""Tables of spellings: what unicode characters and LaTeX commands are written as in the normal form."""

from __future__ import annotations

# fmt: off
#: Unicode characters in LaTeX.
UNICODE = {
    "π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "φ": r"\phi ", "λ": r"\lambda ",
    "∞": r"\infty ", "±": r"\pm ", "∓": r"\mp ", "×": r"\cdot ", "·": r"\cdot ", "⋅": r"\cdot ", "∗": r"\cdot ",
    "÷": "/", "−": "-", "–": "-", "∕": "/", "⁄": "/", "≤": r"\leq ", "≥": r"\geq ", "≠": r"\neq ", "≈": r"\approx ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "°": r"^\circ ", "º": r"^\circ ", "…": r"\ldots ",
    "⋯": r"\ldots ", "∖": r"\setminus ", "′": "'", "’": "'", "“": '"', "”": '"', "→": r"\to ", "∠": r"\angle ",
    "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u200b": "", "\ufeff": "", "ℝ": r"\mathbb{R}", "∀": r"\forall ",
    "€": "", "£": "", "¥": "", "₹": "",
}

#: LaTeX commands under another name.
COMMANDS = {
    "le": r"\leq", "leqslant": r"\leq", "leqq": r"\leq", "ge": r"\geq", "geqslant": r"\geq", "geqq": r"\geq",
    "lt": "<", "gt": ">", "ne": r"\neq", "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "times": r"\cdot",
    "ast": r"\cdot", "dots": r"\ldots", "cdots": r"\ldots", "dotsc": r"\ldots", "dotsb": r"\ldots", "lbrace": r"\{",
    "rbrace": r"\}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "vert": "|", "lvert": "|",
    "rvert": "|", "mid": "|", "degree": r"^\circ", "degrees": r"^\circ", "varnothing": r"\emptyset",
    "backslash": r"\setminus", "colon": ":", "lor": r"\text{or}", "vee": r"\text{or}", "land": r"\text{and}",
    "imath": "i", "exp": r"\exp", "bigcup": r"\cup", "lnot": r"\neg", "percent": r"\%", "and": ",", "thinspace": " ",
}

#: Commands that only lay out.
DROPPED = frozenset((
    "left", "right", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "Biggl", "Biggr", "big", "Big", "bigg",
    "Bigg", "middle", "mleft", "mright", "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "rm",
    "bf", "it", "cal", "tt", "sf", "boldmath", "hfill", "strut", "phantom", "Large", "large",
))

#: Commands that are a space.
SPACES = frozenset((
    "quad", "qquad", "enspace", "enskip", "space", "hspace", "thinspace", "medspace", "thickspace", "newline",
))

#: Commands that set their argument in upright or other letters.
TEXT = frozenset((
    "text", "textbf", "textit", "textrm", "textnormal", "texttt", "textsf", "mbox", "hbox", "mathrm", "mathbf",
    "mathit", "mathsf", "operatorname", "mathnormal", "boldsymbol", "bold", "emph", "underline",
))

#: Words that change what an answer says, so that they are never taken for a unit or a remark.
MEANINGFUL = frozenset((
    "if", "is", "are", "not", "no", "even", "odd", "when", "where", "for", "all", "otherwise", "mod", "modulo",
    "divisible", "multiple", "prime", "and", "or", "only", "unless", "except", "none", "never", "always",
    "undefined", "infinite", "infinity", "positive", "negative", "nonnegative", "nonzero", "such", "that", "with",
    "integer", "integers", "real", "less", "greater", "than", "more", "least", "most", "iff", "then", "million",
    "billion", "thousand", "hundred", "dozen", "percent", "half", "quarter", "third", "base", "times", "squared",
    "cubed",
))

#: Spellings of a unit, the first one standing for all; units apart by bars.
UNIT_NAMES = """
    cm centimeter centimeters centimetre centimetres | mm millimeter millimeters millimetre millimetres
    | m meter meters metre metres | km kilometer kilometers kilometre kilometres | in inch inches | ft foot feet
    | yd yard yards | mi mile miles | g gram grams | kg kilogram kilograms | mg milligram milligrams
    | lb lbs pound pounds | oz ounce ounces | ton tons | s sec secs second seconds | min mins minute minutes
    | h hr hrs hour hours | day days | week weeks | month months | yr yrs year years | l liter liters litre litres
    | ml milliliter milliliters | gal gallon gallons | mph | kmph kmh | degree degrees deg | rad radian radians
    | cent cents | dollar dollars usd | euro euros | unit units | hz | n newton newtons | j joule joules
    | w watt watts | v volt volts | k kelvin | acre acres | square sq | cubic cu | per
    """
# fmt: on
