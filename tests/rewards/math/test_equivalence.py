"""Pairs of answers that are the same, and pairs that only look alike. Compared in this process: none is heavy."""

from __future__ import annotations

import pytest

from igrpo.rewards.math.conventions import AnswerConventions, BasePolicy, PercentPolicy
from igrpo.rewards.math.equivalence import compare
from igrpo.rewards.math.normalise import normalise

SAME = [
    ('10000', '10 000'), ('1234567', '1{,}234{,}567'), ('1{,}234', '1234'), ('7', '\\fbox{7}'),
    ('21', '21^{\\text{st}}'), ('3', '3rd'), ('2\\pi', '2pi'), ('\\frac{\\pi}{3}', 'π/3'),
    ('\\frac{5}{6}', '0.8\\overline{3}'), ('\\frac13', '0.333...'), ('7/4', '1 3/4'), ('-\\frac{7}{4}', '-1 3/4'),
    ('7/4', '1¾'), ('\\frac{3}{4}', '¾'), ('2\\sqrt{3}', '2√3'), ('45', '45°'), ('45^\\circ', '45 degrees'),
    ('45^\\circ', '45\\text{ degrees}'), ('\\frac{12345}{2}', '\\frac{12,345}{2}'), ('(3,5]', '3 < x \\le 5'),
    ('x>3', '(3,\\infty)'), ('[2,\\infty)', 'x \\ge 2'), ('(-\\infty,1)\\cup(2,\\infty)', 'x<1 \\text{ or } x>2'),
    ('x<1 \\text{ or } x>2', '(-\\infty,1)\\cup(2,\\infty)'), ('x<1 \\text{ or } x>2', 'x<1 or x>2'),
    ('(2,3)', '(2, 3)'), ('\\{1,2\\}', '2,1'), ('1,2,3', '\\{3,2,1\\}'), ('\\frac{1}{2}x', '\\frac{x}{2}'),
    ('0.5x', '\\frac{x}{2}'), ('x^2+2x+1', '(x+1)^2'), ('\\sin^2 x', '1-\\cos^2 x'), ('e^{i\\pi}', '-1'),
    ('2^{10}', '1024'), ('\\sqrt{8}', '2\\sqrt{2}'), ('\\frac{1}{\\sqrt{2}}', '\\frac{\\sqrt{2}}{2}'),
    ('\\log_2 8', '3'), ('\\ln e', '1'), ('5!', '120'), ('\\binom{5}{2}', '10'), ('x=3', '3'), ('3', 'x = 3'),
    ('y=2x+1', '2x+1'), ('5\\text{ cm}', '5'), ('5', '5 cm'), ('5', '5\\,\\text{cm}'),
    ('5\\text{ cm}', '5 \\text{ centimeters}'), ('12\\text{ square units}', '12\\text{ units}^2'),
    ('16\\pi\\text{ cm}^2', '16\\pi'), ('\\text{Monday}', 'Monday'), ('\\text{Monday}', 'monday'), ('(B)', 'B'),
    ('\\text{B}', '(B)'), ('\\textbf{(B)}', 'B'), ('even', '\\text{even}'),
    ('-3 \\pm \\sqrt{2}', '-3+\\sqrt2, -3-\\sqrt2'), ('\\pm 3', '-3, 3'), ('0.1', '10\\%'), ('50\\%', '\\frac12'),
    ('3:4', '3:4'), ('\\begin{pmatrix}1\\\\2\\end{pmatrix}', '\\begin{bmatrix}1\\\\2\\end{bmatrix}'),
    ('\\frac{a}{b}', 'a/b'), ('2ab', '2ba'), ('1.5\\times10^{-3}', '0.0015'), ('1.5\\times10^{-3}', '1.5e-3'),
    ('\\frac{3\\sqrt{5}}{2}', '1.5\\sqrt{5}'), ('\\$5.50', '5.50'), ('5.50', '5.5'), ('5.5', '\\$5.50'), ('€5', '5'),
    ('1/2 , 1/3', '\\frac13,\\frac12'), ('x^2+y^2=4', 'x^2 + y^2 - 4 = 0'), ('3x+2y=6', 'y = 3 - \\frac{3}{2}x'),
    ('\\emptyset', '\\varnothing'), ('\\infty', 'infinity'), ('-\\infty', '-inf'),
    ('\\text{no solution}', 'no solution'), ('\\mathbb{R}', '\\mathbb{R}'), ('(-\\infty,\\infty)', '\\mathbb{R}'),
    ('1 \\le x \\le 2', 'x \\in [1,2]'), ('x \\in [1,2]', '1 \\le x \\le 2'), ('f(x)=x^2', 'x^2'), ('2+3i', '3i+2'),
    ('\\overline{AB}', '\\overline{AB}'), ('A', 'A.'), ('10^6', '1,000,000'), ('1000000', '10^6'),
    ('1\\frac12', '1.5'), ('2\\frac{1}{3}', '7/3'), ('7\\text{ hours}', '7 hours'), ('3x^2', '3*x^2'),
    ('3x^2', '3x**2'), ('\\sqrt[3]{2}', '2^{1/3}'), ('x^{1/2}', '\\sqrt{x}'), ('6\\text{ and }8', '8, 6'),
    ('6 and 8', '6,8'), ('12', '12 \\text{ (twelve)}'), ('\\frac{\\sqrt{3}}{2}', '0.8660254'),
    ('1.41421356', '\\sqrt{2}'), ('(x-1)(x+2)', '(x+2)(x-1)'), ('52_8', '52_{8}'), ('52_8', '52_{\\text{eight}}'),
    ('11_2', '11_{(2)}'), ('n(n+1)/2', '\\frac{n^2+n}{2}'), ('2^{n+1}-2', '2(2^n-1)'), ('\\arctan 2', '\\tan^{-1} 2'),
    ('|x|', '\\sqrt{x^2}'), ('(0,1),(1,0)', '(1,0),(0,1)'), ('(0,1),(1,0)', '\\{(0,1),(1,0)\\}'),
    ('x=1,y=2', '(1,2)'), ('(1,2)', 'x=1,y=2'), ('x=1,y=2', 'y=2,x=1'), ('x=1 \\text{ or } x=2', '1, 2'),
    ('\\frac{1}{3}', '\\dfrac{2}{6}'), ('.5', '0.5'), ('80\\%', '80'), ('-\\frac{1}{2}', '\\frac{-1}{2}'),
    ('-\\frac{1}{2}', '\\frac{1}{-2}'), ('\\frac{\\pi}{4}', '\\pi / 4'), ('3\\cdot 10^8', '3e8'), ('1,000', '1000'),
    ('6\\pi-9', '-9+6\\pi'), ('\\cos(2x)', '2\\cos^2(x)-1'), ('(\\frac{1}{2},3)', '(0.5,3)'),
    ('[\\frac{1}{2},3)', '[0.5,3)'), ('1+\\sqrt{2}', '\\sqrt{2}+1'), ('5-2\\sqrt6', '(\\sqrt3-\\sqrt2)^2'),
    ('m\\angle A=30', '30'), ('30^\\circ', '\\angle A = 30^\\circ'), ('\\text{(A) } 5', 'A'), ('1001_2', '1001_2'),
    ('(-1,2)\\cup(3,4)', '(3,4)\\cup(-1,2)'), ('x\\neq 2', 'x \\ne 2'), ('3\\%', '3\\text{ percent}'),
    ('3\\%', '3 percent'), ('1/3', '0.3333333'), ('10\\sqrt{3}\\text{ cm}', '10\\sqrt{3}'), ('2x-3y', '-3y+2x'),
    ("f'(x)", "f'(x)"), ('\\frac{x+1}{x-1}', '1+\\frac{2}{x-1}'), ('8\\text{ m/s}', '8'), ('9.8 m/s^2', '9.8'),
    ('\\left(\\frac{1}{2}\\right)^n', '2^{-n}'), ('-1', '-1.'), ('\\text{Yes}', 'Yes.'),
    ('{-2021, 2021}', '\\pm 2021'),
]  # fmt: skip

DIFFERENT = [
    ("x \\in [-2,7]", "b \\in [-2,7]"),
    ('\\frac{1}{2^{99}}', '\\frac{1}{2^{98}}'), ('0.0000001', '0.0000002'), ('10^{-20}', '10^{-21}'),
    ('10^{-20}', '0'), ('\\frac{1}{100!}', '\\frac{1}{101!}'), ('4t', '4'), ('4', '4t'), ('4m', '4'), ('3x', '3'),
    ('5s', '5'), ('7h', '7'), ('a+b+c', 'a+b+d'), ('x+y+g', 'x+y'), ('\\sin^2 t', '\\sin^2 m'),
    ('\\cos^2 s', '\\cos^2 t'), ('odd', 'dod'), ('east', 'eats'), ('52_8', '52_9'), ('52_8', '53'),
    ('101_2', '101_3'), ('1,2,\\ldots,n', '2,4,\\ldots,2n'), ('1,3,5,\\dots', '1,2,3,\\dots'), ('(1,2)', '[1,2]'),
    ('(1,2)', '(2,1)'), ('[1,2)', '(1,2]'), ('\\{1,2\\}', '\\{1,3\\}'), ('x>3', 'x<3'), ('x>3', 'x\\ge 3'),
    ('x<1 \\text{ or } x>2', 'x<1 \\text{ and } x>2'), ('x^2=-1', 'x^2=-2'), ('x^2+1=0', 'x^2+3=0'),
    ('y=2x+1', 'y=2x+2'), ('x=3', 'y=3'), ('5\\text{ cm}', '5\\text{ m}'), ('5\\text{ cm}', '6\\text{ cm}'),
    ('5\\text{ cm}', '5\\text{ km}'), ('\\text{even}', '\\text{odd}'), ('2\\text{ if }n\\text{ even}', '2'),
    ('n \\text{ is even}', 'n'), ('\\sqrt{x^2}', 'x'), ('|x|', 'x'), ('x', '-x'), ('2x', '2y'), ('xy', 'xz'),
    ('f(x)', 'g(x)'), ('1.5', '1.4999'), ('3.14159', '3.14160'), ('0.333333', '0.333334'), ('\\pi', '3.14'),
    ('\\pi', '22/7'), ('\\sqrt{2}', '1.414'), ('1/3', '0.33'), ('100', '1'), ('0.5\\%', '50\\%'), ('3:4', '4:3'),
    ('3:4', '6:9'), ('x=1,y=2', 'x=2,y=1'), ('p=5,q=7;p=2,q=3', 'p=5,q=3;p=2,q=7'), ('(1,2),(3,4)', '(1,4),(3,2)'),
    ('1,2', '1,2,2'), ('1,2', '1'), ('1', '1,2'), ('\\pm 3', '3'), ('-3', '3'), ('2\\sqrt{3}', '3\\sqrt{2}'),
    ('\\begin{pmatrix}1\\\\2\\end{pmatrix}', '\\begin{pmatrix}2\\\\1\\end{pmatrix}'), ('1 1/4', '11/4'),
    ('11/4', '1 1/4'), ('12', '1 2'), ('12', '1,2'), ('1000', '1,00'), ('5050', '50 50'), ('x^2+1', 'x^2+1+10^{-30}'),
    ('A', 'B'), ('ABC', 'ABD'), ('\\text{Monday}', '\\text{Sunday}'), ('e^{16}-1', 'e^{16}'),
    ('10^{50}', '10^{50}+1'), ('2^{200}', '2^{200}+1'), ('\\sqrt{10^{40}+1}', '10^{20}'),
    ('\\forall x, f(x)=0', 'f(x)=0'), ('x', '\\forall x'), ('(2,\\infty)', '[2,\\infty)'),
    ('\\frac{x^2-1}{x-1}', 'x-1'), ('\\log 2', '\\ln 2'), ('3 \\text{ million}', '3'), ('5 \\text{ dozen}', '5'),
    ('\\infty', '-\\infty'), ('2^{n}', '2^{m}'), ('n^2', 'n^3'), ('\\frac{n}{m}', '\\frac{m}{n}'),
    ('25', 'x^2+y^2=25'), ('0', 'x=0.1'), ('1', '1+i'), ('i', '-i'), ('2i', '2'), ('x_1', 'x_2'), ('a_n', 'a_{n+1}'),
    ('30', '30 or 40'), ('30', '__import__("os").system("x")'), ('3', '3\\uparrow 4'), ('3', '3 \\pmod 5'),
    ('3 \\pmod 5', '3 \\pmod 7'), ('10', '1 0'), ('6', '3!!'), ('\\text{3 and 4}', '3'),
    ('\\text{Carla}', '\\text{Clara}'), ('neither', 'either'), ('not unique', 'unique'),
    ('\\text{no}', '\\text{yes}'), ('x \\neq 3', 'x=3'), ('x\\le 3', 'x<3'), ('x^2', 'x^2+0.0000001'),
    ('\\sin x', '\\sin 2x'), ('\\frac{1}{3}', '3'), ('\\emptyset', '0'), ('[0,1]', '\\{0,1\\}'),
    ('(0,1)', '\\{0,1\\}'), ('(1,2)', '\\{1,2\\}'), ('y=x^2', 'x=y^2'), ('2x+3=0', '2x+3'), ('x=y', 'x=-y'),
    ('2 \\pm 3', '2 \\pm 4'), ('100', '10^{2.01}'), ('0.1', '0.10001'), ('16386.16', '16386.2'),
    ('16386.16', '16386'), ('1\\text{ hour}', '1\\text{ minute}'), ('C', '(D)'), ('ab', 'ac'), ('5x=10', '2'),
    ('52_8', '52_{10}'), ('\\overline{AB}', '\\overline{AC}'), ('\\frac{2}{3}', '\\frac{3}{2}'),
    ('0.\\overline{36}', '0.36'), ('0.\\overline{3}', '0.3'), ('\\sqrt{-1}', '1'), ('\\sqrt[3]{2}', '\\sqrt{2}'),
    ('x', '2x'), ('1-\\frac1e', '1-\\frac1\\pi'), ('\\gcd(a,b)', '\\gcd(a,c)'), ('n', 'N+1'), ('9', '9^{9}'),
    ('\\lfloor x \\rfloor', 'x'), ('\\lceil x \\rceil', '\\lfloor x \\rfloor'), ('\\vec{a}', '\\vec{b}'),
    ('a \\cdot b', 'a+b'), ('50\\%', '5'), ('2.0000001', '2'), ('\\frac{2}{\\ln 2}', '\\frac{2}{\\ln 1}'),
    ('f(x)=1,f(x)=0,f(x)=x', 'f(x)=1,f(s)=0,f(x)=x'), ('7:55\\text{ p.m.}', '7:55\\text{ a.m.}'),
    ('-80\\leq g(x)\\leq 82', '-80\\leq y(x)\\leq 82'), ('(6,235)', '(6235)'), ("f'(x)", 'f(x)'), ("x''", "x'"),
    ('\\gcd(a,b)', '\\gcd(a,d)'), ('x', '-2 \\\\le x'),
]  # fmt: skip


def verdict(gold: str, answer: str, percent: PercentPolicy = "any", base: BasePolicy = "optional") -> str:
    return compare(
        normalise(gold),
        normalise(answer),
        AnswerConventions(percent=percent, base_subscript=base, unevaluated="rejected"),
    )


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_same(gold: str, answer: str) -> None:
    assert verdict(gold, answer) == "right"


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_different(gold: str, answer: str) -> None:
    assert verdict(gold, answer) != "right"


@pytest.mark.parametrize(
    ("policy", "number", "value"),
    [("strict", False, False), ("number", True, False), ("value", False, True), ("any", True, True)],
)
def test_percent_is_a_policy(policy: PercentPolicy, number: bool, value: bool) -> None:
    assert verdict(r"28\%", "28%", policy) == "right"
    assert (verdict(r"28\%", "28", policy) == "right") is number
    assert (verdict(r"28\%", "0.28", policy) == "right") is value
    assert (verdict("0.28", r"28\%", policy) == "right") is value


def test_a_base_may_be_left_out_but_not_be_wrong() -> None:
    assert verdict("52_8", "52") == "right"
    assert verdict("52_8", "52", base="required") == "wrong"
    assert verdict("52_8", "52_9") == "wrong"
    assert verdict("52", "52_8") == "wrong"


@pytest.mark.parametrize("answer", [r"\foo{3", "3 3 {", r"\frac{1}", "1+*/"])
def test_what_cannot_be_read_is_unparsable(answer: str) -> None:
    assert verdict("x+1", answer) == "unparsable"
