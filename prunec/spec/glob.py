"""Globs over module paths: ``*`` and ``?`` within a component, ``**`` for any number of them."""

from __future__ import annotations

import re
from collections.abc import Collection
from fnmatch import translate


class PathGlob:
    """A glob over dotted paths, in time linear in the path: a set of states goes along its
    components.
    """

    def __init__(self, pattern: str) -> None:
        self.parts = [
            None if part == "**" else re.compile(translate(part)) for part in pattern.split(".")
        ]

    def chooses(self, path: str) -> bool:
        """Whether the path, or a path above it, fits."""
        states = self._skip({0})
        if len(self.parts) in states:
            return True
        for component in path.split(".") if path else ():
            states = self._skip(self._step(states, component))
            if len(self.parts) in states:
                return True
        return False

    def _step(self, states: Collection[int], component: str) -> set[int]:
        found = set()
        for state in states:
            part = self.parts[state]
            if part is None:
                found.add(state)
            elif part.match(component):
                found.add(state + 1)
        return found

    def _skip(self, states: set[int]) -> set[int]:
        """With the states behind a ``**``, which may stand for nothing."""
        for state in sorted(states):
            following = state
            while following < len(self.parts) and self.parts[following] is None:
                following += 1
                states.add(following)
        return states


def fault(pattern: str) -> str | None:
    """What is wrong with a glob as it stands; None if it is sound."""
    parts = pattern.split(".")
    if not pattern:
        return "it is empty"
    if "" in parts:
        return "a component between two dots is empty"
    if any("**" in part and part != "**" for part in parts):
        return "`**` is a whole component, as in `layer1.**.conv`"
    return None
