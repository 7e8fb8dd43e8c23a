"""Tables: runs of like constructions in a list, as one construction and a table of what differs.

``*[Block(32, width, 32) for width in (14, 9, 20, 7)]`` shows widths better than four lines do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from prunec.emit.construct import Arg, Construct, Hole, same, token

LISTS = frozenset({"nn.Sequential", "nn.ModuleList", "super().__init__"})

FEWEST = 4
"""A shorter run is better written out."""


@dataclass(frozen=True)
class Table:
    """Constructions that differ in one setting at most, by number: the first, the values of all.

    ``noun`` is what the values are called.
    """

    first: Construct
    number: int | None
    noun: str
    values: tuple[int, ...]

    def fill(self, hole: int) -> Construct:
        """The construction with a hole where it differs."""
        if self.number is None:
            return self.first
        args = list(self.first.args)
        args[self.number] = replace(args[self.number], value=Hole(hole))
        return replace(self.first, args=tuple(args))


def of(container: Construct) -> Iterator[Arg | Table]:
    """The arguments of a container of modules, like ones in a row as tables."""
    if container.callee not in LISTS:
        yield from container.args
        return
    for kind, run in groupby(container.args, key=_kind):
        row = list(run)
        yield from row if kind is None else _tables(row)


def _kind(arg: Arg) -> object:
    """What the arguments of one table have in common: class, and names of their settings."""
    value = arg.value
    if not isinstance(value, Construct) or arg.name is not None:
        return None
    return value.callee, value.form, value.keys, tuple(a.name for a in value.args)


def _tables(run: Sequence[Arg]) -> Iterator[Arg | Table]:
    """Tables for as long as only one size varies."""
    start = 0
    while start < len(run):
        end = start + 1
        while end < len(run) and len(_varying(run[start : end + 1])) <= 1:
            end += 1
        varying = _varying(run[start:end])
        table = _table(run[start:end], varying[0] if varying else None)
        if end - start < FEWEST or table is None:
            yield from run[start:end]
        else:
            yield table
        start = end


def _varying(run: Sequence[Arg]) -> list[int]:
    """The numbers of the settings that differ."""
    columns = zip(*([token(a.value) for a in _made(arg).args] for arg in run), strict=True)
    return [n for n, column in enumerate(columns) if len(set(column)) > 1]


def _table(run: Sequence[Arg], number: int | None) -> Table | None:
    if number is None:
        return Table(_made(run[0]), None, "_", tuple(range(len(run))))
    args = [_made(arg).args[number] for arg in run]
    values = tuple(a.value for a in args if isinstance(a.value, int))
    plain = len(values) == len(args) and not any(isinstance(v, bool) for v in values)
    if not plain or any(same(a.value, a.default) for a in args):
        return None
    return Table(_made(run[0]), number, args[0].noun or args[0].name or "width", values)


def _made(arg: Arg) -> Construct:
    assert isinstance(arg.value, Construct)
    return arg.value
