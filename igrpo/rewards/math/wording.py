"""Patterns of the words around an answer: introductions, signs that a sentence states no answer, closing remarks."""

from __future__ import annotations

import re
from typing import NamedTuple


class Wording(NamedTuple):
    """Pattern with an example, whose answer is ``5`` in ``ANCHORS``; in ``DOUBTS`` it has no answer."""

    name: str
    pattern: str
    example: str


_NOUN = r"\b(?:answers?|reply|results?|solutions?|options?|choice)\b"
_FEW_WORDS = r"(?:\s+(?!(?:is|are|if|when|unless|whether|or|and)\b)[^\s.,:;!?=]+){0,8}?"
#: Words that are followed by an answer.
ANCHORS = (
    Wording("hashes", r"####(?!#)", "She has 2 + 3 = 5 eggs.\n#### 5"),
    Wording(
        "label", r"\b(?:answers?|reply)(?:\s+\([^()\n]{0,20}\))?\"?\s*:", "**Final Answer:** 5\n\nIs there more to do?"
    ),
    Wording(
        "heading", r"(?<![^\n])[ \t]*(?:the |my |our )?(?:final |short )?answers?[ \t]*(?=\n)", "### Final Answer\n\n5"
    ),
    Wording("question and answer", r"(?<![^\n])(?-i:A):(?=[^\n]*\s*\Z)", "Q: What is 2 + 3?\nA: 5"),
    Wording(
        "sentence",
        rf"{_NOUN}(?:\s*[:=]|'s\b|{_FEW_WORDS}\s*\b(?:is|are|was|were|equals|(?:would|should|must|will) be|(?:comes?"
        rf"|turns?) out to be)\b)",
        "The answer to the first question is 5.",
    ),
    Wording("chinese", r"(?:答案|结果)(?:应该|应当|就)?\s*(?:[是为:=]|等于)+", "所以答案是 5。"),
    Wording("chinese choice", r"(?:故选|应选|选择|选)\s*:?(?=\s*[(\[]?[A-H]\b)", "故选 C。答案是 5"),
    Wording("japanese", r"(?:答え|解答|正解)\s*[は:]+", "答えは 5 です。"),
    Wording("korean", r"(?:정답|답)\s*[은는:]+", "정답은 5"),
    Wording("spanish", r"\brespuestas?\b(?:\s+\w+){0,3}?\s*(?:\bes\b|\bson\b|:)", "La respuesta final es 5."),
    Wording("portuguese", r"\brespostas?\b(?:\s+\w+){0,3}?\s*(?:\bé\b|\bsão\b|:)", "A resposta é 5."),
    Wording("french", r"\bréponses?\b(?:\s+\w+){0,3}?\s*(?:\best\b|\bsont\b|:)", "La réponse est 5."),
    Wording("italian", r"\brispost[ae]\b(?:\s+\w+){0,3}?\s*(?:\bè\b|\bsono\b|:)", "La risposta è 5."),
    Wording(
        "german", r"\b(?:Antwort|Lösung|Ergebnis)\b(?:\s+\w+){0,2}?\s*(?:\bist\b|\blautet\b|:)", "Die Antwort lautet 5."
    ),
    Wording("russian", r"\bответ\b\s*[:—-]", "Ответ: 5"),
)
ANCHOR = re.compile("|".join(f"(?:{anchor.pattern})" for anchor in ANCHORS), re.IGNORECASE)
#: Anchor at the beginning of its line, which counts anywhere in the text. Others count only near the end.
LABELLED_LINE = re.compile(
    r"\s*(?:####|[^.,;\n]{0,30}\b(?:answers?|reply|respuesta|réponse|antwort|ответ)\b[^.,;:\n]{0,24}:\s*\Z"
    r"|(?:the |my |our )?(?:final |short )?answers?\s*\Z|[^\n]{0,12}(?:答案|答え|정답)[^\n]{0,6}\Z)",
    re.IGNORECASE,
)
#: Anchor that names the answer to the question, not the result of a step.
NAMES_THE_ANSWER = re.compile(r"####|answer|reply|答|답|resp|répon|antwort|ответ", re.IGNORECASE)

_VALUE_AHEAD = r"[-+\d.($\\\U000F0000-\U000FFFFD]"
#: Sentences that state no answer, even if they contain a value.
DOUBTS = (
    Wording("asked", r"\?\s*$", "Is the answer 5?"),
    Wording(
        "vague",
        r"\b(?:maybe|perhaps|possibly|guess(?:ing)?|not sure|unsure|uncertain|unclear)\b",
        "The answer is maybe 5.",
    ),
    Wording(
        "possible",
        rf"\b(?:might|could|may)(?: also| well)? be(?=\s+(?:either\b|{_VALUE_AHEAD}))",
        "The answer could be 5.",
    ),
    Wording("not known", r"\b(?:do|does|did)(?:n't| not) know\b", "The 5 pears I do not know."),
    Wording("thinking aloud", r"\blet me (?:think|see|check|verify|try|re-?\w+)\b", "Let me think about 5."),
    Wording("depending", r"\bwhether\b|\bdepends on\b", "It depends on whether n is 5."),
    Wording("supposed here", r"\b(?:suppose|assume)\b", "Assume that x = 5."),
    Wording("unfinished", r"(?:[=+\-*/^<>×÷(]|\b(?:is|are|equals|gives|get))\s*$", "So it is 5 + 0 ="),
    Wording(
        "to be done",
        r"\b(?:need|have|want|try|going|must|let's|let us|we|to)(?: to| now| first)* "
        r"(?:compute|calculate|evaluate|solve|consider|simplify|multiply|subtract|add|divide|check)\b"
        r"(?!.*(?:=|:|≈|[\U000F0000-\U000FFFFD]|\b(?:is|are|gets?|gives?|have|obtain|equals)\b))",
        "Next we need to compute 2 + 3",
    ),
    Wording(
        "not found",
        r"\b(?:(?:can(?:not|'t| not)|could(?:n't| not)) (?:be )?(?:determined?|found|find|say|said|tell|told|answer"
        r"|solve|conclude)"
        r"|not enough information|impossible to (?:say|tell|determine))",
        "From these 5 it cannot be determined.",
    ),
)
DOUBT = re.compile("|".join(f"(?:{doubt.pattern})" for doubt in DOUBTS), re.IGNORECASE)
#: Text after a statement that withdraws it.
TAKEN_BACK = re.compile(
    r"^\W*(?:or|alternatively)\b|\b(?:wait|hmm+|actually|oops|scratch that|correction|(?:i|we) made an? (?:mistake"
    r"|error)"
    r"|let (?:me|us|'s) (?:re|double|check)|(?:that|this|it)(?:'s| is| was| seems| looks) (?:\w+ )?"
    r"(?:wrong|incorrect|not right|not correct|not the answer|a mistake))",
    re.IGNORECASE,
)
SUPPOSED = re.compile(
    r"\b(?:if|suppos\w+|assum\w+|whether|unless|imagine|were)\b[^.\n]{0,12}\b(?:the|your|my|our|an?)?\s*(?:\w+\s)?$",
    re.IGNORECASE,
)
NEGATED = re.compile(r"(?:not|never|neither|nor|n't|no longer|unlikely|anything but|different from)\b", re.IGNORECASE)
ALTERNATIVE = re.compile(r"\b(?:or|either|alternatively|unless|otherwise)\b", re.IGNORECASE)
#: Words before a value that change it, or that make it a label or number of something else.
CHANGED = re.compile(
    r"\b(?:except|excluding|without|other than|besides|not|but|unless|than|at least|at most|up to|over|under|above"
    r"|below|exceed\w*"
    r"|if|when|where|whenever|step|case|equation|problem|question|part|figure|page|line|day|divided by|modulo|mod)"
    r"(?:\s+(?:the|a|an|of|for)\b|[^\w\s])*\s*$",
    re.IGNORECASE,
)
#: Words before a relation that is a condition, not a result.
CONDITION = re.compile(
    r"\b(?:for|with|let|since|because|using|given|from|by|at|setting)\s*(?:the|that)?\s*$", re.IGNORECASE
)

#: Closing remarks of models.
CLOSING = re.compile(
    r"(?:(?<=[\s.!?)\]$])|^)(?:I hope|Hope (?:this|that|it)|(?:Please )?let me know|(?:Please )?feel free|Thank(?:s"
    r"| you)"
    r"|Is there anything|Would you like|If you (?:have|need|want)|Do you (?:have|want|need)|Have a (?:great|nice"
    r"|good)|Good luck"
    r"|Happy to|Best regards|Cheers|This completes|Q\.?E\.?D|\[?Note(?: that)?\b|Great job|希望)[^\n]*\s*\Z",
    re.IGNORECASE,
)
LEAD_IN = re.compile(
    r"(?:[\s:;,\"'>]+|=+\s*|answer\s+-(?=\s)|(?:so|thus|hence|therefore|then|finally|in conclusion|in total|overall"
    r"|as a result|consequently"
    r"|(?:this|that|which) (?:means|gives|implies)(?: that)?|we (?:get|have|find|obtain|conclude|see)(?: that)?|and"
    r"|now|okay|ok"
    r"|(?:i|we)(?: would| will|'d|'ll)? (?:choose|select|pick|go with)"
    r"|(?:it|this|that) falls on|i (?:think|believe|would say|get|got|found|conclude)(?: that)?|(?:it|this"
    r"|that)(?:'s| is| equals| must be"
    r"| should be| would be)"
    r"|approximately|about|roughly|exactly|just|simply|only|indeed|clearly|precisely|nearly|around|equal(?:s)? to"
    r"|given by|either|both"
    r"|is|are|be|was|to be|that|also|option|choice|letter|answer|the|(?-i:an?)(?= [A-Za-z]{2})"
    r"|(?:(?:closed|open|half-open|ordered|whole|simplified|prime|real|positive|negative|decimal|exact|final"
    r"|correct|numerical) )*"
    r"(?:number|value|interval|set|pair|triple|tuple|point|vector|matrix|function|expression|equation|fraction"
    r"|ratio|integer|decimal"
    r"|formula|polynomial|inequality|numbers|values|integers|points|pairs|roots|solutions)(?= [^a-z]))(?![A-Za-z])\s*)",
    re.IGNORECASE,
)
COPULA = re.compile(
    r"(?:\b(?:is|are|was|were|equals|becomes|totals|be)\b|(?<![0-9]):(?![0-9:=])|总共|一共|等于|[是为])\s*",
    re.IGNORECASE,
)
#: Words after a value in front, as in `5 is the answer`.
IS_THE_ANSWER = re.compile(
    r"\s+(?:is|are|was)\s+(?:\w+ly\s+|indeed\s+|therefore\s+)?(?:(?:the|our|my)\s+)?(?:final |correct |right |only "
    r"|best |required )*"
    r"(?:answers?|options?|choice|solutions?|results?|correct|right)\b[^\n]{0,40}$",
    re.IGNORECASE,
)
PARTICIPLE = re.compile(
    r"(?:left|remaining|needed|required|used|sold|possible|enough|there|available|in total|total|altogether|in all"
    r"|made|given)\b",
    re.IGNORECASE,
)
#: Words that are not an answer themselves (`the answer is correct`).
NO_ANSWER = re.compile(
    r"\b(?:unknown|correct|right|wrong|incorrect|clear|obvious|simple|as follows|below|above|following|found|given"
    r"|this|that|it|its?elf"
    r"|here|there|your|my|derived|calculated|obtained|shown|verified|confirmed|reached|complete|done|ready|based"
    r"|to \w+)\b",
    re.IGNORECASE,
)
A_CHOICE = re.compile(r"\b(?:option|choice|choose|select|pick)\b|选", re.IGNORECASE)
CHOICE = re.compile(r"(?P<open>[(\[])?(?P<letter>[A-H])(?P<close>[)\].:])?(?![\w'=^+*/_])(?!\s*[-+*/^=<>])")
AFTER_CHOICE = re.compile(
    r"\s*(?:$|[,.;:!-]|\((?!\s*[A-H]\s*\))|(?:because|since|as|which|where|for|is (?:the )?(?:correct|right|best"
    r"|answer)|that is)\b)",
    re.IGNORECASE,
)
MORE_CHOICES = re.compile(r"\s*(?:,|/|&|;|\band\b|\bor\b)+\s*[(\[]?[A-H](?![\w'])")
