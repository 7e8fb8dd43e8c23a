"""The graph: what a model computes, as frozen data without tensors.

A `Graph` lists inputs, weights and nodes in execution order. A node applies one functional operator
(its torch name, such as ``aten.conv2d.default``) to arguments; an argument that is a tensor is a
`Ref` (an input or an earlier node) or a `WeightRef` (a parameter, buffer or constant, whose value
travels beside the graph, by name). A change is a new graph: "is it modified" is ``after is not
before``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias, TypeVar


@dataclass(frozen=True, slots=True)
class TensorType:
    """Shape, dtype and, per dimension, the symbol of a size that may change from call to call.

    ``shape`` holds the example sizes (distinct primes where a dimension is dynamic), ``symbols``
    the name of the dynamic size (``"N"``, ``"4*T"``) or ``None`` where the size is fixed.
    """

    shape: tuple[int, ...]
    dtype: str
    symbols: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        if not self.symbols:
            object.__setattr__(self, "symbols", (None,) * len(self.shape))

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        sizes = (s or str(n) for n, s in zip(self.shape, self.symbols, strict=True))
        return f"{self.dtype}[{', '.join(sizes)}]"


@dataclass(frozen=True, slots=True)
class ScalarType:
    """A Python number computed at run time, such as ``x.shape[0]``; ``example`` is its traced
    value.
    """

    kind: Literal["int", "float", "bool"]
    example: int | float | bool

    def __str__(self) -> str:
        return f"{self.kind}({self.example})"


Type: TypeAlias = "TensorType | ScalarType | tuple[Type, ...] | None"


@dataclass(frozen=True, slots=True)
class Ref:
    """The value of an input or of a node, by name."""

    name: str

    def __str__(self) -> str:
        return f"%{self.name}"


@dataclass(frozen=True, slots=True)
class WeightRef:
    """A parameter, buffer or constant, by its canonical name (``"layer1.0.conv1.weight"``)."""

    name: str

    def __str__(self) -> str:
        return f"@{self.name}"


@dataclass(frozen=True, slots=True)
class TorchName:
    """An attribute of the torch module: a dtype, layout or memory format (``float32``,
    ``strided``).
    """

    name: str

    def __str__(self) -> str:
        return f"torch.{self.name}"


@dataclass(frozen=True, slots=True)
class Device:
    """A device argument; ``name`` is what ``str(torch.device)`` gives."""

    name: str

    def __str__(self) -> str:
        return f"device({self.name})"


@dataclass(frozen=True, slots=True)
class InTraining:
    """A probability that holds in training mode; in eval mode it is 0."""

    p: float

    def __str__(self) -> str:
        return f"{self.p} in training"


_R = TypeVar("_R", Ref, WeightRef)
Argument: TypeAlias = (
    "None | bool | int | float | str | Ref | WeightRef | TorchName | Device | InTraining"
    " | tuple[Argument, ...]"
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a module: its path, its class and how many earlier calls of it there were."""

    path: str
    cls: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One operator applied to arguments.

    ``op`` is a torch overload (``aten.conv2d.default``), or one of ours: ``getitem`` (of a tuple
    value), ``size`` (value, dim) and ``scalar.add|sub|mul|floordiv|...`` on run-time numbers.
    ``scope`` is the stack of module calls, outermost (the root, path ``""``) first. ``line`` is the
    user's source line (``"model.py:12"``), when known.
    """

    name: str
    op: str
    args: tuple[Argument, ...]
    kwargs: tuple[tuple[str, Argument], ...] = ()
    type: Type = None
    scope: tuple[Call, ...] = ()
    line: str | None = None

    @property
    def module(self) -> str:
        """Path of the innermost module that made this node (``""`` for the root)."""
        return self.scope[-1].path if self.scope else ""

    def refs(self) -> Iterator[Ref]:
        """Every value read, in order, repeats included."""
        yield from references(self.args, Ref)
        yield from references(tuple(v for _, v in self.kwargs), Ref)

    def weight_refs(self) -> Iterator[WeightRef]:
        """Every weight read, in order, repeats included."""
        yield from references(self.args, WeightRef)
        yield from references(tuple(v for _, v in self.kwargs), WeightRef)

    def __str__(self) -> str:
        parts = [show(a) for a in self.args] + [f"{k}={show(v)}" for k, v in self.kwargs]
        kind = (
            f"({', '.join(map(str, self.type))})"
            if isinstance(self.type, tuple)
            else str(self.type)
        )
        return f"%{self.name}: {kind} = {self.op}({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Input:
    """One tensor input, flattened out of the forward's parameters."""

    name: str
    type: TensorType


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter, buffer or constant. ``ties`` are its other names in the state dict.

    A ``constant`` is a tensor that the model's code holds outside the state dict.
    """

    name: str
    type: TensorType
    kind: Literal["parameter", "buffer", "constant"]
    persistent: bool = True
    requires_grad: bool = True
    ties: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sequence_:
    """A tuple or list in the structure of inputs or outputs."""

    kind: Literal["tuple", "list"]
    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Dict_:
    """A dict, named tuple or dataclass in the structure of inputs or outputs; ``cls`` names the
    latter two.
    """

    items: tuple[tuple[str, Tree], ...]
    cls: str | None = None


Tree: TypeAlias = "Ref | WeightRef | None | bool | int | float | str | Sequence_ | Dict_"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the model's forward, with the structure of what was passed.

    ``default`` is meaningful when ``optional``; a parameter that the example did not pass does not
    occur.
    """

    name: str
    tree: Tree
    keyword_only: bool = False


@dataclass(frozen=True, slots=True)
class Module:
    """One module of the original: path, class (``torch.nn.modules.conv.Conv2d``), constructor
    settings.

    ``config`` holds attributes that a torch.nn class is built from (``kernel_size``, ``eps``,
    ``p``, ...) and is empty for the user's classes. ``children`` are direct children names in
    order. ``weights`` are the names (local, such as ``"weight"``) of its own parameters and buffers
    in order.
    """

    path: str
    cls: str
    config: tuple[tuple[str, Argument], ...] = ()
    children: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """A traced model; see the module's docstring. ``modules[0]`` is the root, path ``""``."""

    name: str
    parameters: tuple[Parameter, ...]
    inputs: tuple[Input, ...]
    weights: tuple[Weight, ...]
    nodes: tuple[Node, ...]
    output: Tree
    modules: tuple[Module, ...] = ()
    frontend: Literal["export", "symbolic_trace"] = field(default="export", compare=False)

    @cached_property
    def node(self) -> dict[str, Node]:
        return {n.name: n for n in self.nodes}

    @cached_property
    def weight(self) -> dict[str, Weight]:
        return {w.name: w for w in self.weights}

    @cached_property
    def module(self) -> dict[str, Module]:
        return {m.path: m for m in self.modules}

    @cached_property
    def types(self) -> dict[str, Type]:
        """The type of every `Ref`."""
        found: dict[str, Type] = {i.name: i.type for i in self.inputs}
        found.update((n.name, n.type) for n in self.nodes)
        return found

    def type_of(self, argument: object) -> Type:
        """The type of an argument that is a value or a weight; None for any other."""
        if isinstance(argument, WeightRef):
            return self.weight[argument.name].type
        return self.types[argument.name] if isinstance(argument, Ref) else None

    @cached_property
    def users(self) -> dict[str, tuple[Node, ...]]:
        """The nodes that read each input or node, in order."""
        readers: dict[str, list[Node]] = {name: [] for name in self.types}
        for node in self.nodes:
            for name in dict.fromkeys(r.name for r in node.refs()):
                readers[name].append(node)
        return {name: tuple(nodes) for name, nodes in readers.items()}

    @cached_property
    def varying(self) -> frozenset[str]:
        """The inputs and the nodes that are computed from them."""
        found = {i.name for i in self.inputs}
        for node in self.nodes:
            if any(ref.name in found for ref in node.refs()):
                found.add(node.name)
        return frozenset(found)

    @cached_property
    def outputs(self) -> tuple[Ref, ...]:
        """Every value returned, in order."""
        return tuple(leaves(self.output))

    def __str__(self) -> str:
        lines = [f"graph {self.name}"]
        lines += [f"  input %{i.name}: {i.type}" for i in self.inputs]
        lines += [f"  {w.kind} @{w.name}: {w.type}" for w in self.weights]
        lines += [f"  {n}" for n in self.nodes]
        lines.append(f"  return {', '.join(map(str, self.outputs))}")
        return "\n".join(lines) + "\n"


def live(nodes: Sequence[Node], output: Tree) -> list[Node]:
    """The nodes that an output needs, in order."""
    needed = {r.name for r in leaves(output)}
    found: list[Node] = []
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(r.name for r in node.refs())
            found.append(node)
    return found[::-1]


def references(argument: Argument, kind: type[_R]) -> Iterator[_R]:
    """Every reference of a kind inside a nested argument."""
    if isinstance(argument, kind):
        yield argument
    elif isinstance(argument, tuple):
        for item in argument:
            yield from references(item, kind)


def leaves(tree: Tree) -> Iterator[Ref]:
    """Every `Ref` of an input or output structure, in order."""
    return (leaf for leaf in all_leaves(tree) if isinstance(leaf, Ref))


def weight_leaves(tree: Tree) -> Iterator[WeightRef]:
    """Every `WeightRef` of an output structure, in order."""
    return (leaf for leaf in all_leaves(tree) if isinstance(leaf, WeightRef))


def all_leaves(tree: Tree) -> Iterator[Ref | WeightRef]:
    """Every value and weight of a structure, in order."""
    match tree:
        case Ref() | WeightRef():
            yield tree
        case Sequence_(items=items):
            for item in items:
                yield from all_leaves(item)
        case Dict_(items=pairs):
            for _, item in pairs:
                yield from all_leaves(item)


def substitute(tree: Tree, change: Callable[[Ref], Ref | WeightRef]) -> Tree:
    """The structure with another leaf in place of every `Ref`."""
    match tree:
        case Ref():
            return change(tree)
        case Sequence_(kind=kind, items=items):
            return Sequence_(kind, tuple(substitute(item, change) for item in items))
        case Dict_(items=pairs, cls=cls):
            return Dict_(tuple((key, substitute(item, change)) for key, item in pairs), cls)
        case _:
            return tree


def fill(tree: Tree, values: Mapping[str, Any]) -> Any:
    """A structure with a value for every `Ref`; named tuples and dataclasses become dicts."""
    match tree:
        case Ref(name):
            return values[name]
        case Sequence_(kind=kind, items=items):
            filled = [fill(item, values) for item in items]
            return tuple(filled) if kind == "tuple" else filled
        case Dict_(items=pairs):
            return {key: fill(item, values) for key, item in pairs}
        case _:
            return tree


def show(argument: Argument) -> str:
    """An argument as `Graph.__str__` prints it."""
    if isinstance(argument, tuple):
        return f"[{', '.join(map(show, argument))}]"
    return repr(argument) if isinstance(argument, str) else str(argument)
