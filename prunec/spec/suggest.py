"""What a selector that matches nothing may have meant: the nearest glob that does, by edits of its
components.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import TypeAlias, assert_never

from prunec.diagnostics import nearest
from prunec.grammar.tree import And, Glob, Kind, Not, Or, Selector
from prunec.spec.glob import PathGlob

Modules: TypeAlias = Sequence[tuple[str, str]]

MOST_PARTS = 12
LONGEST = 200
ADDED, DROPPED = 0.6, 0.8
"""Costs of one more ``*``, and of a component left out; another word costs up to one."""


@dataclass(frozen=True, slots=True, order=True)
class _Edit:
    """A pattern that fits some path, and how far it is from the one given."""

    cost: float = 0.0
    parts: tuple[str, ...] = ()

    def then(self, cost: float, *parts: str) -> _Edit:
        return _Edit(round(self.cost + cost, 6), (*self.parts, *parts))


def suggestion(selector: Selector, modules: Modules) -> str | None:
    """The help for a selector that matches no module."""
    match selector:
        case Glob():
            return _near_glob(selector.pattern, modules) or _listing(
                "modules here are", (path.partition(".")[0] for path, _ in modules if path)
            )
        case Kind():
            classes = [cls.rpartition(".")[2] for _, cls in modules]
            return nearest(selector.name, classes) or _listing("classes here are", classes)
        case Not() | And() | Or():
            return "each part of it matches some modules, but the whole leaves none"
        case _:
            assert_never(selector)


def _near_glob(pattern: str, modules: Modules) -> str | None:
    parts = tuple(pattern.split("."))
    if len(parts) > MOST_PARTS or len(pattern) > LONGEST:
        return None
    paths = {tuple(path.split(".")) for path, _ in modules if path}
    best = min((_edit(parts, path) for path in sorted(paths)), default=_Edit(cost=9.0))
    if best.cost > 0.7 + 0.2 * (len(parts) - 1):
        return None
    found = ".".join(best.parts)
    glob = PathGlob(found)
    count = sum(glob.chooses(path) for path, _ in modules)
    return f'did you mean "{found}" ({count} module{"" if count == 1 else "s"})?'


def _edit(parts: tuple[str, ...], path: tuple[str, ...]) -> _Edit:
    """The cheapest change of a pattern so that it fits a path, by dynamic programming."""
    row = [_Edit()]
    for part in parts:
        row.append(row[-1].then(0.0 if part == "**" else DROPPED, *(["**"] * (part == "**"))))
    for component in path:
        above, row = row, [row[0].then(ADDED, "*")]
        for i, part in enumerate(parts):
            cost, word = _change(part, component)
            options = [above[i].then(cost, word), above[i + 1].then(ADDED, "*")]
            options.append(row[i].then(DROPPED))
            if part == "**":
                options += [above[i + 1], row[i].then(0.0, "**")]
            row.append(min(options))
    return row[-1]


@lru_cache(maxsize=4096)
def _change(part: str, component: str) -> tuple[float, str]:
    """What to write for a part of a pattern so that it fits a component, and how far that is."""
    if PathGlob(part).chooses(component):
        return 0.0, part
    stem = part.rstrip("*")
    word = re.sub(r"\d+$", "", component) + "*" if stem != part else component
    likeness = SequenceMatcher(None, stem, component, autojunk=False).ratio()
    return 1.0 - likeness + 0.001 * min(abs(_number(stem) - _number(component)), 99), word


def _number(word: str) -> int:
    """The number that a word ends with: of like words the one with the nearest number is nearer."""
    found = re.search(r"\d{1,6}$", word)
    return int(found[0]) if found else 0


def _listing(title: str, words: Iterable[str], most: int = 8) -> str | None:
    shown = list(dict.fromkeys(words))
    if not shown:
        return None
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return f"{title} {', '.join(f'`{w}`' for w in shown[:most])}{more}"
