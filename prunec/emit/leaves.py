"""Leaves: whether a torch.nn module's calls did just what it does, and its construction.

A user's class that does what a torch.nn class does, with the same weights, counts as that class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from prunec.emit import modules, own, recurrent, standins
from prunec.emit.construct import Construct
from prunec.emit.constructors import Leaf, Seen
from prunec.emit.hierarchy import is_under
from prunec.emit.tree import Item, Region
from prunec.ir.graph import Call, Graph, Module, Node


def run(graph: Graph, root: Region) -> tuple[dict[str, Construct], frozenset[str]]:
    """Constructions of torch.nn leaves by path, and paths whose calls are written as functions.

    A leaf that was called in another way than its own is constructed all the same, for its weights.
    """
    calls: dict[str, list[Region]] = {}
    for region in root.walk():
        calls.setdefault(region.path, []).append(region)
    built: dict[str, Construct] = {}
    otherwise: set[str] = set()
    for module in graph.modules:
        if len(Seen(own.types(graph, module), {}, {}).dtypes) > 1:
            continue
        found = _found(graph, module, calls.get(module.path, ())) if module.path else None
        if found is not None:
            built[module.path], as_itself = found
            if not as_itself:
                otherwise.add(module.path)
    return built, frozenset(otherwise)


def adopt(graph: Graph, root: Region, built: dict[str, Construct]) -> Region:
    """Make operators that use a leaf's weights as the leaf does calls of that leaf.

    Where nothing called a leaf so far, its construction in ``built`` becomes what these show.
    """
    called = {region.path for region in root.walk()}
    users: dict[str, list[tuple[Node, Construct]]] = {}
    for region in root.walk():
        for item in region.items:
            found = None if isinstance(item, Region) else _user(graph, region.path, item, built)
            if found is not None:
                users.setdefault(found[0], []).append((found[1], found[2]))
    owners: dict[str, Module] = {}
    for path, seen in users.items():
        same = all(construct == seen[0][1] for _, construct in seen)
        if path not in called and same:
            built[path] = seen[0][1]
        if path in called or same:
            owners.update((n.name, graph.module[path]) for n, c in seen if c == built[path])
    return _adopted(root, owners) if owners else root


def _found(graph: Graph, module: Module, calls: Sequence[Region]) -> tuple[Construct, bool] | None:
    """A module's construction, if it is a leaf, and whether all calls are what it does."""
    name = recurrent.find(module.cls)
    if name is not None and recurrent.is_whole(module):
        built = recurrent.build(name, Seen(own.types(graph, module), {}, dict(module.config)))
        return built, all(recurrent.is_own(graph, module, c) for c in calls)
    leaf = modules.find(module.cls)
    found = None if leaf is None else _torch(graph, module, leaf, calls)
    stand_in = standins.find(graph, module, calls) if found is None else None
    return found if stand_in is None else (stand_in, True)


def _torch(
    graph: Graph, module: Module, leaf: Leaf, calls: Sequence[Region]
) -> tuple[Construct, bool] | None:
    """The construction of one of torch's own modules."""
    if not _is_whole(module, leaf):
        return None
    found = [own.construct(graph, module, leaf, tuple(c.nodes())) for c in calls]
    if found and found[0] is not None and all(f == found[0] for f in found):
        return found[0], True
    weights = own.types(graph, module)
    plain = leaf.build(Seen(weights, {}, dict(module.config)))
    if plain is None or (calls and not weights):
        return None
    # A weight that nothing reads keeps its size where its neighbours are pruned.
    return (plain, False) if standins.makes(plain, own.weights(graph, module)) else None


def _is_whole(module: Module, leaf: Leaf) -> bool:
    """Whether a module holds what its class makes and nothing else (no masks)."""
    names = dict(leaf.weights).values()
    needed = {"weight"} if leaf.weights and "Norm" not in module.cls else set()
    held = set(module.weights) - {"num_batches_tracked"}
    return needed <= held and held <= set(names) and not module.children


def _user(
    graph: Graph, path: str, node: Node, built: Mapping[str, Construct]
) -> tuple[str, Node, Construct] | None:
    """The leaf whose weights an operator in ``path`` uses in the leaf's way."""
    for owner in _owners(graph, node):
        leaf = (
            modules.LEAVES.get(built[owner].callee.removeprefix("nn.")) if owner in built else None
        )
        if leaf is None or not is_under(owner, path) or not own.follows_mode(node):
            continue
        found = own.construct(graph, graph.module[owner], leaf, (node,))
        if found is not None:
            return owner, node, found
    return None


def _owners(graph: Graph, node: Node) -> Iterator[str]:
    for ref in node.weight_refs():
        weight = graph.weight[ref.name]
        yield from (name.rpartition(".")[0] for name in (weight.name, *weight.ties))


def _adopted(region: Region, owners: Mapping[str, Module]) -> Region:
    items: list[Item] = []
    for item in region.items:
        if isinstance(item, Region):
            items.append(_adopted(item, owners))
        elif item.name in owners:
            module = owners[item.name]
            items.append(Region(Call(module.path, module.cls), (item,)))
        else:
            items.append(item)
    return replace(region, items=tuple(items))
