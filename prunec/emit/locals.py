"""Locals: the variables of one forward, which value each holds, and what a new value is called.

The main road of data is ``x``. A name is used again once its old value is dead. What attention
takes is ``q``, ``k`` and ``v``; branches that meet again are named after the modules that made
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prunec.emit import hints, names, recurrent, schema
from prunec.emit.recurrent import Recurrence
from prunec.emit.simplify import Program
from prunec.emit.steps import Step, Term
from prunec.emit.tree import Region
from prunec.ir.graph import Node, Ref


class Locals:
    """Names and values at one point of a forward; ``steps`` tell who reads each value."""

    def __init__(self, program: Program, steps: Sequence[Step]) -> None:
        self.program = program
        self.bound: dict[str, str] = {}
        self.name_of: dict[str, str] = {}
        self.reserved: set[str] = set()
        self.remaining: dict[str, int] = {}
        self.readers: dict[str, list[Step]] = {}
        for step in steps:
            for r in step.reads:
                self.remaining[r.name] = self.remaining.get(r.name, 0) + 1
                self.readers.setdefault(r.name, []).append(step)

    def bind(self, name: str, value: str) -> None:
        """Let a name hold a value from here on."""
        self.bound.pop(name, None)
        self.bound[name] = value
        self.name_of[value] = name

    def read(self, term: Term) -> None:
        """Count the reads of a statement that is being written."""
        for r in term.reads():
            self.remaining[r.name] -= 1

    def is_free(self, name: str) -> bool:
        """Whether a name holds nothing that is still to be read."""
        holder = self.bound.get(name)
        dead = holder is None or self.remaining.get(holder, 0) == 0
        return dead and name not in self.reserved

    def free(self, wanted: str) -> str:
        """The wanted name, or with the next number that is free."""
        name = names.local(wanted)
        stem, number = name.rstrip("0123456789") or name, 1
        while not self.is_free(name):
            number += 1
            name = f"{stem}{number}"
        return name

    def choose(self, value: str, term: Term) -> str:
        """Name and bind the one result of a statement."""
        special = self._role(value) or hints.plain(self.program, value)
        if special is not None:
            name = self.free(special)
        elif self.is_free("x") and not self._has_siblings(value):
            name = "x"
        elif self.is_free("y") and not self._is_joined(value):
            name = "y"
        else:
            name = self.free(self._hint(term))
        self.bind(name, value)
        return name

    def choose_all(self, parts: Sequence[str | None], term: Term) -> Iterator[str]:
        """Name and bind the results of a statement that unpacks a tuple."""
        hint = self._hint(term)
        for i, part in enumerate(parts):
            if part is None:
                yield "_"
                continue
            special = self._role(part) or hints.plain(self.program, part)
            name = self.free(special or f"{hint}{i + 1}")
            self.bind(name, part)
            yield name

    def choose_states(
        self, call: Recurrence, parts: Sequence[str | None], term: Term
    ) -> Iterator[str]:
        """Name and bind the results of a recurrent module: states are ``h`` and ``c``."""
        for part, custom in recurrent.wanted(call, parts):
            if part is None:
                yield "_"
            elif custom is None:
                yield self.choose(part, term)
            else:
                name = self.free(custom)
                self.bind(name, part)
                yield name

    def at_hand(self, term: Term | None) -> Iterator[str]:
        """Names in use: the main road, then what the statement reads, then all others."""
        near = [] if term is None else [self.name_of.get(r.name) for r in term.reads()]
        main = ["x"] if "x" in self.bound else []
        found = (n for n in (*main, *near, *self.bound) if n is not None and n in self.bound)
        yield from dict.fromkeys(found)

    def _role(self, value: str) -> str | None:
        """What attention calls a value (``q``, ``k``, ``v``, ``mask``), also before reshaping."""
        for _ in range(8):
            step = self.readers[value][0]
            if not isinstance(step.act, Node):
                return None
            base = schema.base(step.act.op)
            if base == "scaled_dot_product_attention":
                roles = dict(zip(step.act.args, ("q", "k", "v", "mask"), strict=False))
                return roles.get(Ref(value))
            if base in ("matmul", "bmm"):
                return self._role_in_product(value, step)
            if base not in hints.TRANSPARENT or len(step.results) != 1:
                return None
            value = step.results[0]
        return None

    def _role_in_product(self, value: str, step: Step) -> str | None:
        """Attention written out: ``softmax(q @ k) @ v``."""
        assert isinstance(step.act, Node)
        left, right = step.act.args
        if right == Ref(value) and self._comes_from_softmax(left):
            return "v"
        result = step.results[0]
        for _ in range(8):
            following = self.readers[result][0]
            if not isinstance(following.act, Node) or len(following.results) != 1:
                return None
            base = schema.base(following.act.op)
            if base == "softmax":
                return "q" if left == Ref(value) else "k"
            if base not in hints.TRANSPARENT and base not in hints.ARITHMETIC:
                return None
            result = following.results[0]
        return None

    def _comes_from_softmax(self, argument: object) -> bool:
        while isinstance(argument, Ref):
            made = self.program.node.get(argument.name)
            if made is None:
                return False
            if schema.base(made.op) == "softmax":
                return True
            if schema.base(made.op) not in hints.TRANSPARENT:
                return False
            argument = made.args[0]
        return False

    def _is_joined(self, value: str) -> bool:
        """Whether the first reader brings several values together, other than by arithmetic."""
        reader = self.readers[value][0]
        if isinstance(reader.act, Region | Recurrence):
            return reader.reads[0] != Ref(value)
        if len(self.readers[value]) > 1:
            return True
        distinct = {r.name for r in reader.reads if isinstance(r, Ref)}
        arithmetic = isinstance(reader.act, Node) and schema.base(reader.act.op) in hints.ARITHMETIC
        return len(distinct) > 1 and not arithmetic

    def _has_siblings(self, value: str) -> bool:
        """Whether the first reader also reads a value that has a name of its own by now."""
        if not self._is_joined(value):
            return False
        others = {r.name for r in self.readers[value][0].reads} - {value}
        return any(self.name_of.get(o, "x") != "x" for o in others)

    def _hint(self, term: Term) -> str:
        act = term.step.act
        if isinstance(act, Region):
            return hints.module(act.path)
        if isinstance(act, Recurrence):
            return hints.module(act.region.path)
        if not isinstance(act, Node):
            return "y"
        found = hints.OPERATORS.get(schema.base(act.op))
        first = next((r for r in term.step.reads if isinstance(r, Ref)), None)
        if found is not None or first is None or schema.base(act.op) not in hints.TRANSPARENT:
            return found or "y"
        if first.name in term.inner:
            return self._hint(term.inner[first.name])
        current = self.name_of.get(first.name, "x")
        return "y" if current == "x" or not current.isidentifier() else current
