"""Tables of spellings: normal forms of unicode characters, LaTeX commands and units."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# fmt: off
#: Unicode characters in LaTeX.
UNICODE = {
    "π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "φ": r"\phi ", "λ": r"\lambda ",
    "∞": r"\infty ", "±": r"\pm ", "∓": r"\mp ", "×": r"\cdot ", "·": r"\cdot ", "⋅": r"\cdot ", "∗": r"\cdot ",
    "÷": "/", "−": "-", "–": "-", "∕": "/", "⁄": "/", "≤": r"\leq ", "≥": r"\geq ", "≠": r"\neq ", "≈": r"\approx ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "°": r"^\circ ", "º": r"^\circ ", "…": r"\ldots ",
    "⋯": r"\ldots ", "∖": r"\setminus ", "′": "'", "’": "'", "“": '"', "”": '"', "→": r"\to ", "∠": r"\angle ",
    "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u200b": "", "\ufeff": "", "ℝ": r"\mathbb{R}", "∀": r"\forall ",
    "㎡": "m^2", "δ": r"\delta ", "ε": r"\epsilon ", "η": r"\eta ", "κ": r"\kappa ", "μ": r"\mu ", "ν": r"\nu ",
    "ξ": r"\xi ", "ρ": r"\rho ", "σ": r"\sigma ", "τ": r"\tau ", "χ": r"\chi ", "ψ": r"\psi ", "ω": r"\omega ",
    "ϕ": r"\phi ", "ϵ": r"\epsilon ", "Γ": r"\Gamma ", "Δ": r"\Delta ", "Θ": r"\Theta ", "Λ": r"\Lambda ",
    "Σ": r"\Sigma ", "Φ": r"\Phi ", "Ψ": r"\Psi ", "∙": r"\cdot ", "✕": r"\cdot ", "✖": r"\cdot ", "⟨": "(",
    "⟩": ")", "∣": "|", "⩽": r"\leq ", "⩾": r"\geq ", "≦": r"\leq ", "≧": r"\geq ", "⌊": r"\lfloor ",
    "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}",
    "ℂ": r"\mathbb{C}", "≡": r"\equiv ", "‐": "-", "‑": "-", "‒": "-", "‘": "'",
}

#: LaTeX commands, mapped to their normal form.
COMMANDS = {
    "le": r"\leq", "leqslant": r"\leq", "leqq": r"\leq", "ge": r"\geq", "geqslant": r"\geq", "geqq": r"\geq",
    "lt": "<", "gt": ">", "ne": r"\neq", "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "times": r"\cdot",
    "ast": r"\cdot", "dots": r"\ldots", "cdots": r"\ldots", "dotsc": r"\ldots", "dotsb": r"\ldots", "lbrace": r"\{",
    "rbrace": r"\}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "vert": "|", "lvert": "|",
    "rvert": "|", "mid": "|", "degree": r"^\circ", "degrees": r"^\circ", "varnothing": r"\emptyset",
    "backslash": r"\setminus", "colon": ":", "vee": r"\lor", "wedge": r"\land", "imath": "i",
    "bar": r"\overline", "top": "T", "intercal": "T", "bigcup": r"\cup", "lnot": r"\neg", "percent": r"\%",
    "and": ",", "thinspace": " ",
    "div": "/", "dbinom": r"\binom", "tbinom": r"\binom", "mod": r"\bmod", "Pr": "P", "intersection": r"\cap",
    "langle": "(", "rangle": ")", "N": r"\mathbb{N}", "R": r"\mathbb{R}", "Z": r"\mathbb{Z}", "Q": r"\mathbb{Q}",
}

#: Currency signs, mapped to units.
CURRENCIES = {"$": "dollars", "€": "euros", "£": "pounds", "¥": "yen", "₹": "rupees", "¢": "cents", "Rs": "rupees"}

#: Commands that only affect layout.
DROPPED = frozenset((
    "left", "right", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "Biggl", "Biggr", "big", "Big", "bigg",
    "Bigg", "middle", "mleft", "mright", "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "rm",
    "bf", "it", "cal", "tt", "sf", "boldmath", "hfill", "strut", "phantom", "Large", "large",
))

#: Commands that produce a space.
SPACES = frozenset((
    "quad", "qquad", "enspace", "enskip", "space", "hspace", "thinspace", "medspace", "thickspace", "newline",
))

#: Commands that change the font of their argument.
TEXT = frozenset((
    "text", "textbf", "textit", "textrm", "textnormal", "texttt", "textsf", "mbox", "hbox", "mathrm", "mathbf",
    "mathit", "mathsf", "operatorname", "mathnormal", "boldsymbol", "bold", "emph", "underline",
))

#: Named operators that are often written in an upright font: `\\operatorname{lcm}`.
UPRIGHT_OPERATORS = frozenset((
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "lg", "log",
    "exp", "gcd", "lcm", "max", "min", "det",
))

#: Words that change the meaning of an answer, so they are never treated as a unit or a remark.
MEANINGFUL = _set("""
    if is are not no even odd when where for all otherwise mod modulo divisible multiple multiples prime and or only
    unless except none never always undefined infinite infinity positive negative nonnegative nonzero such that with
    integer integers real less greater than more least most iff then but between either neither nor both wrong false
    true right maybe approximately about to through until from by million millions billion trillion quadrillion
    thousand thousands hundred hundreds dozen dozens score percent half halves quarter quarters third thirds fourth
    fourths fifth fifths sixth sixths seventh eighth eighths ninth ninths tenth tenths hundredth hundredths thousandth
    thousandths double doubled triple tripled twice thrice base times squared cubed plus minus over divided
    multiplied root square-root zero one two three four five six seven eight nine ten eleven twelve thirteen fifteen
    twenty thirty forty fifty sixty seventy eighty ninety am pm ad bc bce ce north south east west northeast
    northwest southeast southwest up down left upward downward above below clockwise counterclockwise ago later
    before after remaining remainder factorial gross inverse reciprocal negated negative negation fewer opposite
    january february march april june july august september october november december
    conjugate complement quintillion lakh crore cubes squares
    """)

#: Words after a quantity that do not name the counted thing.
NEUTRAL = _set("""
    a an the of in total altogether different distinct possible such unique ordered each exactly only units unit
    respectively overall together old long wide high tall
    """)

#: Spellings of units in lower case, separated by bars. The first spelling represents the unit.
UNIT_NAMES = """
    cm centimeter centimeters centimetre centimetres cms | mm millimeter millimeters millimetre millimetres
    | m meter meters metre metres | km kilometer kilometers kilometre kilometres kms | inch inches | ft foot feet
    | yd yard yards | mi mile miles | g gram grams | kg kilogram kilograms kgs | mg milligram milligrams
    | lb lbs | oz ounce ounces | ton tons tonne tonnes | s sec secs second seconds | min mins minute minutes
    | rev revolution revolutions | h hr hrs hour hours
    | day days | week weeks | month months | yr yrs year years | l liter liters litre litres
    | ml milliliter milliliters | gal gallon gallons | degree degrees deg | rad radian radians
    | cent cents | dollar dollars usd bucks | euro euros eur | pound pounds gbp | yen jpy | rupee rupees rs inr
    | ruble rubles | yuan rmb cny | peso pesos | hz hertz | newton newtons | joule joules | watt watts | volt volts
    | ampere amperes amp amps | kelvin | acre acres | pascal pascals | ohm ohms | mole moles mol | celsius
    | fahrenheit | kwh | furlong furlongs | pint pints | quart quarts | cup cups | hectare hectares | bit bits
    | byte bytes
    """

#: Compound units: their units and powers.
COMPOUND_UNITS = {
    "mph": (("mi", 1), ("h", -1)), "kmph": (("km", 1), ("h", -1)), "kph": (("km", 1), ("h", -1)),
    "kmh": (("km", 1), ("h", -1)), "mpg": (("mi", 1), ("gal", -1)), "rpm": (("rev", 1), ("min", -1)),
}

#: Case-sensitive symbols of units, mapped to their name in UNIT_NAMES (or to themselves).
UNIT_SYMBOLS = {
    "m": "m", "g": "g", "s": "s", "h": "h", "L": "l", "l": "l", "N": "newton", "J": "joule", "W": "watt", "V": "volt",
    "A": "ampere", "K": "kelvin", "Pa": "pascal", "Hz": "hz", "C": "celsius", "F": "fahrenheit", "in": "inch",
    **{symbol: symbol for symbol in (
        "kJ", "MJ", "eV", "keV", "MeV", "GeV", "kW", "MW", "mW", "GW", "kN", "MN", "kPa", "MPa", "kHz", "MHz", "GHz",
        "mV", "kV", "mA", "nm", "mol", "mmol", "T", "H", "Wb", "dB", "MB", "GB", "KB", "TB", "kB", "cal", "kcal", "Wh",
    )},
}
#: Letters that may mean a thousand, a million or a billion, but also a unit or a name.
AMBIGUOUS_SYMBOLS = frozenset(("K", "k", "M", "B", "T"))

#: Words of up to four letters, which are not products of variables.
SHORT_WORDS = _set("""
    yes no odd even true both none all one two six ten four five nine zero east west sun mon tue wed thu fri sat may
    june july red blue up down left boy girl man men day dog cat win lose draw tie rise fall head tail heads
    """)
# fmt: on
