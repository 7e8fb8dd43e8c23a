"""Classes: one class for all modules that do the same; its constructor takes what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prunec.emit import construct, expr
from prunec.emit.construct import Arg, Construct, Path, Text
from prunec.emit.expr import Expr
from prunec.emit.lines import Line
from prunec.emit.names import local
from prunec.emit.schema import MISSING
from prunec.ir.graph import Argument

MOST = 8
"""A constructor with more parameters than this reads worse than several classes."""


@dataclass(frozen=True)
class Instance:
    """One module that becomes a class: base name, constructor lines, key of its forward."""

    path: str
    base: str
    lines: tuple[Line, ...]
    key: object

    @property
    def shape(self) -> object:
        """What instances of one class have in common."""
        return self.base, self.key, tuple((line.prefix, _skeleton(line)) for line in self.lines)


@dataclass(frozen=True)
class Parameter:
    """A constructor's parameter: the settings that it passes on (line, place), its default."""

    name: str
    places: tuple[tuple[int, Path], ...]
    default: Any = MISSING


@dataclass(frozen=True)
class Class:
    """A class to be written, and how each of its instances is constructed."""

    name: str
    model: Instance
    parameters: tuple[Parameter, ...]
    constructs: Mapping[str, Construct]


def group(instances: Sequence[Instance], name: Names) -> Iterator[Class]:
    """Classes for instances, in the order of their first ones."""
    shapes: dict[object, list[Instance]] = {}
    for instance in instances:
        shapes.setdefault(instance.shape, []).append(instance)
    for alike in shapes.values():
        for members in _split(alike):
            yield _class(members, name(members[0].base))


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


def render(line: Line, number: int, parameters: Sequence[Parameter]) -> Expr:
    """A constructor's line with its parameters in their places."""
    if isinstance(line.value, Text):
        return line.value.source
    given = {place: p.name for p in parameters for n, place in p.places if n == number}
    return construct.render(line.value, given)


def signature(parameters: Sequence[Parameter]) -> list[str]:
    """``["self", "width", "stride=1"]``."""
    shown = ["self"]
    for p in parameters:
        shown.append(p.name if p.default is MISSING else f"{p.name}={expr.literal(p.default)}")
    return shown


def _split(alike: list[Instance]) -> list[list[Instance]]:
    if len(_differing(alike)) <= MOST:
        return [alike]
    equal: dict[object, list[Instance]] = {}
    for instance in alike:
        values = tuple(_token(a.value) for _, _, a in _settings(instance))
        equal.setdefault(values, []).append(instance)
    return list(equal.values())


def _differing(alike: Sequence[Instance]) -> dict[object, list[int]]:
    """Settings (by number) that differ between instances; those that always agree go together."""
    columns = zip(*([_token(a.value) for _, _, a in _settings(i)] for i in alike), strict=True)
    together: dict[object, list[int]] = {}
    for number, values in enumerate(columns):
        if len(set(values)) > 1:
            together.setdefault(values, []).append(number)
    return together


def _class(members: Sequence[Instance], name: str) -> Class:
    model = members[0]
    settings = list(_settings(model))
    sets = list(_differing(members).values())
    names = _parameter_names([[settings[n] for n in numbers] for numbers in sets], model)
    found = []
    for numbers, wanted in zip(sets, names, strict=True):
        places = tuple((settings[n][0], settings[n][1]) for n in numbers)
        defaults = [settings[n][2].default for n in numbers]
        shared = all(construct.same(d, defaults[0]) for d in defaults)
        found.append((numbers[0], Parameter(wanted, places, defaults[0] if shared else MISSING)))
    found.sort(key=lambda f: f[1].default is not MISSING)
    constructs = {}
    for member in members:
        values = [a.value for _, _, a in _settings(member)]
        args = tuple(_pass(p, values[first]) for first, p in found)
        constructs[member.path] = Construct(name, args)
    return Class(name, model, tuple(p for _, p in found), constructs)


def _pass(parameter: Parameter, value: Argument | Construct | Text) -> Arg:
    keyword = None if parameter.default is MISSING else parameter.name
    return Arg(value, keyword, parameter.default, parameter.name)


def _parameter_names(sets: Sequence[Sequence[tuple[int, Path, Arg]]], model: Instance) -> list[str]:
    """What each parameter is called: as its first setting, told apart by the attribute's name.

    Of several ``in_...`` the first keeps the plain name, of several ``out_...`` the last, and a
    single one between is ``mid_...``.
    """
    nouns = [_noun({arg.noun for _, _, arg in settings}, settings[0][2].noun) for settings in sets]
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
            attribute = _attribute(model.lines[sets[i][0][0]])
            names.append(local(f"{attribute}_{noun.removeprefix('out_').removeprefix('in_')}"))
    taken = Names()
    return [taken(n) for n in names]


def _noun(nouns: set[str], first: str) -> str:
    """``channels`` for what is ``in_channels`` here and ``out_channels`` there."""
    stems = {n.removeprefix("in_").removeprefix("out_") for n in nouns}
    both = any(n.startswith("in_") for n in nouns) and any(n.startswith("out_") for n in nouns)
    stem = min(s for s in stems if f"in_{s}" in nouns or s in nouns) if both else first
    return local(stem or "value")


def _attribute(line: Line) -> str:
    return line.prefix.removeprefix("self.").removesuffix(" = ") or "value"


def _skeleton(line: Line) -> object:
    return (
        line.value.source.text if isinstance(line.value, Text) else construct.skeleton(line.value)
    )


def _settings(instance: Instance) -> Iterator[tuple[int, Path, Arg]]:
    for number, line in enumerate(instance.lines):
        if isinstance(line.value, Construct):
            for place, arg in construct.settings(line.value):
                yield number, place, arg


def _token(value: object) -> object:
    return type(value).__name__, value
