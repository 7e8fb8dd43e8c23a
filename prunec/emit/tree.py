"""Tree: the calls of modules, nested as they happened, and what crosses their boundaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import TypeAlias

from prunec.emit import schema
from prunec.emit.simplify import Program
from prunec.ir.graph import Call, Node, Ref, TensorType, WeightRef, leaves


@dataclass(frozen=True, slots=True)
class Maybe(Node):
    """An operator that some instances of a class leave out: ``otherwise`` is what it gives then.

    ``flag`` is the attribute that says so.
    """

    flag: str = ""
    otherwise: Ref = Ref("")  # noqa: RUF009


@dataclass(frozen=True, eq=False)
class Region:
    """One call of a module: its operators and the calls of other modules, in order."""

    call: Call
    items: tuple[Item, ...]

    @property
    def path(self) -> str:
        return self.call.path

    @property
    def children(self) -> tuple[Region, ...]:
        return tuple(i for i in self.items if isinstance(i, Region))

    def nodes(self) -> Iterator[Node]:
        """Every operator inside, nested ones included."""
        for item in self.items:
            if isinstance(item, Region):
                yield from item.nodes()
            else:
                yield item

    def walk(self) -> Iterator[Region]:
        """The region and all that are nested in it, outer ones first."""
        yield self
        for child in self.children:
            yield from child.walk()


Item: TypeAlias = Node | Region

Argument: TypeAlias = "Ref | WeightRef | tuple[Ref, ...]"
"""What a call is given: a value, a weight that it cannot reach, or a list of values."""


@dataclass(frozen=True)
class Boundary:
    """What a call takes and returns, each in order.

    ``inputs`` are tensors from outside; those that are only ever concatenated come as one list.
    ``weights`` are parameters that the module cannot reach by itself, ``sizes`` the dynamic sizes
    that no input has, each with a run-time number that holds it.
    """

    inputs: tuple[Ref | tuple[Ref, ...], ...]
    weights: tuple[WeightRef, ...]
    sizes: tuple[tuple[str, Ref], ...]
    outputs: tuple[str, ...]

    @property
    def arguments(self) -> tuple[Argument, ...]:
        return (*self.inputs, *self.weights, *(ref for _, ref in self.sizes))


def flat(arguments: Iterable[Argument]) -> tuple[Ref | WeightRef, ...]:
    """Arguments one by one."""
    return tuple(r for a in arguments for r in (a if isinstance(a, tuple) else (a,)))


def build(program: Program) -> Region:
    """The tree of calls; a call that is torn apart by another becomes part of its caller."""
    root = Call("", program.graph.modules[0].cls if program.graph.modules else program.graph.name)
    region = Region(root, _group(program.nodes, 1))
    seen: dict[Call, int] = {}
    for inner in region.walk():
        seen[inner.call] = seen.get(inner.call, 0) + 1
    torn = {c for c, count in seen.items() if count > 1}
    return dissolve(region, lambda r: r.call in torn)


def dissolve(region: Region, unwanted: Callable[[Region], bool]) -> Region:
    """Put the items of unwanted calls in their place; the same region when there are none."""
    items: list[Item] = []
    for item in region.items:
        if not isinstance(item, Region):
            items.append(item)
            continue
        inner = dissolve(item, unwanted)
        items += inner.items if unwanted(item) else [inner]
    same = len(items) == len(region.items) and all(
        a is b for a, b in zip(items, region.items, strict=True)
    )
    return region if same else replace(region, items=tuple(items))


class Boundaries:
    """Boundaries of regions of one tree, whatever the order of the regions among each other."""

    def __init__(self, program: Program, reach: Callable[[str, str], bool]) -> None:
        """``reach(path, weight)``: whether the module at ``path`` holds the weight."""
        self._program = program
        self._reach = reach
        self._found: dict[int, tuple[Region, Boundary]] = {}

    @cached_property
    def _reads(self) -> Counter[str]:
        """How often each value is read, the model's output included."""
        found = Counter(r.name for r in leaves(self._program.output))
        for node in self._program.nodes:
            found.update(r.name for r in self._program.reads(node))
        return found

    def __call__(self, region: Region) -> Boundary:
        known = self._found.get(id(region))
        if known is None:
            known = self._found[id(region)] = region, self._boundary(region)
        return known[1]

    def _boundary(self, region: Region) -> Boundary:
        nodes = tuple(region.nodes())
        counts = Counter(r for n in nodes for r in self._program.reads(n))
        made = tuple(v for n in nodes for v in self._program.results(n))
        inside = frozenset(made)
        single = [r for r in counts if isinstance(r, Ref) and r.name not in inside]
        weights = [
            r for r in counts if isinstance(r, WeightRef) and not self._reach(region.path, r.name)
        ]
        outputs = tuple(v for v in made if self._reads[v] > counts[Ref(v)])
        inputs = _listed(region, single, counts) if region.path else tuple(single)
        return Boundary(inputs, tuple(weights), self._sizes(nodes, inputs), outputs)

    def _sizes(
        self, nodes: Sequence[Node], inputs: Sequence[Argument]
    ) -> tuple[tuple[str, Ref], ...]:
        first = (r[0] if isinstance(r, tuple) else r for r in inputs)
        known = {s for r in first for s in symbols(self._program, r.name)}
        missing: dict[str, Ref] = {}
        for node in nodes:
            for scalar in self._program.sizes(node):
                for size in self._atoms(scalar):
                    for symbol in self._program.symbols(size):
                        if symbol not in known:
                            missing.setdefault(symbol, size)
        return tuple(missing.items())

    def _atoms(self, scalar: Ref) -> Iterator[Ref]:
        """The plain sizes in a run-time number."""
        node = self._program.scalars[scalar.name]
        if node.op == "size":
            yield scalar
            return
        for operand in node.refs():
            yield from self._atoms(operand)


def _listed(
    region: Region, inputs: Sequence[Ref], counts: Mapping[Ref | WeightRef, int]
) -> tuple[Ref | tuple[Ref, ...], ...]:
    """Inputs, those that one concatenation alone reads as a list in the place of their first."""
    lists: dict[Ref, tuple[Ref, ...]] = {}
    for node in region.items:
        if isinstance(node, Node) and schema.base(node.op) in ("cat", "stack"):
            items = node.args[0]
            assert isinstance(items, tuple)
            whole = tuple(i for i in items if isinstance(i, Ref) and i in inputs and counts[i] == 1)
            if whole == items:
                lists.update(dict.fromkeys(whole, whole))
    found = (lists.get(r, r) for r in inputs)
    return tuple(dict.fromkeys(found))


def symbols(program: Program, value: str) -> tuple[str, ...]:
    """The dynamic sizes that a tensor has as dimensions."""
    type_ = program.types[value]
    return tuple(s for s in type_.symbols if s) if isinstance(type_, TensorType) else ()


def _group(nodes: Sequence[Node], depth: int) -> tuple[Item, ...]:
    """Nodes by the call that stands at this depth of their scope."""

    def at(node: Node) -> Call | None:
        return node.scope[depth] if len(node.scope) > depth else None

    items: list[Item] = []
    for call, run in groupby(nodes, key=at):
        if call is None:
            items += run
        else:
            items.append(Region(call, _group(tuple(run), depth + 1)))
    return tuple(items)
