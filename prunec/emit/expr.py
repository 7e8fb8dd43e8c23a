"""Expressions: Python text with its binding strength, and the literals in it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from prunec.ir.graph import Argument, Device, InTraining, Ref, TorchName, WeightRef

CONDITION, NOT, COMPARE, OR, XOR, AND, SHIFT, SUM, PRODUCT, UNARY, ATOM = range(-2, 9)
"""Python's binding strengths, weakest first."""

Bracket = Literal["()", "[]", "{}"]


@dataclass(frozen=True, slots=True)
class Expr:
    """One Python expression on a single line; ``level`` says when it needs parentheses.

    A call or display keeps ``head`` and ``items``.
    """

    text: str
    level: int = ATOM
    head: str = ""
    items: tuple[Expr, ...] = field(default=())
    bracket: Bracket | None = None

    def at(self, level: int) -> str:
        """The text, in parentheses where an operator of this level would tear it apart."""
        return self.text if self.level >= level else f"({self.text})"

    def __str__(self) -> str:
        return self.text


class LiftedInt(int):
    """A number that its class keeps as an attribute; equal to nothing but the same attribute."""

    source: str

    def __new__(cls, value: int, source: str) -> LiftedInt:
        made = super().__new__(cls, value)
        made.source = source
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LiftedInt) and other.source == self.source

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.source)


class LiftedFloat(float):
    """As `LiftedInt`."""

    source: str

    def __new__(cls, value: float, source: str) -> LiftedFloat:
        made = super().__new__(cls, value)
        made.source = source
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LiftedFloat) and other.source == self.source

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.source)


class Lowest(float):
    """The least number of a dtype, written as that."""

    dtype: str

    def __new__(cls, value: float, dtype: str) -> Lowest:
        made = super().__new__(cls, value)
        made.dtype = dtype
        return made


def call(head: str, items: Iterable[Expr]) -> Expr:
    """``head(item, ...)``."""
    return _bracketed(head, tuple(items), "()")


def display(items: Iterable[Expr], bracket: Bracket = "[]") -> Expr:
    """A list, a dict (whose items are `pair`s) or a tuple."""
    return _bracketed("", tuple(items), bracket)


def named(name: str, value: Expr) -> Expr:
    """A keyword argument."""
    return _prefixed(f"{name}=", value)


def pair(key: str, value: Expr) -> Expr:
    """One entry of a dict."""
    return _prefixed(f"{quote(key)}: ", value)


def binary(operator: str, level: int, left: Expr, right: Expr) -> Expr:
    """``left operator right``; comparisons do not chain."""
    stronger = level + 1
    first = left.at(stronger if level == COMPARE else level)
    return Expr(f"{first} {operator} {right.at(stronger)}", level)


def literal(value: Argument) -> Expr:
    """A plain value as Python spells it; sequences become tuples."""
    match value:
        case LiftedInt() | LiftedFloat():
            return Expr(value.source)
        case str():
            return Expr(quote(value))
        case float() if not math.isfinite(value):
            return call("float", [Expr(quote(str(value)))])
        case bool() | None:
            return Expr(repr(value))
        case int() | float():
            return Expr(repr(value).replace("e+", "e"), ATOM if value >= 0 else UNARY)
        case tuple():
            return display(map(literal, value), "()")
        case TorchName(name=name):
            return Expr(f"torch.{name}")
        case Device(name=name):
            return call("torch.device", [Expr(quote(name))])
        case InTraining(p=p):
            return Expr(f"{literal(p)} if self.training else 0.0", CONDITION)
        case Ref() | WeightRef():
            raise TypeError(f"{value} is not a literal")


def quote(text: str) -> str:
    """A string literal as ruff formats it; whatever does not print is escaped."""
    mark = "'" if '"' in text and "'" not in text else '"'
    return mark + "".join(_escape(c, mark) for c in text) + mark


def _escape(char: str, mark: str) -> str:
    if char in (mark, "\\"):
        return f"\\{char}"
    return char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()


def _bracketed(head: str, items: tuple[Expr, ...], bracket: Bracket) -> Expr:
    inner = ", ".join(i.text for i in items)
    if bracket == "()" and not head and len(items) == 1:
        inner += ","
    return Expr(f"{head}{bracket[0]}{inner}{bracket[1]}", ATOM, head, items, bracket)


def _prefixed(prefix: str, value: Expr) -> Expr:
    return Expr(prefix + value.text, COMPARE, prefix + value.head, value.items, value.bracket)
