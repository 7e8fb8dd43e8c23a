"""Build: the growing list of nodes, each with a unique name, a scope and a source line."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from prunec.ir.graph import Argument, Node, Ref, Type
from prunec.trace.scopes import Stack


@dataclass
class Builder:
    """Nodes in execution order. New nodes belong to ``stack`` and ``line`` of the moment."""

    nodes: list[Node] = field(default_factory=list)
    stacks: list[Stack | None] = field(default_factory=list)
    stack: Stack | None = None
    line: str | None = None
    used: set[str] = field(default_factory=set)

    def emit(
        self,
        op: str,
        args: Sequence[Argument],
        type: Type,
        name: str,
        kwargs: Iterable[tuple[str, Argument]] = (),
    ) -> Ref:
        """Append a node, named ``name`` or, where that is taken, ``name_1`` and so on."""
        unique = self.name(name)
        self.nodes.append(Node(unique, op, tuple(args), tuple(kwargs), type, (), self.line))
        self.stacks.append(self.stack)
        return Ref(unique)

    def name(self, wanted: str) -> str:
        """A free name like the wanted one, valid in Python."""
        base = re.sub(r"\W", "_", wanted)
        if not base or base[0].isdigit() or keyword.iskeyword(base):
            base = f"_{base}"
        name, number = base, 0
        while name in self.used:
            number += 1
            name = f"{base}_{number}"
        self.used.add(name)
        return name

    @contextmanager
    def at(self, stack: Stack | None, line: str | None) -> Iterator[None]:
        """Nodes made inside belong to this scope and line; an unknown one stays as outside."""
        before = self.stack, self.line
        self.stack, self.line = stack or self.stack, line or self.line
        try:
            yield
        finally:
            self.stack, self.line = before
