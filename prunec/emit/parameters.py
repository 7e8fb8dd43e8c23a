"""Parameters: what a constructor takes, from the places where the members of a family differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prunec.emit import construct
from prunec.emit.alike import Instance
from prunec.emit.construct import Arg, Construct, Hole, Text
from prunec.emit.expr import literal
from prunec.emit.lines import Line
from prunec.emit.names import Names, is_plain, local
from prunec.emit.schema import MISSING
from prunec.emit.unify import ABSENT, FORWARD, Site, Unified


@dataclass(frozen=True, eq=False)
class Parameter:
    """A constructor's parameter: what each member passes, and the sites that it fills."""

    name: str
    values: tuple[Any, ...]
    sites: tuple[int, ...]
    default: Any = MISSING

    def passed(self, member: int) -> Arg:
        """What a member passes."""
        value = self.values[member]
        if value is ABSENT:
            value = self.default
        keyword = None if self.default is MISSING else self.name
        return Arg(value, keyword, self.default, self.name)


@dataclass(frozen=True, eq=False)
class Filled:
    """Parameters, those without a default first, and the expression that fills each site."""

    parameters: tuple[Parameter, ...]
    names: tuple[str, ...]


def run(unified: Unified, model: Instance) -> Filled:
    """One parameter for all sites that agree. A padding may follow from the kernel's size."""
    sites = unified.sites
    found = [c for c in columns(sites) if not _unused(c, unified)]
    derived = _halves(sites, found)
    kept = [c for c in found if c[0] not in derived]
    wanted = _names(kept, sites, model)
    parameters = [_parameter(c, n, sites) for c, n in zip(kept, wanted, strict=True)]
    names = [_literal(site) if site.soft else "" for site in sites]
    for parameter in parameters:
        for number in parameter.sites:
            names[number] = parameter.name
    for column in found:
        for number in column if column[0] in derived else ():
            names[number] = f"{names[derived[column[0]]]} // 2"
    parameters.sort(key=lambda p: p.default is not MISSING)
    return Filled(tuple(parameters), tuple(names))


def columns(sites: Sequence[Site]) -> list[list[int]]:
    """Sites by parameter: those that agree for all members; parts may agree with a whole."""
    found: dict[object, list[int]] = {}
    for number, site in enumerate(sites):
        if not site.is_partial:
            found.setdefault(_key(number, site), []).append(number)
    for number, site in enumerate(sites):
        if site.is_partial and not site.soft:
            key = _key(number, site) if site.is_module else _agreeing(site, sites, found)
            found.setdefault(key, []).append(number)
    for number, site in enumerate(sites):
        fits = _fits(site, sites, found) if site.soft else []
        named = [k for k in fits if any(sites[n].noun == site.noun for n in found[k])]
        if named:
            found[named[0]].append(number)
    return sorted(found.values())


def _key(number: int, site: Site) -> object:
    """Modules are never the same, whatever they are made of."""
    return (number,) if site.is_module else (site.kind, site.column)


def _agreeing(site: Site, sites: Sequence[Site], found: Mapping[object, Sequence[int]]) -> object:
    """The column that has the site's values wherever it has one; the same noun goes first."""
    fits = _fits(site, sites, found)
    named = [key for key in fits if any(sites[n].noun == site.noun for n in found[key])]
    return (named or fits or [(site.kind, site.column)])[0]


def _fits(site: Site, sites: Sequence[Site], found: Mapping[object, Sequence[int]]) -> list[object]:
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


def lean(unified: Unified) -> Unified:
    """A line that some do without is there where its own parameter is given: no flag besides."""
    lines = []
    found = columns(unified.sites)
    for line in unified.lines:
        if line.flag is not None and unified.sites[line.flag.number].default is False:
            flag = unified.sites[line.flag.number]
            own = [
                c[0]
                for c in found
                if all(unified.sites[n].line == flag.line for n in c)
                and unified.sites[c[0]].is_partial
                and unified.sites[c[0]].default is MISSING
                and unified.sites[c[0]].column.count("absent") == flag.values.count(False)
            ]
            line = replace(line, flag=Hole(own[0])) if own else line  # noqa: PLW2901
        lines.append(line)
    return replace(unified, lines=tuple(lines))


def number_of(unified: Unified, flag: int) -> int | None:
    """A number in the forward that is there exactly where the flag is true."""
    wanted = [v is False for v in unified.sites[flag].values]
    for number, site in enumerate(unified.sites):
        absent = [v is ABSENT for v in site.values]
        if site.number is not None and site.line == FORWARD and absent == wanted:
            return number
    return None


def _unused(column: Sequence[int], unified: Unified) -> bool:
    """Whether a parameter is a flag that no line needs any more."""
    flags = {line.flag.number for line in unified.lines if line.flag is not None}
    site = unified.sites[column[0]]
    if site.item is not None:
        return number_of(unified, column[0]) is not None and len(column) == 1
    made_for_line = (
        site.default is False and site.line != FORWARD and site.values[0] in (True, False)
    )
    is_setting = any(_mentions(line, set(column)) for line in unified.lines)
    return made_for_line and not is_setting and not flags & set(column)


def _mentions(line: Line, numbers: set[int]) -> bool:
    def inside(value: object) -> bool:
        if isinstance(value, Hole):
            return value.number in numbers
        return isinstance(value, Construct) and any(inside(a.value) for a in value.args)

    return inside(line.value)


def _literal(site: Site) -> str:
    return literal(next(v for v in site.values if v is not ABSENT)).text


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


def _names(columns: Sequence[Sequence[int]], sites: Sequence[Site], model: Instance) -> list[str]:
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
    held = {name for line in model.lines for name in _held(line)}
    taken = Names("self", "nn", "torch", "F")
    kept = [any(sites[n].line == FORWARD for n in column) for column in columns]
    return [
        taken(f"{n}_" if forward and (n in held or not is_plain(n)) else n)
        for n, forward in zip(names, kept, strict=True)
    ]


def _held(line: Line) -> Iterator[str]:
    """Attributes that a line of a constructor makes."""
    yield line.prefix.removeprefix("self.").removesuffix(" = ")
    if isinstance(line.value, Construct) and not line.prefix:
        yield from (a.value.source.text[1:-1] for a in line.value.args if isinstance(a.value, Text))


def _noun(nouns: Sequence[str]) -> str:
    """``channels`` for what is ``in_channels`` here and ``out_channels`` there."""
    stems = {n.removeprefix("in_").removeprefix("out_") for n in nouns}
    both = any(n.startswith("in_") for n in nouns) and any(n.startswith("out_") for n in nouns)
    stem = min(s for s in stems if f"in_{s}" in nouns or s in nouns) if both else nouns[0]
    return local(stem or "value")


def _attribute(lines: Sequence[Line], number: int) -> str:
    line = lines[number] if number < len(lines) else lines[0]
    return line.prefix.removeprefix("self.").removesuffix(" = ") or "value"
