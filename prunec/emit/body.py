"""Bodies: the statements of one forward, from its operators and calls.

A value that is read once moves into the expression that reads it, as long as the order of evaluation stays what it
was and the line stays readable; every other value gets a name. Names follow the habits of PyTorch code: the main
road of data is ``x``, a name is used again once its old value is dead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prunec.emit import calls, expr, hints, index, layout, names, schema
from prunec.emit.expr import ATOM, Expr
from prunec.emit.hierarchy import Hierarchy, Kind
from prunec.emit.simplify import Program, size_symbol
from prunec.emit.tree import Boundaries, Boundary, Item, Region
from prunec.ir.graph import (
    Argument,
    Dict_,
    Ref,
    ScalarType,
    Sequence_,
    TensorType,
    Tree,
    Type,
    WeightRef,
    leaves,
)

EFFORT = 3.5
"""How much one expression may ask of its reader; a plain call is 1."""

LINE = 80
"""How long an expression may become by taking in another."""


@dataclass(frozen=True)
class Model:
    """What every body needs to know of the whole model."""

    program: Program
    hierarchy: Hierarchy
    boundaries: Boundaries
    literals: Mapping[str, Expr]


@dataclass(frozen=True, eq=False)
class Step:
    """One operator, one call of a module, or (``item`` None) the return statement."""

    item: Item | None
    results: tuple[str, ...]
    reads: tuple[Ref | WeightRef, ...]
    effort: float


@dataclass(frozen=True, eq=False)
class Term:
    """A step together with the steps that are written inside its expression, by the value they make."""

    step: Step
    inner: Mapping[str, Term] = field(default_factory=dict)

    @property
    def effort(self) -> float:
        return self.step.effort + sum(t.effort for t in self.inner.values())

    def reads(self) -> Iterator[Ref]:
        """Values read by name, in order of evaluation."""
        for r in self.step.reads:
            if isinstance(r, WeightRef):
                continue
            if r.name in self.inner:
                yield from self.inner[r.name].reads()
            else:
                yield r


class Body:
    """Writes one forward. ``given`` binds parameter names to the values they bring."""

    def __init__(
        self, model: Model, region: Region, given: Mapping[str, Ref | WeightRef], output: Tree
    ) -> None:
        self.model = model
        self.program = model.program
        self.region = region
        self.given = given
        self.output = output
        self.steps = (*map(self._step, region.items), self._return())
        self.hoisted: dict[str, str] = {}

    def write(self, sizes: Mapping[str, str]) -> list[str]:
        """The lines, indented for a method; ``sizes`` are parameters that bring a dynamic size."""
        while True:
            writer = _Writer(self, {**self.hoisted, **sizes})
            lines = writer.run()
            if not writer.missing:
                return [*self._hoist(), *lines]
            for symbol in writer.missing:
                self.hoisted[symbol] = names.local(symbol.lower())

    def _hoist(self) -> Iterator[str]:
        for symbol, name in self.hoisted.items():
            for parameter, value in self.given.items():
                at = self.where(value, symbol)
                if at is not None:
                    yield f"        {name} = {parameter}.shape[{at}]"
                    break

    def where(self, value: Ref | WeightRef, symbol: str) -> int | None:
        """The dimension of a value that has a dynamic size."""
        type_ = self.program.types.get(value.name) if isinstance(value, Ref) else None
        if isinstance(type_, TensorType) and symbol in type_.symbols:
            return type_.symbols.index(symbol)
        return None

    def _step(self, item: Item) -> Step:
        if isinstance(item, Region):
            boundary = self.model.boundaries(item)
            heavy = self.model.hierarchy.kind(item.path) is not Kind.LEAF
            return Step(item, boundary.outputs, boundary.arguments, 2 if heavy else 1)
        results = self.program.results(item)
        return Step(item, results, self.program.reads(item), calls.effort(item))

    def _return(self) -> Step:
        effort = 0 if isinstance(self.output, Ref) else 0.5
        return Step(None, (), tuple(leaves_of(self.output)), effort)


class _Writer:
    def __init__(self, body: Body, sizes: Mapping[str, str]) -> None:
        self.body = body
        self.program = body.program
        self.hierarchy = body.model.hierarchy
        self.sizes = sizes
        self.missing: dict[str, None] = {}
        self.bound: dict[str, str] = {}
        self.name_of: dict[str, str] = {}
        self.weight_names: dict[str, str] = {}
        self.lines: list[str] = []
        self.pending: list[Term] = []
        self.term: Term | None = None
        self.remaining: dict[str, int] = {}
        self.readers: dict[str, list[Step]] = {}
        for step in body.steps:
            for r in step.reads:
                self.remaining[r.name] = self.remaining.get(r.name, 0) + 1
                self.readers.setdefault(r.name, []).append(step)
        self.reserved = set(sizes.values())
        for parameter, value in body.given.items():
            if isinstance(value, WeightRef):
                self.weight_names[value.name] = parameter
                self.reserved.add(parameter)
            else:
                self._bind(parameter, value.name)

    def run(self) -> list[str]:
        for step in self.body.steps:
            self._take(step)
        return self.lines

    # Which values move into the expressions that read them.

    def _take(self, step: Step) -> None:
        waiting = {t.step.results[0]: t for t in self.pending}
        wanted = [r.name for r in step.reads if isinstance(r, Ref) and r.name in waiting]
        tail = self.pending[len(self.pending) - len(wanted) :] if wanted else []
        term = Term(step, {n: waiting[n] for n in wanted})
        if [t.step.results[0] for t in tail] == wanted and self._reads_well(term):
            del self.pending[len(self.pending) - len(wanted) :]
        else:
            self._flush()
            term = Term(step)
        single = len(step.results) == 1 and self.remaining[step.results[0]] == 1
        if single and not self._unpacks(step):
            self.pending.append(term)
        else:
            self._flush()
            self._emit(term)

    def _reads_well(self, term: Term) -> bool:
        if not term.inner:
            return True
        return term.effort <= EFFORT and len(self._render(term).text) <= LINE

    def _flush(self) -> None:
        waiting, self.pending = self.pending, []
        for term in waiting:
            self._emit(term)

    def _unpacks(self, step: Step) -> bool:
        """Whether the step makes a tuple of which several items are read."""
        return len(step.results) != 1

    # Statements.

    def _emit(self, term: Term) -> None:
        shown = self._render(term)
        if term.inner and 8 + 14 + len(shown.text) > layout.WIDTH and not self._fits(term, shown):
            for inner in term.inner.values():
                self._emit(inner)
            term = Term(term.step)
            shown = self._render(term)
        for r in term.reads():
            self.remaining[r.name] -= 1
        prefix = "return " if term.step.item is None else f"{self._targets(term)} = "
        self.lines += layout.statement(shown, 2, prefix)

    def _fits(self, term: Term, shown: Expr) -> bool:
        return term.step.item is None and 8 + 7 + len(shown.text) <= layout.WIDTH

    def _targets(self, term: Term) -> str:
        results = term.step.results
        if len(results) == 1:
            return self._name(results[0], term)
        item = term.step.item
        parts: Sequence[str | None] = results
        if item is not None and not isinstance(item, Region):
            parts = self.program.parts[item.name]
        hint = self._hint(term)
        chosen = []
        for i, part in enumerate(parts):
            if part is None:
                chosen.append("_")
                continue
            role = self._role(part) or self._plain_hint(part) or f"{hint}{i + 1}"
            name = self._free(role)
            self._bind(name, part)
            chosen.append(name)
        return ", ".join(chosen)

    # Names.

    def _name(self, value: str, term: Term) -> str:
        role = self._role(value) or self._plain_hint(value)
        hint = self._hint(term)
        if role is not None:
            name = self._free(role)
        elif self._is_free("x") and not self._has_siblings(value):
            name = "x"
        elif self._is_free("y") and not self._is_joined(value):
            name = "y"
        else:
            name = self._free(hint)
        self._bind(name, value)
        return name

    def _role(self, value: str) -> str | None:
        """The name of what attention takes (``q``, ``k``, ``v``, ``mask``), also some reshaping earlier."""
        while True:
            step = self.readers[value][0]
            reader = step.item
            if reader is None or isinstance(reader, Region):
                return None
            if schema.base(reader.op) == "scaled_dot_product_attention":
                roles = dict(zip(reader.args, ("q", "k", "v", "mask"), strict=False))
                return roles.get(Ref(value))
            if schema.base(reader.op) not in hints.TRANSPARENT or len(step.results) != 1:
                return None
            value = step.results[0]

    def _plain_hint(self, value: str) -> str | None:
        """Names for what is no feature map: masks, positions, angles."""
        return hints.plain(self.program, value)

    def _is_joined(self, value: str) -> bool:
        """Whether the first reader brings several values together, other than by arithmetic."""
        reader = self.readers[value][0]
        if isinstance(reader.item, Region):
            return reader.reads[0] != Ref(value)
        if len(self.readers[value]) > 1:
            return True
        distinct = {r.name for r in reader.reads if isinstance(r, Ref)}
        item = reader.item
        arithmetic = (
            item is not None
            and not isinstance(item, Region)
            and schema.base(item.op) in hints.ARITHMETIC
        )
        return len(distinct) > 1 and not arithmetic

    def _has_siblings(self, value: str) -> bool:
        """Whether the first reader also reads a value that has a name of its own by now."""
        if not self._is_joined(value):
            return False
        others = {r.name for r in self.readers[value][0].reads} - {value}
        return any(self.name_of.get(o, "x") != "x" for o in others)

    def _hint(self, term: Term) -> str:
        item = term.step.item
        if isinstance(item, Region):
            return hints.module(item.path)
        if item is None:
            return "y"
        found = hints.OPERATORS.get(schema.base(item.op))
        if found is not None:
            return found
        first = next((r for r in term.step.reads if isinstance(r, Ref)), None)
        if schema.base(item.op) in hints.TRANSPARENT and first is not None:
            if first.name in term.inner:
                return self._hint(term.inner[first.name])
            current = self.name_of.get(first.name, "x")
            return "y" if current == "x" else current
        return "y"

    def _is_free(self, name: str) -> bool:
        holder = self.bound.get(name)
        dead = holder is None or self.remaining.get(holder, 0) == 0
        return dead and name not in self.reserved

    def _free(self, wanted: str) -> str:
        name = names.local(wanted)
        stem, number = name.rstrip("0123456789") or name, 1
        while not self._is_free(name):
            number += 1
            name = f"{stem}{number}"
        return name

    def _bind(self, name: str, value: str) -> None:
        self.bound.pop(name, None)
        self.bound[name] = value
        self.name_of[value] = name

    # Expressions.

    def _render(self, term: Term) -> Expr:
        outer, self.term = self.term, term
        try:
            item = term.step.item
            if item is None:
                return returned(self.body.output, self.show)
            if isinstance(item, Region):
                head = self.hierarchy.access(self.body.region.path, item.path)
                assert head is not None
                return expr.call(head, map(self.show, term.step.reads))
            if schema.base(item.op) in index.OPS and (
                schema.base(item.op) != "unsqueeze" or self._indexed(term.inner.values())
            ):
                base, entries = self._subscript(term)
                return index.render(base, entries, self.show)
            shown = calls.spell(item, self)
            parts = self.program.parts.get(item.name)
            if parts is None or sum(p is not None for p in parts) != 1:
                return shown
            place = next(i for i, p in enumerate(parts) if p is not None)
            if place == 0 and schema.base(item.op) in calls.FIRST_ONLY:
                return shown
            return Expr(f"{shown.at(ATOM)}[{place}]")
        finally:
            self.term = outer

    def _indexed(self, inner: object) -> bool:
        assert isinstance(inner, type({}.values()))
        return any(
            not isinstance(t.step.item, Region | None) and schema.base(t.step.item.op) in index.OPS
            for t in inner
        )

    def _subscript(self, term: Term) -> tuple[Expr, tuple[index.Entry, ...]]:
        """The base of a chain of subscripts and what they come to together."""
        item = term.step.item
        assert item is not None
        assert not isinstance(item, Region)
        source = item.args[0]
        inner = term.inner.get(source.name) if isinstance(source, Ref) else None
        if inner is not None and self._indexed({0: inner}.values()):
            base, entries = self._subscript(inner)
            both = index.extend(entries, item)
            if both is not None:
                return base, both
        rank = self._rank(source)
        single = index.extend(index.whole(rank), item)
        assert single is not None
        outer, self.term = self.term, term
        try:
            return self.show(source), single
        finally:
            self.term = outer

    def _rank(self, source: Argument) -> int:
        type_ = self.type(source)
        assert isinstance(type_, TensorType)
        return type_.rank

    def show(self, argument: Argument) -> Expr:
        match argument:
            case Ref(name=name) if self.term is not None and name in self.term.inner:
                return self._render(self.term.inner[name])
            case Ref(name=name) if name in self.program.scalars:
                return self._number(argument)
            case Ref(name=name):
                return Expr(self.name_of[name])
            case WeightRef(name=name):
                reached = self.hierarchy.weight(self.body.region.path, name)
                return Expr(reached if reached is not None else self.weight_names[name])
            case tuple():
                plain = all(isinstance(a, int) or self._is_number(a) for a in argument)
                return expr.display(map(self.show, argument), "()" if plain and argument else "[]")
            case _:
                return expr.literal(argument)

    def type(self, argument: Argument) -> Type:
        if isinstance(argument, WeightRef):
            return self.program.graph.weight[argument.name].type
        return self.program.types[argument.name] if isinstance(argument, Ref) else None

    def number(self, argument: Argument) -> Expr | None:
        shown = (
            self.body.model.literals.get(argument.name) if isinstance(argument, WeightRef) else None
        )
        bare = shown is not None and len(shown.items) == 1 and shown.items[0].bracket is None
        return shown.items[0] if shown is not None and bare else None

    def dtype(self, name: str) -> Expr:
        if "float" in name:
            for local in self._at_hand():
                type_ = self.program.types[self.bound[local]]
                if isinstance(type_, TensorType) and type_.dtype == name:
                    return Expr(f"{local}.dtype")
        return Expr(f"torch.{name}")

    def device(self) -> Expr | None:
        for local in self._at_hand():
            if isinstance(self.program.types[self.bound[local]], TensorType):
                return Expr(f"{local}.device")
        return None

    def _is_number(self, argument: Argument) -> bool:
        if not isinstance(argument, Ref):
            return False
        return isinstance(self.program.types[argument.name], ScalarType)

    def _number(self, scalar: Ref) -> Expr:
        node = self.program.scalars[scalar.name]
        if node.op != "size":
            return calls.scalar(node, self.show)
        symbol = size_symbol(node, self.program.types)
        assert isinstance(node.type, ScalarType)
        if symbol is None:
            return expr.literal(node.type.example)
        if symbol in self.sizes:
            return Expr(self.sizes[symbol])
        for local in self._at_hand():
            at = self.body.where(Ref(self.bound[local]), symbol)
            if at is not None:
                return Expr(f"{local}.shape[{at}]")
        self.missing[symbol] = None
        return Expr("?")

    def _at_hand(self) -> Iterator[str]:
        """Local names: the main road, then those that the statement reads."""
        near = [] if self.term is None else [self.name_of.get(r.name) for r in self.term.reads()]
        main = ["x"] if "x" in self.bound else []
        found = (n for n in (*main, *near, *self.bound) if n is not None and n in self.bound)
        yield from dict.fromkeys(found)


def returned(tree: Tree, show: object) -> Expr:
    """The expression of a returned structure; a tuple goes without parentheses."""
    shown = _structure(tree, show)
    if isinstance(tree, Sequence_) and tree.kind == "tuple" and len(tree.items) > 1:
        text = ", ".join(i.text for i in shown.items)
        return Expr(text, shown.level, "", shown.items, "()")
    return shown


def _structure(tree: Tree, show: object) -> Expr:
    assert callable(show)
    match tree:
        case Sequence_(kind=kind, items=items):
            return expr.display(
                [_structure(i, show) for i in items], "()" if kind == "tuple" else "[]"
            )
        case Dict_(items=pairs):
            return expr.display([expr.pair(k, _structure(v, show)) for k, v in pairs], "{}")
        case _:
            found = show(tree)
            assert isinstance(found, Expr)
            return found


def leaves_of(tree: Tree) -> Iterator[Ref | WeightRef]:
    """Every value and weight of a structure, in order."""
    match tree:
        case Ref() | WeightRef():
            yield tree
        case Sequence_(items=items):
            for item in items:
                yield from leaves_of(item)
        case Dict_(items=pairs):
            for _, item in pairs:
                yield from leaves_of(item)


def outputs_tree(boundary: Boundary) -> Tree:
    """What an inner module returns: its one value, or a tuple."""
    refs = tuple(Ref(o) for o in boundary.outputs)
    return refs[0] if len(refs) == 1 else Sequence_("tuple", refs)


__all__ = ["Body", "Model", "leaves", "leaves_of", "outputs_tree", "returned"]
