"""Classes: one class for all modules that do the same; its constructor takes what differs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from prunec.emit import alike, construct, lift, parameters, show, unify
from prunec.emit.alike import Family, Instance
from prunec.emit.construct import Construct
from prunec.emit.lift import Place
from prunec.emit.lines import Line
from prunec.emit.names import Names
from prunec.emit.parameters import Parameter
from prunec.emit.steps import Model
from prunec.emit.tree import Maybe, Region
from prunec.emit.unify import FORWARD, Site, Unified
from prunec.ir.graph import Argument, Node

MOST = 8
"""A constructor with more parameters than this reads worse than one that is given modules."""

PER_STATEMENT, PER_PARAMETER, PER_CLASS = 40, 15, 400
"""What a statement, a parameter, and another class to know count as characters."""


@dataclass(frozen=True, eq=False)
class Class:
    """A class to be written: constructor, the call that shows its forward, its instances.

    ``names`` are the expressions that fill the holes of the lines; ``attributes`` are numbers that
    the class keeps.
    """

    name: str
    model: Instance
    lines: tuple[Line, ...]
    names: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    attributes: tuple[str, ...]
    region: Region | None
    constructs: Mapping[str, Construct]


def group(model: Model, instances: Sequence[Instance], name: Names) -> Iterator[Class]:
    """Classes for instances, in the order of their first ones.

    Modules that differ in more than numbers share a class where that makes the source shorter. A
    chain that would be the only one of its class is no class: it is written where it is made.
    """
    order = {i.path: n for n, i in enumerate(instances)}
    found: list[tuple[Family, float]] = []
    for family in (part for f in alike.equal(model, instances) for part in _split(model, f)):
        cost = _cost(model, family)
        joined = _cheapest(model, found, family, cost)
        if joined is None:
            found.append((family, cost))
        else:
            number, both, together = joined
            found[number] = both, together
    families = (family for family, _ in found)
    for family in sorted(families, key=lambda f: min(order[m.instance.path] for m in f.members)):
        if not family.model.chain or len(family.members) > 1:
            yield _class(model, family, name(family.model.base))


def _cheapest(
    model: Model, found: Sequence[tuple[Family, float]], family: Family, alone: float
) -> tuple[int, Family, float] | None:
    """The family to join, by number, with both as one; None where it had better stay alone."""
    best: tuple[float, int, Family, float] | None = None
    for number, (other, cost) in enumerate(found):
        both = alike.join(model, other, family)
        if both is None:
            continue
        together = _cost(model, both)
        saved = cost + alone - together
        if saved >= 0 and (best is None or saved > best[0]):
            best = saved, number, both, together
    return None if best is None else best[1:]


def _cost(model: Model, family: Family) -> float:
    """About how many characters a class and the constructions of its instances take."""
    if family.model.chain and len(family.members) == 1:
        return sum(_length(line.value) for line in family.model.lines)
    unified = _fitting(model, family)
    count = len(parameters.columns(unified.sites))
    if count > MOST:
        return math.inf
    cls = _class(model, family, "")
    lines = sum(len(line.prefix) + _length(line.value, cls.names) for line in cls.lines)
    items = 0 if cls.region is None else len(cls.region.items)
    calls = sum(map(_length, cls.constructs.values()))
    return lines + PER_STATEMENT * items + PER_PARAMETER * count + PER_CLASS + calls


def _length(value: Construct | construct.Hole | construct.Text, names: Sequence[str] = ()) -> int:
    return len(show.run(value, names).text)


def single(instance: Instance) -> Class:
    """A class of its own for the model itself."""
    return Class(instance.base, instance, instance.lines, (), (), (), instance.region, {})


def _split(model: Model, family: Family) -> Iterator[Family]:
    """The family, or its parts of equal members where a constructor would take too much."""
    unified = _fitting(model, family)
    if len(parameters.columns(unified.sites)) <= MOST:
        yield family
        return
    equal: dict[object, list[alike.Member]] = {}
    full = unify.run(model, family)
    for number, member in enumerate(family.members):
        values = tuple(s.column[number] for s in full.sites)
        equal.setdefault(values, []).append(member)
    for members in equal.values():
        yield alike.again(members)


def _fitting(model: Model, family: Family) -> Unified:
    """Lines are given as whole modules, those with most parameters first, until few are left."""
    whole: frozenset[int] = frozenset()
    while True:
        unified = unify.run(model, family, whole)
        columns = parameters.columns(unified.sites)
        if len(columns) <= MOST:
            return unified
        own = _own(unified.sites, columns, family)
        own = {line: count for line, count in own.items() if count > 1 and line not in whole}
        if not own:
            return unified
        whole |= {max(own, key=lambda line: (own[line], -line))}


def _own(sites: Sequence[Site], columns: Sequence[Sequence[int]], family: Family) -> dict[int, int]:
    """How many parameters each line alone needs."""
    found: dict[int, int] = {}
    for column in columns:
        lines = {sites[n].line for n in column}
        line = lines.pop()
        known = family.model.lines[line] if 0 <= line < len(family.model.lines) else None
        if not lines and known is not None and known.prefix:
            found[line] = found.get(line, 0) + 1
    return found


def _class(model: Model, family: Family, name: str) -> Class:
    unified = parameters.lean(_fitting(model, family))
    filled = parameters.run(unified, family.model)
    kept = enumerate(zip(unified.sites, filled.names, strict=True))
    attributes = {n: shown for n, (site, shown) in kept if site.line == FORWARD and shown}
    return Class(
        name,
        family.model,
        unified.lines,
        filled.names,
        filled.parameters,
        tuple(dict.fromkeys(attributes.values())),
        _forward(family, unified, attributes),
        {
            m.instance.path: Construct(name, tuple(p.passed(i) for p in filled.parameters))
            if m.instance.layers is None
            else replace(m.instance.layers, callee=name)
            for i, m in enumerate(family.members)
        },
    )


def _test(unified: Unified, flag: int, attributes: Mapping[int, str]) -> str:
    """How a forward asks whether an operator is there: by a number of its own, or by the flag."""
    stand_in = parameters.number_of(unified, flag)
    if stand_in is None or stand_in not in attributes:
        return f"self.{attributes[flag]}"
    return f"self.{attributes[stand_in]} is not None"


def _forward(family: Family, unified: Unified, attributes: Mapping[int, str]) -> Region | None:
    """The model's first call, with attributes in place of what differs."""
    region = family.model.region
    if region is None:
        return None
    numbers: dict[str, dict[Place, Argument]] = {}
    for number, value in unified.written:
        numbers.setdefault(number.node, {})[number.place] = value
    flags: dict[int, str] = {}
    for n, site in enumerate(unified.sites):
        name = attributes.get(n)
        if site.item is not None:
            flags[site.item] = _test(unified, n, attributes)
        elif site.number is not None and name is not None:
            lifted = lift.lifted(site.number.value, f"self.{name}")
            numbers.setdefault(site.number.node, {})[site.number.place] = lifted
    stand_ins = {i: ref for m in family.members for i, ref in m.skips.items()}
    items = [
        lift.apply(item, numbers.get(item.name, {})) if isinstance(item, Node) else item
        for item in region.items
    ]
    for i, flag in flags.items():
        node, stands = items[i], stand_ins[i]
        assert isinstance(node, Node)
        items[i] = Maybe(
            node.name,
            node.op,
            node.args,
            node.kwargs,
            node.type,
            node.scope,
            node.line,
            flag,
            stands,
        )
    return replace(region, items=tuple(items))
