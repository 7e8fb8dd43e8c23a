"""Amounts: shares of a whole, counts, bytes and times."""

from __future__ import annotations

from decimal import Decimal
from math import ceil, floor
from typing import Literal, TypeAlias, assert_never

from pydantic import Field

from prunec.diagnostics import Diagnostic
from prunec.grammar import tree
from prunec.spec.metrics import QUANTITIES, Quantity
from prunec.spec.node import Node
from prunec.spec.values import known_unit


class Count(Node):
    """An absolute amount."""

    value: int = Field(ge=0)

    def at_most(self, whole: int) -> int:
        """The amount, whatever the whole is."""
        return self.value

    def at_least(self, whole: int) -> int:
        """The amount, but not more than the whole."""
        return min(self.value, whole)

    def as_json(self) -> int:
        return self.value

    def __str__(self) -> str:
        for unit, scale in (("G", 10**9), ("M", 10**6), ("K", 10**3)):
            if self.value >= scale and self.value % scale == 0:
                return f"{self.value // scale}{unit}"
        return f"{self.value:_}"


class Measure(Node):
    """An absolute amount of bytes, or of time in nanoseconds; ``value`` is exact as written."""

    value: Decimal = Field(ge=1)
    quantity: Literal["bytes", "time"]

    def at_most(self, whole: int) -> int:
        """The whole bytes or nanoseconds of the amount, whatever the whole is."""
        return floor(self.value)

    def at_least(self, whole: int) -> int:
        """The fewest bytes or nanoseconds that are no less, but not more than the whole."""
        return min(ceil(self.value), whole)

    def as_json(self) -> int:
        return floor(self.value)

    def __str__(self) -> str:
        """In the unit that says it shortest and leaves one or more, the larger of equals."""
        scales = QUANTITIES[self.quantity]
        smallest = next(iter(scales))
        fit = [u for u, scale in scales.items() if self.value >= scale] or [smallest]
        texts = [f"{_plain(self.value / scales[unit])}{unit}" for unit in reversed(fit)]
        return min(texts, key=len)


class Share(Node):
    """A share of a whole, in exact percent."""

    percent: Decimal = Field(gt=0, le=100)

    def at_most(self, whole: int) -> int:
        """The largest integer that is no more than the share."""
        return floor(self.percent * whole / 100)

    def at_least(self, whole: int) -> int:
        """The smallest integer that is no less than the share."""
        return ceil(self.percent * whole / 100)

    def as_json(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{_plain(self.percent)}%"


Amount: TypeAlias = Count | Measure | Share

SMALLEST: dict[Quantity, str] = {
    "count": "an absolute amount is a whole number from 1 up; a share is written with `%`",
    "bytes": "an absolute amount is 1B or more; a share is written with `%`",
    "share": "a share lies above 0% and goes up to 100%",
    "time": "a time is a nanosecond, `0.001us`, or more; a share is written with `%`",
}


def read(given: tree.Number, quantity: Quantity, faults: list[Diagnostic]) -> Amount | None:
    """The amount that a number means, or None with the reason among ``faults`` (P0207, P0210)."""
    scales = QUANTITIES[quantity]
    if not known_unit(given, (*scales, "%"), faults):
        return None
    amount = _share(given) if given.unit == "%" else _absolute(given, quantity)
    if amount is None:
        hint = SMALLEST["share" if given.unit == "%" else quantity]
        message = "this amount is impossible"
        faults.append(Diagnostic("P0210", message, span=given.span, help=hint))
    return amount


def _share(given: tree.Number) -> Share | None:
    possible = 0 < given.value <= 100
    return Share(span=given.span, percent=given.value) if possible else None


def _absolute(given: tree.Number, quantity: Quantity) -> Count | Measure | None:
    exact = given.value * QUANTITIES[quantity][given.unit]
    if exact < 1:
        return None
    match quantity:
        case "bytes" | "time":
            return Measure(span=given.span, value=exact, quantity=quantity)
        case "count":
            whole = exact == exact.to_integral_value()
            return Count(span=given.span, value=int(exact)) if whole else None
        case "share":
            return None
        case _:
            assert_never(quantity)


def _plain(value: Decimal) -> str:
    """A number without exponent and trailing zeros."""
    return f"{value.normalize():f}"
