"""Units: what a model spends its time on, one per node, with its sizes as functions of the widths.

In eager torch every operator runs as a kernel of its own, so a unit is one node. Its signature is
the operator with everything that decides its time except the widths: dtypes, fixed sizes, strides,
groups. A size that depends on the widths is a letter, the same one wherever it occurs:
``aten.conv2d.default(float32[1, a, 14, 14], float32[b, a, 3, 3], None, (1, 1), (1, 1))``. Nodes of
equal signature are measured as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase

from prunec.ir.axis import Axis
from prunec.ir.graph import Argument, Graph, Node, Ref, ScalarType, TensorType, WeightRef
from prunec.ir.group import Axes, Group
from prunec.passes.polynomial import Monomials
from prunec.passes.sizes import Sizes

FREE = frozenset({"size", "getitem"})
"""Operators of the graph's own that read what is known already; `scalar.*` are others."""
CONSTANT = frozenset({()})


@dataclass(frozen=True, slots=True)
class Unit:
    """One node: its signature and its variable ``sizes``, in the order of the signature's letters.

    ``owners`` are the modules that it runs in, ``blocks`` the atoms of the blocks and layers that
    it goes with.
    """

    node: str
    signature: str
    sizes: tuple[Monomials, ...]
    owners: frozenset[str]
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Units:
    """All units of a graph in order, and the full ``widths`` of the atoms that they depend on."""

    units: tuple[Unit, ...]
    widths: Mapping[int, int] = field(default_factory=dict)

    def within(self, scope: frozenset[str] | None) -> Units:
        """Those that the modules at some paths, and all below them, run; None: all."""
        if scope is None or "" in scope:
            return self
        inside = tuple(u for u in self.units if any(_below(p, scope) for p in u.owners))
        return Units(inside, self.widths)


def run(graph: Graph, axes: Axes, blocks: Sequence[Group] = ()) -> Units:
    """The units of a graph whose axes are solved, and of which ``blocks`` (or layers) may go."""
    sizes = Sizes(graph, axes)
    goes: dict[str, list[int]] = {}
    for block in blocks:
        for name in {name for branch in block.branches for name in branch.exclusive}:
            goes.setdefault(name, []).append(block.atom.id)
    units = []
    for node in graph.nodes:
        if not timed(node):
            continue
        text = _Text(graph, axes, sizes, node)
        owners = frozenset(call.path for call in node.scope) or frozenset({""})
        found = tuple(goes.get(node.name, ()))
        units.append(Unit(node.name, text.signature(), text.variables(), owners, found))
    sizes.free.update((block.atom.id, block.size) for block in blocks)
    return Units(tuple(units), dict(sorted(sizes.free.items())))


def timed(node: Node) -> bool:
    """Whether a node runs a kernel."""
    return node.op not in FREE and not node.op.startswith("scalar.")


class _Text:
    """Writes one node's signature; sizes that vary get letters in the order of their first use."""

    def __init__(self, graph: Graph, axes: Axes, sizes: Sizes, node: Node) -> None:
        self.graph, self.axes, self.sizes, self.node = graph, axes, sizes, node
        self.counts = {size.path: size for size in axes.sizes.get(node.name, ())}
        self.letters: dict[tuple[tuple[tuple[int, ...], int], ...], Monomials] = {}

    def signature(self) -> str:
        arguments = [self.argument(a, (at,)) for at, a in enumerate(self.node.args)]
        named = [f"{key}={self.argument(a, (key,))}" for key, a in self.node.kwargs]
        return f"{self.node.op}({', '.join([*arguments, *named])})"

    def variables(self) -> tuple[Monomials, ...]:
        return tuple(self.letters.values())

    def argument(self, argument: Argument, path: tuple[int | str, ...]) -> str:
        count = self.counts.get(path)
        if count is not None:
            whole = count.start == 0 and count.stop is None and count.offset == 0
            return self.length(count.axis) if whole else "_"
        match argument:
            case Ref(name=name):
                return self.value(argument, self.axes.values.get(name))
            case WeightRef(name=name):
                return self.value(argument, self.axes.weights.get(name))
            case tuple():
                inner = (self.argument(a, (*path, at)) for at, a in enumerate(argument))
                return f"({', '.join(inner)})"
            case _:
                return str(argument)

    def value(self, argument: Ref | WeightRef, dims: object) -> str:
        kind = self.graph.type_of(argument)
        if isinstance(kind, TensorType) and (isinstance(dims, tuple) or kind.rank == 0):
            found = self.sizes.value(argument) if kind.rank else ()
            return f"{kind.dtype}[{', '.join(self.letter(size) for size in found)}]"
        if isinstance(kind, ScalarType):
            return kind.kind
        return str(kind)

    def length(self, axis: Axis) -> str:
        return self.letter(self.sizes.size(axis))

    def letter(self, size: Monomials) -> str:
        if size.keys() <= CONSTANT:
            return str(size.get((), 0))
        key = tuple(sorted(size.items()))
        self.letters.setdefault(key, size)
        return _name(list(self.letters).index(key))


def _name(at: int) -> str:
    return ascii_lowercase[at] if at < len(ascii_lowercase) else f"a{at}"


def _below(path: str, scope: frozenset[str]) -> bool:
    return any(path == root or path.startswith(f"{root}.") for root in scope)


def signatures(units: Units) -> Iterator[str]:
    """The distinct signatures, in the order of their first node."""
    yield from dict.fromkeys(unit.signature for unit in units.units)
