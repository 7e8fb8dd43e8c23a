"""Unify: the least general constructor of a family, with holes where its members differ.

Constructor lines of all members are compared argument by argument. What agrees is written down;
what differs becomes a hole. Numbers in the forwards are compared in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prunec.emit import alike, schema
from prunec.emit.alike import Family, Member
from prunec.emit.construct import Arg, Construct, Hole, Text, same, token
from prunec.emit.expr import Expr
from prunec.emit.lift import Number
from prunec.emit.lines import Line
from prunec.emit.schema import MISSING
from prunec.emit.steps import Model
from prunec.ir.graph import Node, Ref

ABSENT: Any = object()
"""What a member has for a hole in a part that it leaves out."""

KINDS: Mapping[str, str] = {
    "stride": "stride",
    "kernel_size": "kernel_size",
    "padding": "padding",
    "dilation": "padding",
    "eps": "eps",
    "momentum": "momentum",
    "p": "p",
    "scale": "scale",
    "divisor": "scale",
    "scale_factor": "scale_factor",
    "upscale_factor": "scale_factor",
    "num_heads": "num_heads",
    "pad": "pad",
    "size": "length",
    "length": "length",
    "start": "length",
    "stop": "length",
    "shift": "length",
    "output_size": "length",
}
"""What settings are about, by noun; all others are widths, which may well be the same."""

FORWARD = -1
"""The line of a site that is in the forward."""


@dataclass(frozen=True, eq=False)
class Site:
    """One place where members differ: its line, the values by member, what a parameter is called.

    ``number`` is the place in the model's forward; ``item`` the operator there that a flag is for.
    A ``soft`` site agrees wherever it is: it becomes a parameter of the same noun, or what it is.
    """

    line: int
    values: tuple[Any, ...]
    noun: str
    default: Any = MISSING
    number: Number | None = None
    item: int | None = None
    soft: bool = False

    @property
    def column(self) -> tuple[object, ...]:
        return tuple(map(_token, self.values))

    @property
    def kind(self) -> str:
        """What may be one parameter: sizes, or what has the same name."""
        if any(isinstance(v, bool | Text) for v in self.values):
            return "flag" if self.default is False else self.noun
        return KINDS.get(self.noun, "width")

    @property
    def is_module(self) -> bool:
        return any(isinstance(v, Construct) for v in self.values)

    @property
    def is_partial(self) -> bool:
        return any(v is ABSENT for v in self.values)


@dataclass(frozen=True, eq=False)
class Unified:
    """Lines whose holes are numbered as ``sites``.

    ``written`` are numbers that the forward says where it leaves them out, or None where it leaves
    out what it says.
    """

    lines: tuple[Line, ...]
    sites: tuple[Site, ...]
    written: tuple[tuple[Number, float | None], ...]


def run(model: Model, family: Family, whole: frozenset[int] = frozenset()) -> Unified:
    """Compare a family's members; ``whole`` are lines that are not looked into."""
    heads = _optional(model, family)
    walk = _Walk(family.members, heads, whole)
    lines = tuple(walk.lines())
    written = tuple(_forward(family, walk))
    return Unified(lines, tuple(walk.sites), written)


def _optional(model: Model, family: Family) -> dict[str, frozenset[int]]:
    """Children that some members do without, with the numbers of these members."""
    found: dict[str, set[int]] = {}
    region = family.model.region
    for number, member in enumerate(family.members):
        if region is not None:
            for head in alike.optional_heads(model, region, member.skips):
                found.setdefault(f"{head} = ", set()).add(number)
    return {head: frozenset(members) for head, members in found.items()}


@dataclass
class _Walk:
    """Collects the sites of one family; ``optional[prefix]`` are the members without the line."""

    members: Sequence[Member]
    optional: Mapping[str, frozenset[int]]
    whole: frozenset[int]

    def __post_init__(self) -> None:
        self.sites: list[Site] = []

    def lines(self) -> Iterator[Line]:
        """The lines of the class."""
        first = self.members[0].instance
        plain = 0
        for number, line in enumerate(first.lines):
            if first.chain and number == 0:
                yield from self._chain(line)
            elif line.prefix:
                yield self._line(number, line, list(self._values(line.prefix)))
            else:
                rows = ([o for o in m.instance.lines if not o.prefix] for m in self.members)
                values = [row[plain + first.chain].value for row in rows]
                plain += 1
                yield self._line(number, line, values)

    def _values(self, prefix: str) -> Iterator[Any]:
        without = self.optional.get(prefix, ())
        for i, member in enumerate(self.members):
            known = (line.value for line in member.instance.lines if line.prefix == prefix)
            yield ABSENT if i in without else next(known)

    def _line(self, number: int, line: Line, values: Sequence[Any]) -> Line:
        noun = line.prefix.removeprefix("self.").removesuffix(" = ") or "value"
        known = len(self.sites)
        value: Any = None if number in self.whole else self._join(number, values, noun)
        if value is None or any(s.is_module for s in self.sites[known:]):
            del self.sites[known:]  # a whole module is a better thing to be given than a part of it
            value = self._hole(Site(number, tuple(values), noun))
        return replace(line, value=value, flag=self._flag(number, value, values, noun))

    def _flag(self, number: int, value: Any, values: Sequence[Any], noun: str) -> Hole | None:
        """What says whether a line that some do without is there."""
        present = tuple(v is not ABSENT for v in values)
        if all(present):
            return None
        if isinstance(value, Hole):
            return value
        return self._hole(Site(number, present, noun, False))

    def _chain(self, line: Line) -> Iterator[Line]:
        """Children that all members have go to the constructor, others are appended."""
        rows = [alike.children(m.instance.lines[0]) for m in self.members]
        common = min(map(len, rows))
        assert isinstance(line.value, Construct)
        values = [[row[i] if i < len(row) else ABSENT for row in rows] for i in range(len(rows[0]))]
        joined = [self._join(0, row, _child_noun(row)) for row in values]
        yield Line("", replace(line.value, args=tuple(map(Arg, joined[:common]))))
        for i in range(common, len(joined)):
            flag = self._flag(0, joined[i], values[i], _child_noun(values[i]))
            yield Line("", Construct("self.append", (Arg(joined[i]),)), flag)

    def _join(self, line: int, values: Sequence[Any], noun: str) -> Any:
        """The common part of constructions, or a hole."""
        present = [v for v in values if v is not ABSENT]
        first = present[0]
        if len(present) == len(values) and all(token(v) == token(first) for v in present):
            return first
        if isinstance(first, Text) and all(token(v) == token(first) for v in present):
            return first
        several = len(set(map(token, present))) > 1
        if several and all(isinstance(v, Construct) and v.is_bare for v in present):
            classes = tuple(v if v is ABSENT else Text(Expr(v.callee)) for v in values)
            return replace(self._hole(Site(line, classes, noun)), called=True)
        if not _comparable(present):
            return self._hole(Site(line, tuple(values), noun))
        args = []
        for i, arg in enumerate(first.args):
            row = [ABSENT if v is ABSENT else v.args[i].value for v in values]
            args.append(replace(arg, value=self._argument(line, row, arg, noun)))
        return replace(first, args=tuple(args))

    def _argument(self, line: int, row: Sequence[Any], arg: Arg, noun: str) -> Any:
        present = [v for v in row if v is not ABSENT]
        if all(token(v) == token(present[0]) for v in present):
            if (
                len(present) == len(row)
                or not _is_number(present[0])
                or same(present[0], arg.default)
            ):
                return present[0]
            return self._hole(Site(line, tuple(row), arg.noun, arg.default, soft=True))
        if any(isinstance(v, Construct) for v in present):
            return self._join(line, row, arg.noun or arg.name or noun)
        return self._hole(Site(line, tuple(row), arg.noun or arg.name or noun, arg.default))

    def _hole(self, site: Site) -> Hole:
        self.sites.append(site)
        return Hole(len(self.sites) - 1)

    def add(self, site: Site) -> None:
        """A place in the forward."""
        self.sites.append(site)


def _forward(family: Family, walk: _Walk) -> Iterator[tuple[Number, float | None]]:
    """Add sites for what differs in forwards; yields numbers that are to be written, or not."""
    first = family.members[0]
    region = first.instance.region
    if first.key is None or region is None:
        return
    names = [item.name if isinstance(item, Node) else "" for item in region.items]
    rows = []
    for member in family.members:
        assert member.key is not None
        gone = {names[i] for i in member.skips}
        own = iter(member.key.numbers)
        rows.append([None if n.node in gone else next(own) for n in first.key.numbers])
    for number, column in zip(first.key.numbers, zip(*rows, strict=True), strict=True):
        present = [n for n in column if n is not None]
        if all(n.implied for n in present):
            yield number, None
        elif len({_token(n.value) for n in present}) > 1:
            values = tuple(ABSENT if n is None else n.value for n in column)
            walk.add(Site(FORWARD, values, number.noun, number=number))
        elif any(n.implied for n in present):
            yield number, number.value
    for place, item in enumerate(region.items):
        shown = tuple(place not in m.skips for m in family.members)
        if isinstance(item, Node) and not all(shown) and not _goes_on(family, place):
            walk.add(Site(FORWARD, shown, _flag_noun(item), False, item=place))


def _goes_on(family: Family, place: int) -> bool:
    """Whether an operator's result only serves another that is left out together with it."""
    region = family.model.region
    assert region is not None
    own = region.items[place]
    assert isinstance(own, Node)
    others = {i for m in family.members for i in m.skips if place in m.skips}
    readers = (region.items[i] for i in others - {place})
    return any(isinstance(r, Node) and Ref(own.name) in r.refs() for r in readers)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _flag_noun(node: Node) -> str:
    base = schema.base(node.op)
    return {"add": "residual", "mul": "gated"}.get(base, base)


def _comparable(values: Sequence[Any]) -> bool:
    """Whether constructions differ in their arguments only."""

    def head(value: Any) -> object:
        if not isinstance(value, Construct):
            return None
        return value.callee, value.form, value.keys, tuple(a.name for a in value.args)

    first = head(values[0])
    return first is not None and all(head(v) == first for v in values)


def _child_noun(values: Sequence[Any]) -> str:
    """What a child of a chain is called."""
    made = [v for v in values if isinstance(v, Construct)]
    if any(alike.species(v) != "plain" for v in made):
        return "layer"
    return "activation" if len({v.callee for v in made}) > 1 else made[0].callee.rpartition(".")[2]


def _token(value: Any) -> object:
    return "absent" if value is ABSENT else token(value)
