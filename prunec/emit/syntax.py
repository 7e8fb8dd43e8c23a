"""Syntax: what ruff's formatter asks of an expression before it decides where to break it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

ATTRIBUTE, CONDITIONAL = 1, 12
SYMBOLS: dict[type[ast.AST], tuple[str, int]] = {
    ast.Pow: ("**", 2),
    ast.Mult: ("*", 4),
    ast.MatMult: ("@", 4),
    ast.Div: ("/", 4),
    ast.FloorDiv: ("//", 4),
    ast.Mod: ("%", 4),
    ast.Add: ("+", 5),
    ast.Sub: ("-", 5),
    ast.LShift: ("<<", 6),
    ast.RShift: (">>", 6),
    ast.BitAnd: ("&", 7),
    ast.BitXor: ("^", 8),
    ast.BitOr: ("|", 9),
    ast.Eq: ("==", 10),
    ast.NotEq: ("!=", 10),
    ast.Lt: ("<", 10),
    ast.LtE: ("<=", 10),
    ast.Gt: (">", 10),
    ast.GtE: (">=", 10),
    ast.Is: ("is", 10),
    ast.IsNot: ("is not", 10),
    ast.In: ("in", 10),
    ast.NotIn: ("not in", 10),
    ast.And: ("and", 11),
    ast.Or: ("or", 11),
}
"""How operators are written and how weakly they bind."""

UNARY: dict[type[ast.AST], str] = {
    ast.UAdd: "+",
    ast.USub: "-",
    ast.Invert: "~",
    ast.Not: "not ",
}
INVERSION = 3
CHAINS = (ast.Attribute, ast.Call, ast.Subscript)
BINARY = (ast.BinOp, ast.Compare, ast.BoolOp)


class Needs(Enum):
    """What a value that ends a statement asks for: parentheses around it, when it is too long."""

    NOTHING = auto()
    IF_LONG = auto()
    IF_THAT_HELPS = auto()


class Source:
    """One line of source; answers for the nodes of its tree."""

    def __init__(self, text: str) -> None:
        self._data = text.encode()

    def text(self, node: ast.AST) -> str:
        start, end = _span(node)
        return self._data[start:end].decode()

    def wrapped(self, node: ast.expr) -> bool:
        """Whether there are parentheses around an expression that is not a sole argument."""
        start, end = _span(node)
        before, after = self._data[:start].rstrip(), self._data[end:].lstrip()
        return before.endswith(b"(") and after.startswith(b")")

    def wrapped_alone(self, call: ast.Call) -> bool:
        """Whether a sole argument has parentheses of its own."""
        _, end = _span(call.args[0])
        return self._data[end : _span(call)[1]].count(b")") > 1

    def bracketed(self, node: ast.Tuple | ast.GeneratorExp) -> bool:
        """Whether a tuple is written in parentheses."""
        if isinstance(node, ast.Tuple) and not node.elts:
            return True
        first = node.elts[0] if isinstance(node, ast.Tuple) else node.elt
        (start, _), (inner, end) = _span(node), _span(first)
        after = self._data[end:]
        closed = len(after) - len(after.lstrip(b")"))
        return self._data[start:inner].count(b"(") > closed

    def brackets(self, node: ast.expr) -> bool | None:
        """Whether there is something in a node's own brackets; None where it has none."""
        match node:
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.Subscript():
                return True
            case ast.List(elts=found) | ast.Set(elts=found):
                return bool(found)
            case ast.Tuple(elts=found) if self.bracketed(node):
                return bool(found)
            case ast.Dict(values=found):
                return bool(found)
            case ast.Call(args=args, keywords=keywords):
                return bool(args or keywords)
            case _:
                return None

    def needs(self, node: ast.expr) -> Needs:
        match node:
            case ast.Attribute() | ast.Call() | ast.Subscript():
                inner = node.func if isinstance(node, ast.Call) else node.value
                if self.fluent(node):
                    return Needs.IF_LONG
                return Needs.NOTHING if self.wrapped(inner) else self.needs(inner)
            case ast.Name() | ast.Constant():
                return Needs.IF_THAT_HELPS
            case ast.BinOp() | ast.Compare() | ast.BoolOp() | ast.IfExp() | ast.Starred():
                return Needs.IF_LONG
            case ast.UnaryOp(operand=operand):
                return Needs.NOTHING if self.wrapped(operand) else self.needs(operand)
            case _:
                return Needs.NOTHING

    def fluent(self, node: ast.expr) -> bool:
        """Whether a chain has two or more attributes of calls; such chains break at the dots."""
        count = 0
        while isinstance(node, CHAINS):
            inner = node.func if isinstance(node, ast.Call) else node.value
            if self.wrapped(inner):
                count += isinstance(node, ast.Attribute)
                break
            count += isinstance(node, ast.Attribute) and isinstance(inner, ast.Call | ast.Subscript)
            node = inner
        return count > 1

    def opens(self, node: ast.expr) -> bool:
        """Whether a long expression may break in its own brackets, without others around it."""
        seen = _Seen(self)
        seen.inside(node)
        if not seen.brackets or seen.count > 1:
            return False
        if seen.strongest <= ATTRIBUTE:
            return True
        return any(e is not None and self._encloses(e) for e in (seen.last, seen.first))

    def _encloses(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Subscript):
            return False
        return self.brackets(node) is True or self.wrapped(node)


@dataclass
class _Seen:
    """Looks for the weakest operators outside of brackets, and at the two ends."""

    source: Source
    brackets: bool = False
    strongest: int = 0
    count: int = 0
    last: ast.expr | None = None
    first: ast.expr | None = None
    begun: bool = False

    def visit(self, node: ast.expr) -> None:
        self.last = node
        if self.source.wrapped(node):
            self.brackets = True
        else:
            self.inside(node)
        if not self.begun:
            self.first, self.begun = node, True

    def inside(self, node: ast.expr) -> None:
        match node:
            case ast.Call(func=inner) | ast.Subscript(value=inner):
                self.brackets = True
                self.visit(inner)
                self.last = node
            case ast.Attribute(value=inner):
                self.visit(inner)
                if self.source.brackets(inner) is not None or self.source.wrapped(inner):
                    self._operator(ATTRIBUTE, 1)
                self.last = node
            case ast.BinOp(left=left, op=op, right=right):
                self._operator(SYMBOLS[type(op)][1], 1)
                self.visit(left)
                self.visit(right)
            case ast.BoolOp(op=op, values=values):
                self._operator(SYMBOLS[type(op)][1], len(values) - 1)
                for value in values:
                    self.visit(value)
            case ast.Compare(left=left, ops=ops, comparators=others):
                self._operator(SYMBOLS[type(ops[0])][1], len(ops))
                for value in (left, *others):
                    self.visit(value)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self._operator(CONDITIONAL, 2)
                for value in (body, test, orelse):
                    self.visit(value)
            case ast.UnaryOp(op=op, operand=operand):
                if isinstance(op, ast.Invert):
                    self._operator(INVERSION, 1)
                self.begun = True
                self.visit(operand)
            case ast.Starred(value=value):
                self.begun = True
                self.visit(value)
            case ast.Tuple(elts=elts) if not self.source.bracketed(node):
                for value in elts:
                    self.visit(value)
            case ast.Name() | ast.Constant():
                pass
            case _:
                self.brackets = True

    def _operator(self, level: int, count: int) -> None:
        if level == self.strongest:
            self.count += count
        elif level > self.strongest:
            self.strongest, self.count = level, count


def flat(source: Source, node: ast.expr) -> Iterator[ast.expr | ast.AST]:
    """Operands and operators in turn, those of inner operations without parentheses included."""
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            row: list[ast.AST] = [left, op, right]
        case ast.Compare(left=left, ops=ops, comparators=others):
            row = [left, *(x for pair in zip(ops, others, strict=True) for x in pair)]
        case ast.BoolOp(op=op, values=values):
            row = [values[0], *(x for value in values[1:] for x in (op, value))]
        case _:
            raise TypeError(node)
    for part in row:
        if isinstance(part, BINARY) and not source.wrapped(part):
            yield from flat(source, part)
        else:
            yield part


def _span(node: ast.AST) -> tuple[int, int]:
    return node.col_offset, node.end_col_offset  # type: ignore[attr-defined]
