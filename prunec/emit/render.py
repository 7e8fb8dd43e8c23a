"""Render: the expression of one term, in the names of the forward that it stands in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prunec.emit import calls, expr, index, recurrent, schema, spellings, stores
from prunec.emit.expr import ATOM, Expr, Lowest
from prunec.emit.locals import Locals
from prunec.emit.recurrent import Recurrence
from prunec.emit.simplify import size_symbol
from prunec.emit.steps import Append, Each, Loop, Model, Term
from prunec.emit.tree import Maybe, Region
from prunec.ir.graph import (
    Argument,
    Dict_,
    Node,
    Ref,
    ScalarType,
    Sequence_,
    TensorType,
    Tree,
    Type,
    WeightRef,
)


@dataclass(kw_only=True, eq=False)
class Renderer:
    """Renders terms. Dynamic sizes that no tensor at hand has are noted in ``missing``.

    ``sizes`` are local names of dynamic sizes, ``weights`` those of weights that were passed in,
    ``lists`` names that hold several tensors, ``passed`` those under which each module that is
    called, or the list that it stands in, is given values.
    """

    model: Model
    path: str
    locals: Locals
    sizes: Mapping[str, str]
    weights: dict[str, str] = field(default_factory=dict)
    lists: dict[tuple[Argument, ...], str] = field(default_factory=dict)
    missing: dict[str, None] = field(default_factory=dict)
    passed: dict[str, Mapping[Argument, str]] = field(default_factory=dict)
    term: Term | None = None

    def run(self, term: Term, output: Tree) -> Expr:
        """A term's expression; ``output`` is what a return statement returns."""
        outer, self.term = self.term, term
        try:
            match term.step.act:
                case None:
                    return self._returned(output)
                case Region(path=path) as region:
                    head = self.model.hierarchy.access(self.path, path)
                    assert head is not None
                    arguments = self.model.boundaries(region).arguments
                    self.pass_(path, arguments)
                    return expr.call(head, map(self.show, arguments))
                case Recurrence(region=region) as act:
                    head = self.model.hierarchy.access(self.path, region.path)
                    assert head is not None
                    return expr.call(head, recurrent.arguments(list(map(self.show, act.reads))))
                case Node(op=schema.STORE):
                    place, value = self.store(term)
                    return Expr(f"{place}{value.text}")
                case Maybe() as node:
                    shown, kept = self.unconditional(term, node), self.show(node.otherwise)
                    return Expr(f"{shown.text} if {node.flag} else {kept.text}", expr.CONDITION)
                case Node() as node:
                    return self._operator(term, node)
                case Loop() | Each() | Append():
                    raise AssertionError("no expression")
        finally:
            self.term = outer

    def unconditional(self, term: Term, node: Maybe) -> Expr:
        """What an operator gives where it is not left out."""
        outer, self.term = self.term, term
        try:
            return self._operator(term, node)
        finally:
            self.term = outer

    def store(self, term: Term) -> tuple[str, Expr]:
        """What stands before the value of a store (``x[1:] = ``, ``x[1:] += ``), and the value."""
        assert isinstance(term.step.act, Node)
        outer, self.term = self.term, term
        try:
            base, value, entries = term.step.act.args
            place = index.render(self.show(base), index.stored(entries), self.show)
            inner = term.inner.get(value.name) if isinstance(value, Ref) else None
            found = None if inner is None else self._augmented(place.text, inner, term.step.act)
            return (f"{place.text} = ", self.show(value)) if found is None else found
        finally:
            self.term = outer

    def _augmented(self, place: str, term: Term, store: Node) -> tuple[str, Expr] | None:
        """``x[1:] += `` and an operand, where what is stored is computed from what is there."""
        sign, other = stores.augments(store, self.model.program.node)
        made = term.step.reads[:1]
        if not sign or not made or made[0].name not in term.inner:
            return None
        outer, self.term = self.term, term
        try:
            return (
                (f"{place} {sign}= ", self.show(other))
                if self.show(made[0]).text == place
                else None
            )
        finally:
            self.term = outer

    def show(self, argument: Argument) -> Expr:
        match argument:
            case Ref(name=name) if self.term is not None and name in self.term.inner:
                return self.run(self.term.inner[name], None)
            case Ref(name=name) if name in self.model.program.scalars:
                return self._number(argument)
            case Ref(name=name):
                return Expr(self.locals.name_of[name])
            case WeightRef(name=name):
                reached = self.model.hierarchy.weight(self.path, name)
                return Expr(self.weights[name] if reached is None else reached)
            case tuple() if argument in self.lists:
                return Expr(self.lists[argument])
            case tuple():
                plain = all(isinstance(a, int) or self._is_number(a) for a in argument)
                return expr.display(map(self.show, argument), "()" if plain and argument else "[]")
            case Lowest(dtype=name):
                return Expr(f"torch.finfo({self.dtype(name)}).min")
            case _:
                return expr.literal(argument)

    def pass_(self, path: str, arguments: Sequence[Argument]) -> None:
        """Note under which names a module is given its arguments."""
        found = ((a, self.locals.name_of.get(a.name)) for a in arguments if isinstance(a, Ref))
        self.passed[path] = {a: name for a, name in found if name is not None}

    def number(self, argument: Argument) -> Expr | None:
        shown = self.model.literals.get(argument.name) if isinstance(argument, WeightRef) else None
        bare = shown is not None and len(shown.items) == 1 and shown.items[0].bracket is None
        return shown.items[0] if shown is not None and bare else None

    def type(self, argument: Argument) -> Type:
        if isinstance(argument, WeightRef):
            return self.model.program.graph.weight[argument.name].type
        return self.model.program.types[argument.name] if isinstance(argument, Ref) else None

    def dtype(self, name: str) -> Expr:
        """A dtype; the model's own as that of something at hand, which follows its moves."""
        found = self.model.program.precision
        makes = () if self.term is None else self.term.step.results
        if name == found.usual and not any(result in found.wide for result in makes):
            for local, type_ in self._tensors():
                if type_.dtype == name and self.locals.bound[local] not in found.wide:
                    return Expr(f"{local}.dtype")
            for weight in self.model.program.graph.weights:
                reached = self.model.hierarchy.weight(self.path, weight.name)
                if weight.type.dtype == name and reached is not None:
                    return Expr(f"{reached}.dtype")
        return Expr(f"torch.{name}")

    def device(self) -> Expr | None:
        local = next((local for local, _ in self._tensors()), None)
        return None if local is None else Expr(f"{local}.device")

    def _tensors(self) -> Iterator[tuple[str, TensorType]]:
        for local in self.locals.at_hand(self.term):
            type_ = self.model.program.types[self.locals.bound[local]]
            if isinstance(type_, TensorType):
                yield local, type_

    def _is_number(self, argument: Argument) -> bool:
        known = self.model.program.types
        return isinstance(argument, Ref) and isinstance(known[argument.name], ScalarType)

    def _number(self, scalar: Ref) -> Expr:
        node = self.model.program.scalars[scalar.name]
        if node.op != "size":
            return calls.scalar(node, self.show)
        symbol = size_symbol(node, self.model.program.types)
        assert isinstance(node.type, ScalarType)
        if symbol is None:
            return expr.literal(node.type.example)
        if symbol in self.sizes:
            return Expr(self.sizes[symbol])
        for local, type_ in self._tensors():
            if symbol in type_.symbols:
                return Expr(f"{local}.shape[{type_.symbols.index(symbol)}]")
        self.missing[symbol] = None
        return Expr("?")

    def _operator(self, term: Term, node: Node) -> Expr:
        extended = self.model.hierarchy.bases.get(self.path)
        if extended is not None and node.name in extended.calls:
            return expr.call("super().forward", [self.show(extended.calls[node.name])])
        base = schema.base(node.op)
        chained = any(map(_is_index, term.inner.values()))
        if base in index.OPS and (base != "unsqueeze" or chained):
            source, entries = self._subscript(term)
            return index.render(source, entries, self.show)
        shown = calls.spell(node, self)
        parts = self.model.program.parts.get(node.name)
        if parts is not None and base in spellings.FIRST_ONLY and any(parts[1:]):
            shown = Expr(f"{shown.text.removesuffix(')')}, return_indices=True)")
        if parts is None or sum(p is not None for p in parts) != 1:
            return shown
        place = next(i for i, p in enumerate(parts) if p is not None)
        if place == 0 and base in spellings.FIRST_ONLY:
            return shown
        return Expr(f"{shown.at(ATOM)}[{place}]")

    def _subscript(self, term: Term) -> tuple[Expr, tuple[index.Entry, ...]]:
        """The base of a chain of subscripts, and what they come to together."""
        node = term.step.act
        assert isinstance(node, Node)
        source = node.args[0]
        inner = term.inner.get(source.name) if isinstance(source, Ref) else None
        if inner is not None and _is_index(inner):
            base, entries = self._subscript(inner)
            both = index.extend(entries, node)
            if both is not None:
                return base, both
        type_ = self.type(source)
        assert isinstance(type_, TensorType)
        single = index.extend(index.whole(type_.rank), node)
        assert single is not None
        outer, self.term = self.term, term
        try:
            return self.show(source), single
        finally:
            self.term = outer

    def _returned(self, tree: Tree) -> Expr:
        """The expression of a returned structure; a tuple goes without parentheses."""
        shown = self._structure(tree)
        if isinstance(tree, Sequence_) and self._listed(tree.items) is not None:
            return shown
        if isinstance(tree, Sequence_) and tree.kind == "tuple" and len(tree.items) > 1:
            text = ", ".join(i.text for i in shown.items)
            return Expr(text, shown.level, "", shown.items, "()")
        return shown

    def _listed(self, items: tuple[Tree, ...]) -> str | None:
        """The variable that holds a list of values, if one does."""
        refs = tuple(i for i in items if isinstance(i, Ref))
        return self.lists.get(refs) if len(refs) == len(items) else None

    def _structure(self, tree: Tree) -> Expr:
        match tree:
            case Sequence_(kind=kind, items=items) if (name := self._listed(items)) is not None:
                return expr.call("tuple", [Expr(name)]) if kind == "tuple" else Expr(name)
            case Sequence_(kind=kind, items=items):
                return expr.display(map(self._structure, items), "()" if kind == "tuple" else "[]")
            case Dict_(items=pairs):
                return expr.display([expr.pair(k, self._structure(v)) for k, v in pairs], "{}")
            case leaf:
                return self.show(leaf)


def _is_index(term: Term) -> bool:
    return isinstance(term.step.act, Node) and schema.base(term.step.act.op) in index.OPS
