"""Kinds: what each free atom is to the model, as `prune KIND` names it.

Attention, grouped operators and experts say so themselves (`Axes.uses`); a residual stream is found
in the graph: an addition x + f(x) where f makes the channels of x again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prunec.ir.axis import Axis, Concat, Product, atoms
from prunec.ir.graph import Graph, Node, Ref
from prunec.ir.group import Axes, Kind

OUTRANKS: tuple[Kind, ...] = (
    "vocabulary", "experts", "kv_heads", "heads", "head_dim", "groups", "hidden", "channels",
)  # fmt: skip
"""An atom of several kinds is of the first."""


def run(graph: Graph, axes: Axes) -> dict[int, Kind]:
    """Atom id -> kind; an atom that is not there is a plain width, "channels"."""
    found: dict[int, set[Kind]] = defaultdict(set)
    tokens = _tokens(graph, axes)
    for axis, kind in axes.uses:
        for atom in _free(axis, axes):
            if kind != "head_dim" or atom not in tokens:
                found[atom].add(kind)
    for atom in _shared(axes):
        found[atom].add("kv_heads")
    for atom in _streams(graph, axes):
        found[atom].add("hidden")
    return {atom: min(kinds, key=OUTRANKS.index) for atom, kinds in found.items()}


def _free(axis: Axis, axes: Axes) -> Iterator[int]:
    return (a.id for a in atoms(axis) if a.id not in axes.frozen)


# --- Attention -----------------------------------------------------------------------------------


def _tokens(graph: Graph, axes: Axes) -> set[int]:
    """Atoms over which a softmax goes alone in their dimension: latents that are attended to.

    Channels inside a head share a weight's dimension with the heads.
    """
    within = {
        atom
        for dims in axes.weights.values()
        for axis in dims
        if isinstance(axis, Product | Concat)
        for atom in _free(axis, axes)
    }
    return {
        atom
        for atom, nodes in axes.mixing.items()
        if atom not in within and any("softmax" in graph.node[n].op for n in nodes)
    }


def _shared(axes: Axes) -> set[int]:
    """Atoms of heads that keys and values have too, where query heads have another one besides.

    Weights make shared heads for queries, keys and values, and a query's own for queries only.
    """
    pairs = [tuple(_free(a, axes)) for a, kind in axes.uses if kind == "heads" and _is_product(a)]
    made = Counter(
        atom
        for (weight, dim), role in axes.roles.items()
        if role == "produce"
        for atom in _free(axes.weights[weight][dim], axes)
    )
    return {a for pair in pairs for a in pair if made[a] > min(made[b] for b in pair)}


def _is_product(axis: Axis) -> bool:
    return isinstance(axis, Product) and not any(isinstance(f, Concat) for f in axis.factors)


# --- Residual streams ----------------------------------------------------------------------------

_ADDS = frozenset({"aten.add.Tensor", "aten.add_.Tensor"})
# What gives the value of its first argument, laid out otherwise.
_LAYOUT = frozenset(
    """reshape view flatten unflatten permute transpose unsqueeze squeeze expand contiguous clone
    dropout to _to_copy detach alias""".split()
)


@dataclass
class _Reach:
    """For every value, as bits: which stream candidates it is computed from, and from which of them
    by weights that make a candidate's channels again.
    """

    of: dict[str, int] = field(default_factory=dict)
    remade: dict[str, int] = field(default_factory=dict)
    varying: frozenset[str] = frozenset()
    made: dict[str, set[int]] = field(default_factory=dict)
    """What values that are computed from weights alone make, such as a transposed matrix."""


def _streams(graph: Graph, axes: Axes) -> set[int]:
    """The free atoms of every addition x + f(x), in one pass over the graph."""
    adds = [n for n in graph.nodes if n.op in _ADDS and len(_operands(n)) == 2]
    roots = _roots(graph)
    summed = dict.fromkeys(roots[ref.name] for n in adds for ref in _operands(n))
    bits = {name: 1 << i for i, name in enumerate(summed)}
    holders: dict[int, int] = defaultdict(int)
    for name, bit in bits.items():
        for atom in _atoms_of(name, axes):
            holders[atom] |= bit
    reach = _Reach(varying=graph.varying)
    found: set[int] = set()
    for given in graph.inputs:
        reach.of[given.name], reach.remade[given.name] = bits.get(given.name, 0), 0
    for node in graph.nodes:
        _follow(node, axes, holders, reach)
        if node.op in _ADDS and len(_operands(node)) == 2:
            left, right = (ref.name for ref in _operands(node))
            for x, branch in ((left, right), (right, left)):
                if reach.remade[branch] & bits[roots[x]]:
                    found.update(_atoms_of(x, axes))
        reach.of[node.name] |= bits.get(node.name, 0)
    return found


def _follow(node: Node, axes: Axes, holders: Mapping[int, int], reach: _Reach) -> None:
    """What the value of a node reaches, from what its operands do."""
    of, remade = 0, 0
    made = set(_made(node, axes))
    for ref in node.refs():
        of |= reach.of[ref.name]
        remade |= reach.remade[ref.name]
        made |= reach.made.get(ref.name, set())
    for atom in made:
        remade |= of & holders.get(atom, 0)
    reach.of[node.name], reach.remade[node.name] = of, remade
    if made and node.name not in reach.varying:
        reach.made[node.name] = made


def _made(node: Node, axes: Axes) -> Iterator[int]:
    """The atoms that the weights of a node make."""
    for ref in node.weight_refs():
        for dim, axis in enumerate(axes.weights[ref.name]):
            if axes.roles.get((ref.name, dim)) == "produce":
                yield from _free(axis, axes)


def _operands(node: Node) -> tuple[Ref, ...]:
    return tuple(a for a in node.args if isinstance(a, Ref))


def _roots(graph: Graph) -> dict[str, str]:
    """For every value the one that it is but for its layout."""
    roots = {i.name: i.name for i in graph.inputs}
    for node in graph.nodes:
        base = node.op.split(".")[1] if node.op.count(".") == 2 else node.op
        first = node.args[0] if node.args else None
        kept = base in _LAYOUT and isinstance(first, Ref)
        roots[node.name] = roots[first.name] if kept and isinstance(first, Ref) else node.name
    return roots


def _atoms_of(name: str, axes: Axes) -> Iterable[int]:
    value = axes.values.get(name)
    dims = [a for a in value or () if a is not None and not _is_value(a)]
    return dict.fromkeys(atom for axis in dims for atom in _free(axis, axes))  # type: ignore[arg-type]


def _is_value(item: object) -> bool:
    return isinstance(item, tuple)
