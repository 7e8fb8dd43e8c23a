"""Locals: the variables of one forward, which value each holds, and what a new value is called.

The main road of data is ``x``, a branch beside it ``y``. A name is used again once its old value is
dead. What has a role is named after it, branches that meet again after the modules that made them,
and what the model returns under a key after the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from prunec.emit import hints, names, recurrent, schema
from prunec.emit.recurrent import Recurrence
from prunec.emit.steps import Append, Each, Loop, Model, Step, Term
from prunec.emit.tree import Region
from prunec.ir.graph import Node, Ref

FAMILY = re.compile(r"[xyz]\d*")
"""Names of feature maps without a name of their own."""


class Locals:
    """Names and values at one point of a forward; ``steps`` tell who reads each value.

    ``keys`` are names that some values have outside: of the model's output.
    """

    def __init__(self, model: Model, steps: Sequence[Step], keys: Mapping[str, str]) -> None:
        self.roles = model.roles
        self.keys = keys
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

    def wanted(self, value: str) -> str | None:
        """What a value is called wherever it is; None where that depends on its surroundings."""
        return self.keys.get(value) or self.roles(value)

    def choose(self, value: str, term: Term) -> str:
        """Name and bind the one result of a statement."""
        special = self.wanted(value)
        name = self._feature(value, term) if special is None else self.free(special)
        self.bind(name, value)
        return name

    def choose_all(self, parts: Sequence[str | None], term: Term) -> Iterator[str]:
        """Name and bind the results of a statement that unpacks a tuple."""
        special = [None if p is None else self._part(p, parts) for p in parts]
        plain = [p for p, s in zip(parts, special, strict=True) if p is not None and s is None]
        numbered = iter(self._numbered(len(plain)))
        for part, role in zip(parts, special, strict=True):
            if part is None:
                yield "_"
            elif role is None and len(plain) == 1:
                yield self.choose(part, term)
            else:
                name = next(numbered) if role is None else self.free(role)
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

    def _part(self, part: str, parts: Sequence[str | None]) -> str | None:
        """The role of one of several results; of three, one of which is q, k or v, all are."""
        found = self.wanted(part)
        roles = ("q", "k", "v")
        if found is None and len(parts) == 3:
            known = [None if p is None else self.wanted(p) for p in parts]
            if any(a == b for a, b in zip(known, roles, strict=True)):
                return roles[list(parts).index(part)]
        return found

    def _numbered(self, count: int) -> list[str]:
        """``x1, x2, ...``, or the same with the next letter where these are taken."""
        for stem in ("x", "y", "z", "w"):
            found = [f"{stem}{i + 1}" for i in range(count)]
            if all(map(self.is_free, found)):
                return found
        return [self.free(f"x{i + 1}") for i in range(count)]

    def _feature(self, value: str, term: Term) -> str:
        """The name of a feature map."""
        before = self._before(term)
        if before is not None and before != "x" and self.is_free(before):
            return before
        hint = self._hint(term)
        if hint is not None and self._is_member(value, term):
            return self.free(hint)
        if self.is_free("x") and not self._has_siblings(value):
            return "x"
        if self.is_free("y") and not self._is_joined(value):
            return "y"
        if hint is not None:
            return self.free(hint)
        return next((n for n in ("y", "z") if self.is_free(n)), None) or self.free("x2")

    def _before(self, term: Term) -> str | None:
        """The name that goes on: of the one feature map that a statement reads, if it is a branch.

        The only branch that is left becomes the main road.
        """
        read = dict.fromkeys(self.name_of.get(r.name, "") for r in term.reads())
        maps = [n for n in read if FAMILY.fullmatch(n)]
        if len(maps) != 1:
            return None
        live = [n for n in self.bound if FAMILY.fullmatch(n) and not self.is_free(n)]
        return maps[0] if live else None

    def _is_joined(self, value: str) -> bool:
        """Whether the first reader brings several values together, other than by arithmetic."""
        reader = self.readers[value][0]
        if isinstance(reader.act, Region | Recurrence):
            return reader.reads[0] != Ref(value)
        if isinstance(reader.act, Loop):
            return all(reader.act.arguments[n] != Ref(value) for n in reader.act.carried)
        if len(self.readers[value]) > 1:
            return True
        distinct = {r.name for r in reader.reads if isinstance(r, Ref)}
        arithmetic = isinstance(reader.act, Node) and schema.base(reader.act.op) in hints.ARITHMETIC
        return len(distinct) > 1 and not arithmetic

    def _has_siblings(self, value: str) -> bool:
        """Whether the first reader also reads a feature map that has another name by now."""
        if not self._is_joined(value):
            return False
        read = (r.name for r in self.readers[value][0].reads if isinstance(r, Ref))
        others = {name for name in read if name != value and self.wanted(name) is None}
        return any(self.name_of.get(o, "x") != "x" for o in others)

    def _is_member(self, value: str, term: Term) -> bool:
        """Whether a value is named after the module that made it although ``x`` is free.

        A numbered module's, if it is returned or joined with others; that of a module with a name
        that says what for (``encoder``), if it goes beside the main road of another.
        """
        act = term.step.act
        if not isinstance(act, Region):
            return False
        if hints.is_telling(hints.module(act.path) or ""):
            return any(
                isinstance(s.act, Region) and s.reads[0] != Ref(value) for s in self.readers[value]
            )
        if not act.path[-1:].isdecimal():
            return False
        return any(
            len(self._maps(s)) > 1 and not isinstance(s.act, Loop | Each | Append | Node)
            for s in self.readers[value]
        )

    def _maps(self, step: Step) -> set[str]:
        """The feature maps that a step reads: values without a name that says what they are."""
        read = {r.name for r in step.reads if isinstance(r, Ref) and self.wanted(r.name) is None}
        return {n for n in read if not hints.is_telling(self.name_of.get(n, "x"))}

    def _hint(self, term: Term) -> str | None:
        act = term.step.act
        if isinstance(act, Region):
            return hints.module(act.path)
        if isinstance(act, Recurrence):
            return hints.module(act.region.path)
        if not isinstance(act, Node):
            return None
        found = hints.OPERATORS.get(schema.base(act.op))
        first = next((r for r in term.step.reads if isinstance(r, Ref)), None)
        if found is not None or first is None or schema.base(act.op) not in hints.TRANSPARENT:
            return found
        if first.name in term.inner:
            return self._hint(term.inner[first.name])
        current = self.name_of.get(first.name, "x")
        known = current.isidentifier() and not FAMILY.fullmatch(current)
        return current if known else None
