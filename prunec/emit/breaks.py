"""Breaks: where a statement may go on in the next line, as ruff's formatter sees it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from prunec.emit.document import Doc, Fits, Group, IfBreaks, Indent, Line, Opens, Wrap, block, mark
from prunec.emit.syntax import CHAINS, SYMBOLS, UNARY, Needs, Source, flat

SPACE = Line(" ")
ENCLOSED = -1
"""The place of an expression in brackets; a mark is that of parentheses which may not be there, and
None is no brackets at all.
"""

Place: TypeAlias = "int | None"


def statement(node: ast.stmt, text: str) -> Doc | None:
    """The document of a statement that is all of a text; None for kinds that stay whole."""
    try:
        return _Writer(Source(text)).statement(node)
    except NotImplementedError:
        return None


class _Writer:
    """Writes the documents of the nodes of one line."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def statement(self, node: ast.stmt) -> Doc:
        match node:
            case ast.Return(value=ast.Tuple(elts=[_, _, *_] as items)):
                return "return ", self._brackets("(", self._row(items), ")", None)
            case ast.Return(value=ast.expr() as value):
                return "return ", self._last(value)
            case ast.Assign(targets=[target], value=value):
                return self._assigned(target, " = ", value)
            case ast.AugAssign(target=target, op=op, value=value):
                return self._assigned(target, f" {SYMBOLS[type(op)][0]}= ", value)
            case ast.Expr(value=value):
                return self.show(value, None)
            case ast.For(target=target, iter=given):
                return "for ", self._targets(target), " in ", self._last(given), ":"
            case ast.If(test=test):
                return "if ", self._last(test), ":"
            case ast.Raise(exc=ast.expr() as raised, cause=None):
                return "raise ", self._last(raised)
            case ast.FunctionDef(name=name, args=given):
                return self._define(name, given)
            case _:
                raise NotImplementedError

    def _assigned(self, target: ast.expr, sign: str, value: ast.expr) -> Doc:
        """A target that can break does so only where no break in the value helps."""
        before = (self.show(target, None, keep=False), sign)
        splits = isinstance(target, ast.Tuple) or self.source.brackets(target) is not None
        chain = isinstance(value, CHAINS)
        helps = chain and self.source.needs(value) is Needs.IF_THAT_HELPS
        if not splits or not (helps or isinstance(value, ast.Name | ast.Constant)):
            return *before, self._last(value)
        shown = self.show(value, None, keep=False)
        opened = ((*before, Group(shown, open=True)),) if chain else ()
        inside = (*before, Group(block("(", shown, ")"), open=True))
        return Fits(((*before, shown), *opened, inside, (*before, shown)))

    def _last(self, node: ast.expr) -> Doc:
        """The value at the end of a statement, in parentheses where it needs them to break."""
        marked = mark()
        match self.source.needs(node):
            case Needs.NOTHING:
                return self.show(node, None, keep=False)
            case Needs.IF_THAT_HELPS:
                return Wrap(self.show(node, marked, keep=False), marked)
            case Needs.IF_LONG if self.source.opens(node):
                inner = self.show(node, marked, keep=False)
                soft = (IfBreaks("("), Indent((Line(), inner), marked), Line(), IfBreaks(")"))
                return Group(soft, marked)
            case Needs.IF_LONG:
                return _optional(self.show(node, ENCLOSED, keep=False))

    def show(
        self, node: ast.expr, place: Place, *, keep: bool = True, chain: bool | None = None
    ) -> Doc:
        """An expression; ``keep`` leaves its parentheses, ``chain`` is what it is part of."""
        if keep and self.source.wrapped(node):
            return self._brackets("(", self.show(node, ENCLOSED, keep=False), ")", place)
        match node:
            case ast.Name() | ast.Constant():
                return self.source.text(node)
            case ast.Attribute() | ast.Call() | ast.Subscript():
                return self._chain(node, place, chain)
            case ast.BinOp() | ast.Compare() | ast.BoolOp():
                return _group(self._operations(list(flat(self.source, node)), place), place)
            case ast.UnaryOp(op=op, operand=operand):
                return UNARY[type(op)], self.show(operand, place)
            case ast.Starred(value=value):
                return "*", self.show(value, place)
            case ast.IfExp():
                return _group(self._condition(node, place), place)
            case ast.Slice():
                return self._slice(node, place)
            case _:
                return self._display(node, place)

    def _chain(
        self, node: ast.Attribute | ast.Call | ast.Subscript, place: Place, chain: bool | None
    ) -> Doc:
        fluent = place is not None and self.source.fluent(node) if chain is None else chain
        inner = node.func if isinstance(node, ast.Call) else node.value
        wrapped = self.source.wrapped(inner)
        passed = None if isinstance(node, ast.Attribute) and not fluent else fluent
        head = self.show(inner, place, chain=passed if isinstance(inner, CHAINS) else None)
        match node:
            case ast.Call():
                tail: Doc = self._arguments(node, place)
            case ast.Subscript(slice=found):
                tail = self._brackets("[", self._subscript(found), "]", place)
            case ast.Attribute(attr=name):
                own_line = fluent and (wrapped or isinstance(inner, ast.Call | ast.Subscript))
                tail = (Line() if own_line else "", f".{name}")
        return Group((head, tail)) if fluent and chain is None else (head, tail)

    def _arguments(self, node: ast.Call, place: Place) -> Doc:
        given: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
        if not given:
            return "()"
        match given:
            case [ast.GeneratorExp() as sole] if not self.source.wrapped_alone(node):
                row: Doc = self._comprehension(sole.elt, sole.generators)
            case [ast.expr() as sole]:
                doubled = self.source.wrapped_alone(node) and not isinstance(sole, ast.Tuple)
                row = self.show(sole, ENCLOSED, keep=doubled)
            case _:
                ordered = sorted(given, key=lambda n: n.col_offset)
                row = _commas([self._argument(n) for n in ordered])
        return self._brackets("(", Group(row), ")", place)

    def _argument(self, node: ast.expr | ast.keyword) -> Doc:
        if isinstance(node, ast.keyword):
            name = "**" if node.arg is None else f"{node.arg}="
            return name, self.show(node.value, ENCLOSED)
        return self.show(node, ENCLOSED)

    def _subscript(self, node: ast.expr) -> Doc:
        if isinstance(node, ast.Tuple) and not self.source.bracketed(node):
            return Group(self._row(node.elts))
        return self.show(node, ENCLOSED)

    def _slice(self, node: ast.Slice, place: Place) -> Doc:
        parts = (node.lower, node.upper, node.step)
        gap = "" if all(p is None or _is_simple(p) for p in parts) else " "
        lower, upper, step = ("" if p is None else self.show(p, place) for p in parts)
        found: Doc = (lower, gap if node.lower else "", ":", gap if node.upper else "", upper)
        return (found, gap if node.upper else "", ":", gap, step) if node.step else found

    def _condition(self, node: ast.IfExp, place: Place) -> Doc:
        test = (_line(place), "if ", self.show(node.test, place), _line(place), "else ")
        other = node.orelse
        if isinstance(other, ast.IfExp) and not self.source.wrapped(other):
            return self.show(node.body, place), *test, self._condition(other, place)
        return self.show(node.body, place), *test, self.show(other, place)

    def _operations(self, row: Sequence[ast.AST], place: Place) -> Doc:
        """Operands and operators in turn; the weakest operators break first, and together."""
        weakest = max(SYMBOLS[type(op)][1] for op in row[1::2])
        shown: list[Doc] = []
        start = 0
        for at in [i for i in range(1, len(row), 2) if SYMBOLS[type(row[i])][1] == weakest]:
            shown += [self._operand(row[start:at], place), *self._operator(row, at, place)]
            start = at + 1
        return *shown, self._operand(row[start:], place)

    def _operator(self, row: Sequence[ast.AST], at: int, place: Place) -> tuple[Doc, ...]:
        symbol = SYMBOLS[type(row[at])][0]
        if symbol == "**" and _is_simple(row[at - 1]) and _is_simple(row[at + 1]):
            return _line(place, ""), symbol
        return _line(place), f"{symbol} "

    def _operand(self, row: Sequence[ast.AST], place: Place) -> Doc:
        if len(row) == 1:
            assert isinstance(row[0], ast.expr)
            return self.show(row[0], place)
        return _group(self._operations(row, place), place)

    def _display(self, node: ast.expr, place: Place) -> Doc:
        match node:
            case ast.Tuple(elts=items) if not self.source.bracketed(node):
                return _optional(self._row(items))
            case ast.Tuple(elts=[item]):
                return self._brackets("(", (self.show(item, ENCLOSED), ","), ")", place)
            case ast.Tuple(elts=items):
                return self._brackets("(", self._row(items), ")", place) if items else "()"
            case ast.List(elts=items):
                return self._brackets("[", self._row(items), "]", place) if items else "[]"
            case ast.Dict(keys=keys, values=values):
                row = [self._entry(k, v) for k, v in zip(keys, values, strict=True)]
                return self._brackets("{", _commas(row), "}", place) if row else "{}"
            case ast.ListComp(elt=item, generators=found):
                return self._brackets("[", Group(self._comprehension(item, found)), "]", place)
            case ast.DictComp(key=key, value=value, generators=found):
                pair = self._entry(key, value)
                return self._brackets("{", Group(self._each(pair, found)), "}", place)
            case ast.GeneratorExp(elt=item, generators=found):
                return self._brackets("(", Group(self._comprehension(item, found)), ")", place)
            case _:
                raise NotImplementedError

    def _entry(self, key: ast.expr | None, value: ast.expr) -> Doc:
        if key is None:
            return "**", self.show(value, ENCLOSED)
        return Group((self.show(key, ENCLOSED), ": ", self.show(value, ENCLOSED)))

    def _comprehension(self, item: ast.expr, found: Sequence[ast.comprehension]) -> Doc:
        return self._each(self.show(item, ENCLOSED), found)

    def _each(self, item: Doc, found: Sequence[ast.comprehension]) -> Doc:
        rest: list[Doc] = []
        for each in found:
            rest += [SPACE, "for ", self._targets(each.target), " in "]
            rest.append(self.show(each.iter, ENCLOSED))
            for test in each.ifs:
                rest += [SPACE, "if ", self.show(test, ENCLOSED)]
        return Group(item), *rest

    def _targets(self, node: ast.expr) -> Doc:
        return self.source.text(node)

    def _define(self, name: str, given: ast.arguments) -> Doc:
        row = list(self._parameters(given))
        if not row:
            return f"def {name}():"
        comma = IfBreaks(",") if len(row) == 1 else ""
        inner = Group(_commas(row)) if len(row) > 1 else row[0]
        return Group((f"def {name}", block("(", (inner, comma), ")"))), ":"

    def _parameters(self, given: ast.arguments) -> Iterator[Doc]:
        plain: list[ast.expr | None] = [None] * (len(given.args) - len(given.defaults))
        for arg, default in zip(given.args, [*plain, *given.defaults], strict=True):
            yield self._parameter(arg, default)
        if given.vararg or given.kwonlyargs:
            yield f"*{given.vararg.arg if given.vararg else ''}"
        for arg, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
            yield self._parameter(arg, default)
        if given.kwarg:
            yield f"**{given.kwarg.arg}"

    def _parameter(self, arg: ast.arg, default: ast.expr | None) -> Doc:
        return arg.arg if default is None else (f"{arg.arg}=", self.show(default, ENCLOSED))

    def _row(self, items: Sequence[ast.expr]) -> Doc:
        return _commas([self.show(item, ENCLOSED) for item in items])

    def _brackets(self, left: str, inner: Doc, right: str, place: Place) -> Doc:
        if place is None or place == ENCLOSED:
            return Group(block(left, inner, right))
        return left, Opens(Group(block("", inner, right)), place)


def _commas(row: Sequence[Doc]) -> Doc:
    joined = [part for item in row for part in (item, ",", SPACE)][:-2]
    return *joined, IfBreaks(",") if len(row) > 1 else ""


def _optional(inner: Doc) -> Doc:
    """Parentheses where the contents do not fit on the line."""
    return Group((IfBreaks("("), Indent((Line(), inner)), Line(), IfBreaks(")")))


def _group(inner: Doc, place: Place) -> Doc:
    if place is None:
        return inner
    return Group(inner, within=None if place == ENCLOSED else place)


def _line(place: Place, space: str = " ") -> Doc:
    """A break before an operator, which only brackets around it allow."""
    if place is None:
        return space
    return Line(space) if place == ENCLOSED else IfBreaks(Line(space), space, place)


def _is_simple(node: ast.AST) -> bool:
    """A name or a number, or a sign before one."""
    if isinstance(node, ast.UnaryOp):
        return not isinstance(node.op, ast.Not) and _is_simple(node.operand)
    return isinstance(node, ast.Name | ast.Constant)
