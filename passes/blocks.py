"""Blocks: residual branches ``x + f(x)`` that can be removed whole, which leaves ``x``.

A branch is the operand of an addition that is computed from another operand, the stream: of ``x +
attention(x) + mlp(x)`` both. It takes along all that nothing else needs (its post-dominator
subtree); what it reads beside the stream, such as masks, stays where others need it. An addition
whose shortcut is computed too (a ResNet's downsampling) has no branch: neither operand is the
stream.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import takewhile

import networkx as nx

from prunec.ir.axis import Atom
from prunec.ir.graph import Graph, Node, Ref, ScalarType, TensorType, Weight
from prunec.ir.group import Axes, Branch, Group
from prunec.passes.group import numbered

SHAPE_ONLY = ("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like")
"""Operators that look at the sizes of what they are given, and not at its values."""
END = ""


def run(graph: Graph, axes: Axes) -> tuple[Group, ...]:
    """Every residual branch with a parameter inside, in the order of the additions.

    Removing any of them, or all, leaves every output dependent on some input of the model. Atoms
    have negative ids, which no axis has.
    """
    finder = Finder(graph, axes)
    return numbered(_group(graph, branch, -1 - k) for k, branch in enumerate(finder.branches()))


def is_sum(node: Node) -> bool:
    """Whether a node adds two values of its own type."""
    return (
        node.op == "aten.add.Tensor"
        and len(node.args) == 2
        and all(isinstance(a, Ref) for a in node.args)
        and all(key == "alpha" and value == 1 for key, value in node.kwargs)
    )


class Finder:
    """One graph under search."""

    def __init__(self, graph: Graph, axes: Axes) -> None:
        self.graph = graph
        self.axes = axes
        self.outputs = {r.name for r in graph.outputs}
        self.position = {name: at for at, name in enumerate(graph.types)}

    def branches(self) -> Iterator[Branch]:
        """Every branch; ``fed`` are values that depend on an input even if all branches go."""
        fed = {i.name for i in self.graph.inputs}
        for node in self.graph.nodes:
            rest = [r.name for r in node.refs()]
            for branch in self._of(node, fed):
                yield branch
                rest.remove(branch.value.name)
            if _carries(node) and not fed.isdisjoint(rest):
                fed.add(node.name)

    def _of(self, node: Node, fed: set[str]) -> Iterator[Branch]:
        """The operands of a sum that are branches."""
        if node.name not in self._operands:
            return
        chain = self._operands[node.name]
        left, right = (a for a in node.args if isinstance(a, Ref))
        for value, skip in ((left, right), (right, left)):
            alone = self._is_private(value.name) and value.name in self.graph.node
            if not alone or value.name in self._operands or not self._alike(node, value, skip):
                continue
            streams = [s for s in chain if s != value.name and s in fed]
            if any(self._depends(value.name, stream) for stream in streams):
                branch = self._branch(node, skip, value)
                if branch is not None:
                    yield branch

    @cached_property
    def _operands(self) -> dict[str, tuple[str, ...]]:
        """For every sum the operands of the whole chain of sums that it is a part of."""
        sums = [n for n in self.graph.nodes if is_sum(n) and _is_float(n)]
        inner: dict[str, list[str]] = {}
        for node in sums:
            inner[node.name] = [
                name
                for ref in node.refs()
                for name in (inner[ref.name] if self._joins(ref.name, inner) else [ref.name])
            ]
        found: dict[str, tuple[str, ...]] = {}
        for node in reversed(sums):
            whole = found.setdefault(node.name, tuple(inner[node.name]))
            found.update((r.name, whole) for r in node.refs() if self._joins(r.name, inner))
        return found

    def _joins(self, name: str, sums: Mapping[str, object]) -> bool:
        """Whether a value is a sum that nothing but a further sum reads."""
        return name in sums and self._is_private(name)

    def _is_private(self, name: str) -> bool:
        """Whether a value is read once, and not returned."""
        users = self.graph.users[name]
        reads = [r.name for user in users for r in user.refs()].count(name)
        return reads == 1 and name not in self.outputs

    def _alike(self, node: Node, value: Ref, skip: Ref) -> bool:
        """Whether nothing broadcasts: the sum and both operands have one type and the same axes."""
        types, axes = self.graph.types, self.axes.values
        return all(
            types[ref.name] == node.type and axes.get(ref.name) == axes.get(node.name)
            for ref in (value, skip)
        )

    def _depends(self, name: str, stream: str) -> bool:
        """Whether a value is computed from what another holds (and not from its sizes alone)."""
        seen, stack = {name}, [name]
        while stack:
            node = self.graph.node.get(stack.pop())
            if node is None or not _carries(node):
                continue
            for ref in node.refs():
                if ref.name == stream:
                    return True
                if ref.name not in seen and self.position[ref.name] > self.position[stream]:
                    seen.add(ref.name)
                    stack.append(ref.name)
        return False

    def _branch(self, node: Node, skip: Ref, value: Ref) -> Branch | None:
        inside = self._needed_by(value.name)
        read = {r.name for name in inside for r in self.graph.node[name].weight_refs()}
        if not any(self.graph.weight[name].kind == "parameter" for name in read):
            return None
        modules = tuple(sorted({name.rpartition(".")[0] for name in read}))
        return Branch(node.name, skip, value, self.ordered(inside), self.owned(inside), modules)

    def ordered(self, nodes: set[str]) -> tuple[str, ...]:
        """The names of nodes in the order of the graph."""
        return tuple(sorted(nodes, key=self.position.__getitem__))

    def owned(self, nodes: set[str]) -> tuple[str, ...]:
        """The weights that go with these nodes: nothing else reads them."""
        return tuple(w.name for w in self.graph.weights if self._is_inside(w, nodes))

    def _needed_by(self, name: str) -> set[str]:
        """The nodes that no output needs without this one, itself included."""
        found, stack = set(), [name]
        while stack:
            top = stack.pop()
            if top in self.graph.node:
                found.add(top)
            stack += self._dominated.get(top, ())
        return found

    @cached_property
    def _dominated(self) -> dict[str, list[str]]:
        """The tree of immediate post-dominators: the values right below each value."""
        flow: nx.DiGraph[str] = nx.DiGraph()
        flow.add_node(END)
        flow.add_edges_from((END, name) for name in self.outputs)
        flow.add_edges_from((n.name, r.name) for n in self.graph.nodes for r in n.refs())
        below: dict[str, list[str]] = defaultdict(list)
        for name, above in nx.immediate_dominators(flow, END).items():
            if name not in (END, above):
                below[above].append(name)
        return below

    def _is_inside(self, weight: Weight, inside: set[str]) -> bool:
        """Whether a weight goes with these nodes: nothing else reads it.

        One that nothing reads (a batch norm's counter) goes with its module.
        """
        readers = self._readers.get(weight.name, set())
        if readers and weight.ties and not all(map(self._called, weight.ties)):
            return False
        if not readers:
            owners = [name.rpartition(".")[0] for name in (weight.name, *weight.ties)]
            readers = {node for owner in owners for node in self._calls.get(owner, (END,))}
        return readers <= inside

    def _called(self, weight: str) -> bool:
        return weight.rpartition(".")[0] in self._calls

    @cached_property
    def _readers(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for node in self.graph.nodes:
            for ref in node.weight_refs():
                found[ref.name].add(node.name)
        return found

    @cached_property
    def _calls(self) -> dict[str, set[str]]:
        """Module path -> the nodes that its calls made."""
        found: dict[str, set[str]] = defaultdict(set)
        for node in self.graph.nodes:
            for call in node.scope:
                found[call.path].add(node.name)
        return found


def _group(graph: Graph, branch: Branch, atom: int) -> Group:
    home = _home(graph, branch)
    return Group(
        name=f"{home or 'model'} block",
        atom=Atom(atom, 1),
        kind="blocks",
        places=(),
        producers=(home,),
        consumers=(),
        branches=(branch,),
    )


def _home(graph: Graph, branch: Branch) -> str:
    """The deepest module that holds all matrices that the branch reads; all weights if none is."""
    reads = {r.name for name in branch.exclusive for r in graph.node[name].weight_refs()}
    matrices = {name for name in reads if graph.weight[name].type.rank > 1} or reads
    paths = [name.split(".")[:-1] for name in matrices]
    levels = takewhile(lambda names: len({*names}) == 1, zip(*paths, strict=False))
    return ".".join(names[0] for names in levels)


def _carries(node: Node) -> bool:
    """Whether a node's value depends on what it reads, and not on its sizes alone."""
    base = node.op.split(".")[1] if node.op.count(".") > 1 else node.op
    return not isinstance(node.type, ScalarType) and not base.startswith(("new_", *SHAPE_ONLY))


def _is_float(node: Node) -> bool:
    return isinstance(node.type, TensorType) and "float" in node.type.dtype
