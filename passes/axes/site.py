"""A site: one node whose equations are being written, with its arguments by schema name."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import torch

from prunec.diagnostics import InternalError
from prunec.ir.axis import Axis, size
from prunec.ir.graph import Argument, Graph, Node, Ref, TensorType, Type, WeightRef
from prunec.ir.group import Frozen, Kind, Pinned, Role, SizeOf, Unknown
from prunec.passes.axes.solver import Solver

Dims: TypeAlias = tuple[Axis, ...]
# The axes of a value: of a tensor, of each item of a tuple value, or None for what is no tensor.
Value: TypeAlias = "Dims | tuple[Value, ...] | None"


@dataclass
class Facts:
    """What the equations of a graph have said so far.

    ``factors`` holds, by the name of a run-time number ``n * 12``, the axis that the 12 counts.
    ``indexes`` holds, by value and item of a tuple value, the axis that its integers index (see
    `indices`); ``offsets`` are running sums of how often; ``chosen`` are axes that a top-k chooses
    from; ``least`` says how many of an axis must stay; ``renumbered`` are the inputs whose values
    index an axis (see `vocabulary`).
    """

    graph: Graph
    solver: Solver = field(default_factory=Solver)
    values: dict[str, Value] = field(default_factory=dict)
    weights: dict[str, Dims] = field(default_factory=dict)
    sizes: dict[str, list[SizeOf]] = field(default_factory=dict)
    pins: dict[str, list[Pinned]] = field(default_factory=dict)
    mixing: list[tuple[Axis, str]] = field(default_factory=list)
    roles: dict[tuple[str, int], Role] = field(default_factory=dict)
    uses: list[tuple[Axis, Kind]] = field(default_factory=list)
    factors: dict[str, Axis] = field(default_factory=dict)
    guises: dict[str, WeightRef] = field(default_factory=dict)
    unknown: list[Unknown] = field(default_factory=list)
    probed: list[str] = field(default_factory=list)
    indexes: dict[tuple[str, int | None], Axis] = field(default_factory=dict)
    offsets: set[str] = field(default_factory=set)
    chosen: list[Axis] = field(default_factory=list)
    least: list[tuple[Axis, int, Frozen]] = field(default_factory=list)
    renumbered: dict[str, Axis] = field(default_factory=dict)


class Site:
    """A node, its arguments by schema name, and the verbs in which equations are written."""

    def __init__(self, facts: Facts, node: Node) -> None:
        self.facts = facts
        self.node = node
        self.solver = facts.solver
        self.given = _arguments(node)

    @property
    def base(self) -> str:
        """The operator's name, as `base_of` gives it."""
        return base_of(self.node)

    # -- arguments
    # -----------------------------------------------------------------------------------------

    def arg(self, name: str, default: Argument = None) -> Argument:
        """An argument by its schema name, or the schema's default."""
        if name in self.given:
            return self.given[name][1]
        return _defaults(self.node.op).get(name, default)

    def path(self, name: str, *inside: int) -> tuple[int | str, ...]:
        """Where an argument stands in the node: a position, or its name."""
        return (self.given[name][0] if name in self.given else name, *inside)

    def integer(self, name: str) -> int:
        value = self.arg(name)
        if not isinstance(value, int):
            raise Unsupported(f"`{name}` is not a fixed number")
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """A list argument of fixed numbers; one number counts as a list."""
        value = self.arg(name)
        items = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(i, int) for i in items):
            raise Unsupported(f"`{name}` is not a list of fixed numbers")
        return items  # type: ignore[return-value]

    def tensors(self) -> list[str]:
        """Names of the arguments that are tensors, in order."""
        return [name for name in self.given if self.is_tensor(name)]

    def is_tensor(self, name: str) -> bool:
        return self.dims_of(self.arg(name)) is not None

    def dims(self, name: str) -> Dims:
        """The axes of a tensor argument."""
        found = self.dims_of(self.arg(name))
        if found is None:
            raise Unsupported(f"`{name}` is not a tensor")
        return found

    def dims_of(self, argument: object) -> Dims | None:
        match argument:
            case WeightRef(name=name):
                return self.facts.weights[name]
            case Ref(name=name):
                value = self.facts.values[name]
                return value if is_dims(value) else None  # type: ignore[return-value]
        return None

    def dtype(self, argument: object) -> str:
        """The dtype of a tensor argument, as torch names it."""
        graph = self.facts.graph
        match argument:
            case WeightRef(name=name):
                return graph.weight[name].type.dtype
            case Ref(name=name) if isinstance(kind := graph.types[name], TensorType):
                return kind.dtype
        raise Unsupported("an argument is not a tensor")

    def every_tensor(self) -> list[Dims]:
        """The axes of every tensor read, wherever it stands in the arguments."""
        refs = [*self.node.refs(), *self.node.weight_refs()]
        return [dims for ref in refs if (dims := self.dims_of(ref)) is not None]

    # -- equations
    # -----------------------------------------------------------------------------------------

    def unify(self, left: Axis, right: Axis) -> None:
        self.solver.unify(left, right, self.why("its boundaries do not fit"))

    def freeze(self, axis: Axis, reason: str) -> None:
        self.solver.freeze(axis, self.why(reason))

    def fixed(self, length: int, reason: str) -> Axis:
        """A new axis that never changes."""
        return self.solver.fresh(length, self.why(reason))

    def why(self, reason: str) -> Frozen:
        return Frozen(f"{reason} (`{self.base}`)", self.node.name, self.node.line)

    def mixes(self, axis: Axis) -> None:
        self.facts.mixing.append((axis, self.node.name))

    def pin(self, keyword: str, value: float, axis: Axis) -> None:
        self.facts.pins.setdefault(self.node.name, []).append(Pinned(keyword, value, axis))

    def kind(self, axis: Axis, name: Kind) -> None:
        """Say that the operator uses an axis as a structure."""
        self.facts.uses.append((axis, name))

    def at_least(self, axis: Axis, count: int) -> None:
        """Say that so many channels of an axis must stay."""
        self.facts.least.append((axis, count, self.why("")))

    def role(self, argument: Argument, dim: int, role: Role) -> None:
        """Say what the node does with a dimension of a weight; consuming outranks producing
        outranks scaling.
        """
        argument, dim = self._as_stored(argument, dim)
        if isinstance(argument, WeightRef):
            key = (argument.name, dim)
            known = self.facts.roles.get(key)
            if known is None or _RANK[role] > _RANK[known]:
                self.facts.roles[key] = role

    def _as_stored(self, argument: Argument, dim: int) -> tuple[Argument, int]:
        """The weight and its dimension behind transposed matrices and casts."""
        while isinstance(argument, Ref) and argument.name in self.facts.graph.node:
            if argument.name in self.facts.guises:
                return self.facts.guises[argument.name], dim
            node = self.facts.graph.node[argument.name]
            base = base_of(node)
            source = self.dims_of(node.args[0]) if node.args else None
            if base in _TRANSPOSES and source is not None and len(source) == 2:
                dim = 1 - dim
            elif base not in _CASTS:
                break
            argument = node.args[0]
        return argument, dim

    def stands_for(self, argument: Argument) -> None:
        """Say that the result is a weight in another guise: its readers set that weight's roles."""
        if isinstance(argument, WeightRef):
            self.facts.guises[self.node.name] = argument

    def counts(
        self,
        path: tuple[int | str, ...],
        axis: Axis,
        start: int = 0,
        stop: int | None = None,
        offset: int = 0,
    ) -> None:
        """Say that the argument at ``path`` is the number of channels in ``axis[start:stop]``, plus
        ``offset``.
        """
        size = SizeOf(path, axis, start, stop, offset)
        self.facts.sizes.setdefault(self.node.name, []).append(size)

    # -- results
    # -------------------------------------------------------------------------------------------

    def shape(self) -> tuple[int, ...]:
        """The shape of the one tensor that the node gives."""
        if not isinstance(self.node.type, TensorType):
            raise Unsupported("the result is not one tensor")
        return self.node.type.shape

    def dimension(self, dim: int, rank: int) -> int:
        """A dimension counted from the front; torch gives a tensor of one number one, which has no
        axis here.
        """
        if not -rank <= dim < rank:
            raise Unsupported("a tensor of one number has no axes")
        return dim % rank

    def opaque(self, reason: str) -> Value:
        """Axes of a result of which nothing is known."""
        return opaque(self.node.type, self.solver, self.why(reason))


def base_of(node: Node) -> str:
    """The operator's name without overload: ``conv2d``; of one that is not aten's with its
    namespace.
    """
    named = node.op.count(".") == 2
    return node.op.rpartition(".")[0].removeprefix("aten.") if named else node.op


class Unsupported(Exception):
    """The equations of an operator do not cover this use of it: everything that it touches is
    frozen.
    """


_TRANSPOSES = frozenset({"t", "numpy_T", "mT", "transpose", "swapaxes"})
_CASTS = frozenset({"to", "_to_copy", "detach", "contiguous", "clone", "alias"})
_RANK: dict[Role, int] = {"scale": 0, "produce": 1, "consume": 2}


def is_dims(value: Value) -> bool:
    """Whether a value's axes are those of one tensor."""
    return isinstance(value, tuple) and not isinstance(value, Items)


def opaque(kind: Type, solver: Solver, why: Frozen) -> Value:
    """New frozen axes for a value of the given type."""
    if isinstance(kind, TensorType):
        return tuple(solver.fresh(n, why) for n in kind.shape)
    if isinstance(kind, tuple):
        return Items(opaque(k, solver, why) for k in kind)
    return None


class Items(tuple["Value", ...]):
    """The axes of a tuple value, one entry an item (told apart from the axes of one tensor)."""

    __slots__ = ()


def check(kind: Type, value: Value, node: Node) -> None:
    """The axes of a result must have its sizes: an invariant of every rule."""
    if isinstance(kind, TensorType):
        sizes = tuple(map(size, value or ()))  # type: ignore[arg-type]
        if sizes != kind.shape:
            raise InternalError(
                f"the axes of `{node}` have sizes {sizes}, its type says {kind.shape}"
            )
    elif isinstance(kind, tuple) and value is not None:
        for item, axes in zip(kind, value, strict=True):
            check(item, axes, node)  # type: ignore[arg-type]


@cache
def schema(op: str) -> tuple[tuple[str, Any, bool], ...]:
    """(name, default, is keyword only) of every argument of an overload; empty where torch has no
    such operator.
    """
    found = overload(op)
    if found is None:
        return ()
    return tuple((a.name, a.default_value, a.kwarg_only) for a in found._schema.arguments)


@cache
def overload(op: str) -> Any:
    """The torch operator of that full name, or None."""
    target: Any = torch.ops
    for part in op.split("."):
        target = getattr(target, part, None)
        if target is None:
            return None
    return target if isinstance(target, torch._ops.OpOverload) else None


@cache
def _defaults(op: str) -> dict[str, Argument]:
    return {name: _plain(default) for name, default, _ in schema(op)}


def _plain(default: Any) -> Argument:
    return tuple(default) if isinstance(default, list) else default


def _arguments(node: Node) -> dict[str, tuple[int | str, Argument]]:
    """Schema name -> (where the argument stands, its value), for the arguments that are given."""
    names = [name for name, _, keyword in schema(node.op) if not keyword]
    given: dict[str, tuple[int | str, Argument]] = {}
    for position, value in enumerate(node.args):
        name = names[position] if position < len(names) else f"arg{position}"
        given[name] = (position, value)
    given.update((name, (name, value)) for name, value in node.kwargs)
    return given
