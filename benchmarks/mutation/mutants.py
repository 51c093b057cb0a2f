"""Small wrong changes of a source file, one at a time, each as a piece of text that replaces another."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_SWAPPED_OPERATORS: dict[type[ast.AST], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
    ast.Add: ("+", ("-",)),
    ast.Sub: ("-", ("+",)),
    ast.Mult: ("*", ("/",)),
    ast.Div: ("/", ("*",)),
    ast.FloorDiv: ("//", ("/",)),
    ast.Mod: ("%", ("*",)),
    ast.Pow: ("**", ("*",)),
    ast.BitAnd: ("&", ("|",)),
    ast.BitOr: ("|", ("&",)),
    ast.BitXor: ("^", ("&",)),
    ast.LShift: ("<<", (">>",)),
    ast.RShift: (">>", ("<<",)),
    ast.And: ("and", ("or",)),
    ast.Or: ("or", ("and",)),
}
_SWAPPED_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "amin": "amax", "amax": "amin",
                  "ceil": "floor", "floor": "ceil", "minimum": "maximum", "maximum": "minimum"}  # fmt: skip
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Mutant:
    """``before``, at the offset ``start`` of ``file``, becomes ``after``.

    ``lines`` is the statement's; of what runs at import, the function's that it is a default of (None: of no function).
    """

    file: str
    kind: str
    line: int
    start: int
    before: str
    after: str
    lines: tuple[int, int] | None

    def apply(self, source: str) -> str:
        """The mutated file."""
        assert source[self.start :].startswith(self.before)
        return source[: self.start] + self.after + source[self.start + len(self.before) :]

    def change(self, source: str) -> tuple[str, str]:
        """The lines that it touches, as they were and as they are."""
        first = source.rfind("\n", 0, self.start) + 1
        end = self.start + len(self.before)
        last = source.find("\n", end) if "\n" in source[end:] else len(source)
        old = source[first:last]
        new = source[first : self.start] + self.after + source[end:last]
        return old.strip(), new.strip()


def mutants_of(root: Path, file: str) -> list[Mutant]:
    """All of one file, in the order of the text. Messages, annotations, decorators and assertions stay as they are."""
    source = (root / file).read_text(encoding="utf-8")
    found = [one for one in _Finder(file, source).all() if one.before != one.after and _compiles(one, source)]
    return sorted(found, key=lambda one: (one.start, one.after))


def _compiles(mutant: Mutant, source: str) -> bool:
    try:
        ast.parse(mutant.apply(source))
    except SyntaxError:
        return False
    return True


class _Finder:
    def __init__(self, file: str, source: str) -> None:
        self._file, self._source = file, source
        lines = source.splitlines(keepends=True)
        self._encoded = [line.encode() for line in lines]
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line))
        self._lines: tuple[int, int] | None = None

    def all(self) -> Iterator[Mutant]:
        yield from self._block(ast.parse(self._source).body, within=None)

    # ---- text

    def _span(self, node: ast.AST) -> tuple[int, int]:
        def offset(line: int, column: int) -> int:
            return self._starts[line - 1] + len(self._encoded[line - 1][:column].decode())

        assert isinstance(node, (ast.stmt, ast.expr, ast.keyword))
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset)

    def _text(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self._source[start:end]

    def _made(self, kind: str, start: int, end: int, after: str) -> Mutant:
        line = self._source.count("\n", 0, start) + 1
        return Mutant(self._file, kind, line, start, self._source[start:end], after, self._lines)

    def _replaced(self, kind: str, node: ast.AST, after: str) -> Mutant:
        return self._made(kind, *self._span(node), after)

    # ---- statements

    def _statement(self, node: ast.stmt, within: ast.AST | None) -> Iterator[Mutant]:
        """Of a statement and all in it; ``within`` is the function that it stands in."""
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert)) or _is_documentation(node) or _is_log(node):
            return
        if isinstance(node, ast.ClassDef):
            if not any(ast.unparse(base) == "Protocol" for base in node.bases):
                yield from self._block(node.body, within=None)
        elif isinstance(node, _FUNCTIONS):
            self._lines = (node.body[0].lineno, node.end_lineno or node.lineno)
            for default in [*node.args.defaults, *node.args.kw_defaults]:
                if default is not None:
                    yield from self._expression(default)
            yield from self._block(node.body, within=node)
        else:
            yield from self._plain_statement(node, within)

    def _block(self, statements: Iterable[ast.stmt], within: ast.AST | None) -> Iterator[Mutant]:
        for one in statements:
            yield from self._statement(one, within)

    def _plain_statement(self, node: ast.stmt, within: ast.AST | None) -> Iterator[Mutant]:
        body: list[ast.stmt] = getattr(node, "body", [])
        header = max(body[0].lineno - 1, node.lineno) if body else node.end_lineno or node.lineno
        self._lines = (node.lineno, header) if within else None
        yield from self._changed_statement(node)
        if isinstance(node, ast.Raise):
            return  # what an error says is no behaviour
        for name, field in ast.iter_fields(node):
            if name in ("annotation", "targets", "target"):
                continue
            for value in field if isinstance(field, list) else [field]:
                if isinstance(value, ast.expr):
                    yield from self._expression(value)
                elif isinstance(value, ast.withitem):
                    yield from self._expression(value.context_expr)
                elif isinstance(value, ast.ExceptHandler):
                    yield from self._block(value.body, within)
                elif isinstance(value, ast.stmt):
                    yield from self._statement(value, within)

    def _changed_statement(self, node: ast.stmt) -> Iterator[Mutant]:
        if isinstance(node, ast.Return) and node.value is not None and self._text(node.value) != "None":
            yield self._replaced("return None", node, "return None")
        elif isinstance(node, (ast.If, ast.While)) and ast.unparse(node.test) != "TYPE_CHECKING":
            yield self._replaced("negated condition", node.test, f"not ({self._text(node.test)})")
        elif self._lines is not None and _can_be_dropped(node):
            yield self._replaced("dropped statement", node, "pass")
        if isinstance(node, ast.AugAssign):
            yield from self._operator("operator", node.op, self._span(node.target)[1], self._span(node.value)[0])

    # ---- expressions

    def _expression(self, node: ast.expr) -> Iterator[Mutant]:
        if isinstance(node, (ast.JoinedStr, ast.Subscript)) and _is_type(node):
            return
        yield from self._changed_expression(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.keyword):
                if child.arg != "strict":
                    yield from self._expression(child.value)
            elif isinstance(child, ast.comprehension):
                yield from self._expression(child.iter)
                for test in child.ifs:
                    yield self._replaced("negated condition", test, f"not ({self._text(test)})")
                    yield from self._expression(test)
            elif isinstance(child, ast.expr):
                yield from self._expression(child)

    def _changed_expression(self, node: ast.expr) -> Iterator[Mutant]:
        if isinstance(node, ast.Compare):
            sides = pairwise([node.left, *node.comparators])
            for op, (left, right) in zip(node.ops, sides, strict=True):
                yield from self._operator("comparison", op, self._span(left)[1], self._span(right)[0])
        elif isinstance(node, ast.BinOp):
            yield from self._operator("operator", node.op, self._span(node.left)[1], self._span(node.right)[0])
        elif isinstance(node, ast.BoolOp):
            for left, right in pairwise(node.values):
                yield from self._operator("and, or", node.op, self._span(left)[1], self._span(right)[0])
        elif isinstance(node, ast.UnaryOp):
            if isinstance(node.operand, ast.Constant):
                yield from self._constant(node, ast.literal_eval(node))
            else:
                yield self._replaced("dropped not or sign", node, f"({self._text(node.operand)})")
        elif isinstance(node, ast.Constant):
            yield from self._constant(node, node.value)
        elif isinstance(node, ast.IfExp):
            yield self._replaced("negated condition", node.test, f"(not ({self._text(node.test)}))")
        elif isinstance(node, ast.Call):
            yield from self._call(node)

    def _call(self, node: ast.Call) -> Iterator[Mutant]:
        if ast.unparse(node.func) == "isinstance":
            return
        positional = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
        for left, right in pairwise(positional):
            (start, end), (begin, stop) = self._span(left), self._span(right)
            swapped = self._source[begin:stop] + self._source[end:begin] + self._source[start:end]
            yield self._made("swapped arguments", start, stop, swapped)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _SWAPPED_NAMES:
            end = self._span(node.func)[1]
            yield self._made("swapped function", end - len(name), end, _SWAPPED_NAMES[name])

    def _operator(self, kind: str, op: ast.AST, start: int, end: int) -> Iterator[Mutant]:
        if type(op) not in _SWAPPED_OPERATORS:
            return
        token, others = _SWAPPED_OPERATORS[type(op)]
        at = self._source.find(token, start, end)
        if at >= 0:
            for other in others:
                yield self._made(kind, at, at + len(token), other)

    def _constant(self, node: ast.expr, value: object) -> Iterator[Mutant]:
        if isinstance(value, bool):
            yield self._replaced("constant", node, str(not value))
        elif isinstance(value, int):
            yield self._replaced("constant", node, f"{value + 1}")
            yield self._replaced("constant", node, f"({value - 1})" if value < 1 else f"{value - 1}")
        elif isinstance(value, float):
            yield self._replaced("constant", node, repr(value + 1))


def _can_be_dropped(node: ast.stmt) -> bool:
    """Not an assignment to a name: what reads it would fail."""
    if isinstance(node, ast.Assign):
        return not isinstance(node.targets[0], (ast.Name, ast.Tuple))
    return isinstance(node, (ast.Raise, ast.AugAssign, ast.Break, ast.Continue, ast.Delete, ast.Expr))


def _is_documentation(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_log(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node.value).startswith(("log.", "_log."))


def _is_type(node: ast.expr) -> bool:
    names = ("Literal", "Callable", "Generic", "Mapping", "Sequence", "tuple", "list", "dict", "NDArray", "Set")
    return isinstance(node, ast.JoinedStr) or ast.unparse(node).startswith(tuple(f"{name}[" for name in names))
