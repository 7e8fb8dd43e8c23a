"""Classes: one class for all modules that do the same; its constructor takes what differs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prunec.emit import alike, construct, layout, lift, unify
from prunec.emit.alike import Family, Instance
from prunec.emit.construct import Arg, Construct, Hole, Text
from prunec.emit.expr import Expr, literal
from prunec.emit.lift import Place
from prunec.emit.lines import Line
from prunec.emit.names import is_plain, local
from prunec.emit.schema import MISSING
from prunec.emit.steps import Model
from prunec.emit.tree import Maybe, Region
from prunec.emit.unify import ABSENT, FORWARD, Site, Unified
from prunec.ir.graph import Argument, Node

MOST = 8
"""A constructor with more parameters than this reads worse than one that is given modules."""

NAMELESS = "ItsClass"
"""The name of a class whose cost is asked; all are equally long then."""

PER_STATEMENT, PER_CLASS = 40, 200
"""What a statement of a forward, and another class to know, count as characters."""


@dataclass(frozen=True, eq=False)
class Parameter:
    """A constructor's parameter: what each member passes, and the sites that it fills."""

    name: str
    values: tuple[Any, ...]
    sites: tuple[int, ...]
    default: Any = MISSING


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


class Names:
    """Hands out class names: the wanted one, or with a number where it is taken."""

    def __init__(self, *taken: str) -> None:
        self._taken = set(taken)

    def __call__(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}{number}"
        self._taken.add(name)
        return name


def group(model: Model, instances: Sequence[Instance], name: Names) -> Iterator[Class]:
    """Classes for instances, in the order of their first ones.

    Modules that differ in more than numbers share a class where that makes the source shorter. A
    chain that would be the only one of its class is no class: it is written where it is made.
    """
    order = {i.path: n for n, i in enumerate(instances)}
    found: list[Family] = []
    for family in (part for f in alike.equal(model, instances) for part in _split(model, f)):
        joined = _cheapest(model, found, family)
        if joined is None:
            found.append(family)
        else:
            number, whole = joined
            found[number] = whole
    for family in sorted(found, key=lambda f: min(order[m.instance.path] for m in f.members)):
        if not family.model.chain or len(family.members) > 1:
            yield _class(model, family, name(family.model.base))


def _cheapest(
    model: Model, found: Sequence[Family], family: Family
) -> tuple[int, Family] | None:
    """The family to join, by number, with both as one; None where it had better stay alone."""
    best: tuple[float, int, Family] | None = None
    for number, other in enumerate(found):
        both = alike.join(model, other, family)
        if both is None:
            continue
        saved = _cost(model, other) + _cost(model, family) - _cost(model, both)
        if saved >= 0 and (best is None or saved > best[0]):
            best = saved, number, both
    return None if best is None else best[1:]


def _cost(model: Model, family: Family) -> float:
    """About how many characters a class and the constructions of its instances take."""
    if family.model.chain and len(family.members) == 1:
        return sum(len(construct.render(line.value).text) for line in family.model.lines)
    cls = _class(model, family, NAMELESS)
    if len(cls.parameters) > MOST:
        return math.inf
    items = 0 if cls.region is None else len(cls.region.items)
    body = sum(map(len, constructor(cls))) + PER_STATEMENT * items + PER_CLASS
    return body + sum(len(construct.render(c).text) for c in cls.constructs.values())


def single(instance: Instance) -> Class:
    """A class of its own for the model itself."""
    return Class(instance.base, instance, instance.lines, (), (), (), instance.region, {})


def constructor(cls: Class) -> list[str]:
    """The lines of ``__init__``; none where there is nothing to construct."""
    if not cls.lines and not cls.attributes:
        return []
    lines = layout.define("__init__", _signature(cls.parameters))
    lines += [] if cls.model.chain else ["        super().__init__()"]
    lines += [f"        self.{name} = {name}" for name in cls.attributes]
    for line in cls.lines:
        lines += _statement(line, cls)
    return lines


def _statement(line: Line, cls: Class) -> Iterator[str]:
    shown = construct.render(line.value, cls.names)
    if line.flag is None:
        yield from layout.statement(shown, 2, line.prefix)
        return
    flag = cls.names[line.flag.number]
    boolean = any(
        p.default is False for p in cls.parameters if line.flag.number in p.sites
    )
    test = flag if boolean else f"{flag} is not None"
    if line.prefix and shown.text == flag:
        text = f"nn.Identity() if {flag} is None else {flag}"
        yield from layout.statement(Expr(text), 2, line.prefix)
        return
    if line.prefix:
        yield f"        {line.prefix}nn.Identity()"
    yield f"        if {test}:"
    yield from layout.statement(shown, 3, line.prefix)


def _signature(parameters: Sequence[Parameter]) -> list[str]:
    """``["self", "width", "stride=1"]``."""
    shown = ["self"]
    for p in parameters:
        default = "" if p.default is MISSING else f"={_shown(p.default)}"
        shown.append(f"{p.name}{default}")
    return shown


def _shown(value: Any) -> Expr:
    return construct.render(value) if isinstance(value, Construct | Text) else literal(value)


def _split(model: Model, family: Family) -> Iterator[Family]:
    """The family, or its parts of equal members where a constructor would take too much."""
    unified = _fitting(model, family)
    if len(_columns(unified.sites)) <= MOST:
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
        columns = _columns(unified.sites)
        if len(columns) <= MOST:
            return unified
        own = _own(unified.sites, columns, family)
        own = {line: count for line, count in own.items() if count > 1 and line not in whole}
        if not own:
            return unified
        whole |= {max(own, key=lambda line: (own[line], -line))}


def _own(
    sites: Sequence[Site], columns: Sequence[Sequence[int]], family: Family
) -> dict[int, int]:
    """How many parameters each line alone needs."""
    found: dict[int, int] = {}
    for column in columns:
        lines = {sites[n].line for n in column}
        line = lines.pop()
        known = family.model.lines[line] if 0 <= line < len(family.model.lines) else None
        if not lines and known is not None and known.prefix:
            found[line] = found.get(line, 0) + 1
    return found


def _columns(sites: Sequence[Site]) -> list[list[int]]:
    """Sites by parameter: those that agree for all members; parts may agree with a whole."""
    found: dict[object, list[int]] = {}
    for number, site in enumerate(sites):
        if not site.is_partial:
            key = (number,) if site.is_module else (site.kind, site.column)
            found.setdefault(key, []).append(number)
    for number, site in enumerate(sites):
        if site.is_partial and not site.soft:
            key: object = (number,) if site.is_module else _agreeing(site, sites, found)
            found.setdefault(key, []).append(number)
    for number, site in enumerate(sites):
        if site.soft:
            whole = _fits(site, sites, found)
            whole = [k for k in whole if any(sites[n].noun == site.noun for n in found[k])]
            if whole:
                found[whole[0]].append(number)
    return sorted(found.values())


def _agreeing(site: Site, sites: Sequence[Site], found: Mapping[object, Sequence[int]]) -> object:
    """The column that has the site's values wherever it has one; the same noun goes first."""
    fits = _fits(site, sites, found)
    named = [key for key in fits if any(sites[n].noun == site.noun for n in found[key])]
    return (named or fits or [(site.kind, site.column)])[0]


def _fits(
    site: Site, sites: Sequence[Site], found: Mapping[object, Sequence[int]]
) -> list[object]:
    """Columns of all members that have the site's values wherever it has one."""
    return [
        key
        for key, numbers in found.items()
        if not sites[numbers[0]].is_partial
        and sites[numbers[0]].kind == site.kind
        and all(
            mine in ("absent", other)
            for mine, other in zip(site.column, sites[numbers[0]].column, strict=True)
        )
    ]


def _class(model: Model, family: Family, name: str) -> Class:
    unified = _lean(_fitting(model, family))
    sites, columns = unified.sites, _columns(unified.sites)
    columns = [c for c in columns if not _unused(c, unified)]
    derived = _halves(sites, columns)
    kept = [c for c in columns if c[0] not in derived]
    wanted = _parameter_names(kept, sites, family.model)
    parameters = [_parameter(c, n, sites) for c, n in zip(kept, wanted, strict=True)]
    names = [_literal(site) if site.soft else "" for site in sites]
    for parameter in parameters:
        for number in parameter.sites:
            names[number] = parameter.name
    for number, source in derived.items():
        column = next(c for c in columns if c[0] == number)
        for n in column:
            names[n] = f"{names[source]} // 2"
    parameters.sort(key=lambda p: p.default is not MISSING)
    attributes = {n: names[n] for n, s in enumerate(sites) if s.line == FORWARD and names[n]}
    return Class(
        name,
        family.model,
        unified.lines,
        tuple(names),
        tuple(parameters),
        tuple(dict.fromkeys(attributes.values())),
        _forward(family, unified, attributes),
        {
            m.instance.path: Construct(name, tuple(_pass(p, i) for p in parameters))
            for i, m in enumerate(family.members)
        },
    )


def _literal(site: Site) -> str:
    return literal(next(v for v in site.values if v is not ABSENT)).text


def _lean(unified: Unified) -> Unified:
    """A line that some do without is there where its own parameter is given: no flag besides."""
    lines = []
    columns = _columns(unified.sites)
    for line in unified.lines:
        if line.flag is not None and unified.sites[line.flag.number].default is False:
            flag = unified.sites[line.flag.number]
            own = [
                c[0]
                for c in columns
                if all(unified.sites[n].line == flag.line for n in c)
                and unified.sites[c[0]].is_partial
                and unified.sites[c[0]].default is MISSING
                and unified.sites[c[0]].column.count("absent") == flag.values.count(False)
            ]
            line = replace(line, flag=Hole(own[0])) if own else line  # noqa: PLW2901
        lines.append(line)
    return replace(unified, lines=tuple(lines))


def _unused(column: Sequence[int], unified: Unified) -> bool:
    """Whether a parameter is a flag that no line needs any more."""
    flags = {line.flag.number for line in unified.lines if line.flag is not None}
    site = unified.sites[column[0]]
    made_for_line = site.default is False and site.line != FORWARD and site.values[0] in (True, False)
    is_setting = any(_mentions(line, set(column)) for line in unified.lines)
    return made_for_line and not is_setting and not flags & set(column)


def _mentions(line: Line, numbers: set[int]) -> bool:
    def inside(value: object) -> bool:
        if isinstance(value, Hole):
            return value.number in numbers
        return isinstance(value, Construct) and any(inside(a.value) for a in value.args)

    return inside(line.value)


def _halves(sites: Sequence[Site], columns: Sequence[Sequence[int]]) -> dict[int, int]:
    """Paddings that are half the kernel's size wherever they occur, with the kernel's site."""
    found: dict[int, int] = {}
    kernels = [c[0] for c in columns if sites[c[0]].noun == "kernel_size"]
    for column in columns:
        first = sites[column[0]]
        if any(sites[n].noun != "padding" or sites[n].line == FORWARD for n in column):
            continue
        for kernel in kernels:
            pairs = zip(first.values, sites[kernel].values, strict=True)
            if all(_is_half(p, k) for p, k in pairs) and not sites[kernel].is_partial:
                found[column[0]] = kernel
                break
    return found


def _is_half(padding: object, kernel: object) -> bool:
    return padding is ABSENT or (
        isinstance(padding, int) and isinstance(kernel, int) and padding == kernel // 2
    )


def _parameter(column: Sequence[int], name: str, sites: Sequence[Site]) -> Parameter:
    first = sites[column[0]]
    defaults = [sites[n].default for n in column]
    shared = all(construct.same(d, defaults[0]) for d in defaults)
    default = defaults[0] if shared else MISSING
    if first.is_partial and default is MISSING:
        default = None
    return Parameter(name, first.values, tuple(column), default)


def _pass(parameter: Parameter, member: int) -> Arg:
    value = parameter.values[member]
    if value is ABSENT:
        value = parameter.default
    keyword = None if parameter.default is MISSING else parameter.name
    return Arg(value, keyword, parameter.default, parameter.name)


def _forward(family: Family, unified: Unified, attributes: Mapping[int, str]) -> Region | None:
    """The model's first call, with attributes in place of what differs."""
    region = family.model.region
    if region is None:
        return None
    numbers: dict[str, dict[Place, Argument]] = {}
    for number, value in unified.written:
        numbers.setdefault(number.node, {})[number.place] = value
    flags: dict[int, str] = {}
    for n, name in attributes.items():
        site = unified.sites[n]
        if site.item is not None:
            flags[site.item] = f"self.{name}"
        elif site.number is not None:
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


def _parameter_names(
    columns: Sequence[Sequence[int]], sites: Sequence[Site], model: Instance
) -> list[str]:
    """What each parameter is called: as its first setting, told apart by the attribute's name.

    Of several ``in_...`` the first keeps the plain name, of several ``out_...`` the last, and a
    single one between is ``mid_...``.
    """
    nouns = [_noun([sites[n].noun for n in column]) for column in columns]
    nouns = [f"mid_{n}" if {f"in_{n}", f"out_{n}"} <= set(nouns) else n for n in nouns]
    names: list[str] = []
    for i, noun in enumerate(nouns):
        rivals = [j for j, other in enumerate(nouns) if other == noun]
        keeper = rivals[-1] if noun.startswith("out_") else rivals[0]
        if i == keeper:
            names.append(noun)
        elif noun.startswith("out_") and len(rivals) == 2:
            names.append(f"mid_{noun.removeprefix('out_')}")
        else:
            line = sites[columns[i][0]].line
            attribute = "" if line == FORWARD else _attribute(model.lines, line)
            stem = noun.removeprefix("out_").removeprefix("in_")
            names.append(local(f"{attribute}_{stem}") if attribute else stem)
    held = {line.prefix.removeprefix("self.").removesuffix(" = ") for line in model.lines}
    taken = Names("self", "nn", "torch", "F")
    kept = [any(sites[n].line == FORWARD for n in column) for column in columns]
    return [
        taken(f"{n}_" if forward and (n in held or not is_plain(n)) else n)
        for n, forward in zip(names, kept, strict=True)
    ]


def _noun(nouns: Sequence[str]) -> str:
    """``channels`` for what is ``in_channels`` here and ``out_channels`` there."""
    stems = {n.removeprefix("in_").removeprefix("out_") for n in nouns}
    both = any(n.startswith("in_") for n in nouns) and any(n.startswith("out_") for n in nouns)
    stem = min(s for s in stems if f"in_{s}" in nouns or s in nouns) if both else nouns[0]
    return local(stem or "value")


def _attribute(lines: Sequence[Line], number: int) -> str:
    line = lines[number] if number < len(lines) else lines[0]
    return line.prefix.removeprefix("self.").removesuffix(" = ") or "value"
