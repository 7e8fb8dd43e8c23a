"""Vocabulary: inputs of the model that are nothing but looked up, as token ids in an embedding.

Where a spec says `prune vocabulary`, their integers index an axis (`indices`) that may lose
channels: a token that stays is called by its rank among those that do. Any other use of the ids
freezes the rows that they select.
"""

from __future__ import annotations

from prunec.ir.axis import size
from prunec.ir.graph import Graph, Node, Ref, WeightRef, leaves
from prunec.ir.group import Frozen
from prunec.passes.axes.indices import CASTS, RESHAPED, SHAPE_ONLY
from prunec.passes.axes.site import Facts, Site, base_of


def declare(facts: Facts) -> None:
    """Give every input that is looked up an axis that its values index."""
    for given in facts.graph.inputs:
        tables, other = _uses(facts.graph, given.name)
        rows = {w: size(facts.weights[w][0]) for w in tables}
        if not rows:
            continue
        if other is None and len({*rows.values()}) > 1:
            other = Frozen(f"the ids `{given.name}` select from tables of several sizes")
        if other is not None:
            for name in rows:
                facts.solver.freeze(facts.weights[name][0], other)
            continue
        axis = facts.solver.fresh(max(rows.values()))
        facts.indexes[given.name, None] = facts.renumbered[given.name] = axis
        facts.uses.append((axis, "vocabulary"))


def keep_row(site: Site, row: int) -> bool:
    """Keep the row that an embedding calls its padding, and count it anew; False where its indices
    are no ids of the model's inputs.
    """
    weight, indices = site.dims("weight")[0], site.arg("indices")
    found = site.facts.indexes.get((indices.name, None)) if isinstance(indices, Ref) else None
    ids = {site.solver.resolve(axis) for axis in site.facts.renumbered.values()}
    if found is None or site.solver.resolve(found) not in ids or not 0 <= row < size(weight):
        return False
    site.solver.slice(weight, row, row + 1)  # an axis of size one: it can never go
    site.counts(site.path("padding_idx"), weight, 0, row)
    return True


def _uses(graph: Graph, name: str) -> tuple[tuple[str, ...], Frozen | None]:
    """The tables that a value's integers select from, and the first other use of them."""
    tables: list[str] = []
    other: Frozen | None = None
    if name in {ref.name for ref in leaves(graph.output)}:
        other = Frozen("the model returns the ids that select from it")
    for user in graph.users[name]:
        base = base_of(user)
        if base == "embedding" and user.args[1] == Ref(name):
            weight = user.args[0]
            if isinstance(weight, WeightRef):
                tables.append(weight.name)
            else:
                other = other or _used(user, base)
        elif base in CASTS | RESHAPED:
            found, fault = _uses(graph, user.name)
            tables += found
            other = other or fault
        elif base not in SHAPE_ONLY:
            other = other or _used(user, base)
    return tuple(dict.fromkeys(tables)), other


def _used(node: Node, base: str) -> Frozen:
    return Frozen(
        f"the ids that select from it are used otherwise (`{base}`)", node.name, node.line
    )
