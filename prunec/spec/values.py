"""Values of the language as Python values: units, whole numbers, lists."""

from __future__ import annotations

from decimal import Decimal
from typing import TypeAlias, assert_never

from prunec.diagnostics import Diagnostic, nearest
from prunec.grammar import tree

Plain: TypeAlias = "None | bool | int | float | str | tuple[Plain, ...]"

UNITS: dict[str, Decimal] = {
    "": Decimal(1),
    "%": Decimal("0.01"),
    "K": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "B": Decimal(1),
    "KiB": Decimal(2**10),
    "MiB": Decimal(2**20),
    "GiB": Decimal(2**30),
    "us": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
}
"""What one of each unit is: a count, a share of one, bytes, or seconds."""
COUNTS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
TIMES = {"us": 10**3, "ms": 10**6, "s": 10**9}
"""Units of a target's amounts, smallest first: in ones, in bytes, in nanoseconds."""


def plain(value: tree.Value, faults: list[Diagnostic]) -> Plain:
    """The Python value. Numbers are int if whole as written, or made whole by ``K``, ``MiB`` and
    the like.
    """
    match value:
        case tree.String() | tree.Constant():
            return value.value
        case tree.Array():
            return tuple(plain(item, faults) for item in value.items)
        case tree.Number():
            return number(value, faults)
        case _:
            assert_never(value)


def number(value: tree.Number, faults: list[Diagnostic]) -> int | float:
    """A number with its unit applied; an unknown unit (P0207) counts as none."""
    if not known_unit(value, tuple(UNITS), faults):
        return float(value.value)
    scaled = value.value * UNITS[value.unit]
    scales = len(value.unit) > 0 and value.unit not in ("%", "us", "ms", "s")
    if (value.whole and value.unit == "") or (scales and scaled == scaled.to_integral_value()):
        return int(scaled)
    return float(scaled)


def show(value: object) -> str:
    """A value as the language writes it."""
    match value:
        case None | bool():
            return str(value).lower()
        case int():
            return f"{value:_}"
        case str():
            return f'"{value}"'
        case _:
            return str(value)


def known_unit(value: tree.Number, legal: tuple[str, ...], faults: list[Diagnostic]) -> bool:
    """Whether a number has one of the legal units; else P0207 is among the faults."""
    if value.unit in legal:
        return True
    named = [unit for unit in legal if unit]
    are = "units here are" if len(named) > 1 else "the unit here is"
    listed = f"{are} {', '.join(f'`{u}`' for u in named)}" if named else "leave it out"
    cases = [unit for unit in named if unit.lower() == value.unit.lower()]
    hint = nearest(value.unit, named) or (f"did you mean `{cases[0]}`?" if cases else listed)
    wrong = "there is no unit" if value.unit not in UNITS else "this number cannot have the unit"
    message = f"{wrong} `{value.unit}`" if value.unit else "this number needs a unit"
    faults.append(Diagnostic("P0207", message, span=value.span, help=hint))
    return False
