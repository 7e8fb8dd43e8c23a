"""Leaves: whether a torch.nn module's calls did just what it does, and its construction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prunec.emit import modules, recurrent, schema
from prunec.emit.construct import Construct
from prunec.emit.constructors import Leaf, Seen
from prunec.emit.hierarchy import join
from prunec.emit.tree import Region
from prunec.ir.graph import Argument, Graph, Module, Node, Ref, ScalarType, TensorType, WeightRef


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
        if len(Seen("", _weights(graph, module), {}, {}).dtypes) > 1:
            continue
        name = recurrent.find(module.cls)
        if name is not None and module.path and recurrent.is_whole(module):
            seen_weights = _weights(graph, module)
            built[module.path] = recurrent.build(
                name, Seen(name, seen_weights, {}, dict(module.config))
            )
            if not all(recurrent.is_own(graph, module, c) for c in calls.get(module.path, ())):
                otherwise.add(module.path)
            continue
        entry = modules.find(module.cls)
        if entry is None or module.path == "" or not _is_whole(module, entry[1]):
            continue
        name, leaf = entry
        seen = [_call(graph, module, leaf, c) for c in calls.get(module.path, ())]
        weights = _weights(graph, module)
        config = dict(module.config)
        found = [None if s is None else leaf.build(Seen(name, weights, s, config)) for s in seen]
        if found and found[0] is not None and all(f == found[0] for f in found):
            built[module.path] = found[0]
            continue
        plain = leaf.build(Seen(name, weights, {}, config))
        if plain is not None and (weights or not seen):
            built[module.path] = plain
            otherwise.add(module.path)
    return built, frozenset(otherwise)


def _is_whole(module: Module, leaf: Leaf) -> bool:
    """Whether a module holds what its class makes and nothing else (no masks)."""
    names = dict(leaf.weights).values()
    needed = {"weight"} if leaf.weights and "Norm" not in module.cls else set()
    held = set(module.weights) - {"num_batches_tracked"}
    return needed <= held and held <= set(names) and not module.children


def _weights(graph: Graph, module: Module) -> dict[str, TensorType]:
    full = {n: w.type for w in graph.weights for n in (w.name, *w.ties)}
    return {local: full[join(module.path, local)] for local in module.weights}


def _call(
    graph: Graph, module: Module, leaf: Leaf, region: Region
) -> Mapping[str, Argument] | None:
    """The arguments of the call's one operator; None where the call is not the module's own."""
    nodes = tuple(region.nodes())
    node = nodes[-1]
    if schema.base(node.op) not in leaf.ops or isinstance(node.type, tuple | ScalarType):
        return None
    bound = dict(schema.bind(node))
    if len(nodes) == 2 and _is_padding(module, nodes[0], bound):
        bound[leaf.source] = nodes[0].args[0]
    elif len(nodes) != 1:
        return None
    expected: set[str] = {leaf.source}
    for argument, local in leaf.weights:
        expected.add(argument)
        own = WeightRef(join(module.path, local)) if local in module.weights else None
        if not _is_weight(graph, bound.get(argument), own):
            return None
    rest = {k: v for k, v in bound.items() if k not in expected}
    defaults = {p.name: p.default for p in schema.params(node.op)}
    silent = all(k in leaf.shown or v == defaults[k] for k, v in rest.items())
    given = isinstance(bound[leaf.source], Ref | WeightRef)
    if not given or not silent or any(map(_has_value, rest.values())):
        return None
    if schema.base(node.op) == "instance_norm" and isinstance(node.type, TensorType):
        # Without weights of its own nothing else says how many channels are left.
        rest["num_features"] = node.type.shape[1]
    return rest


def _is_weight(graph: Graph, given: Argument, own: WeightRef | None) -> bool:
    if own is None or not isinstance(given, WeightRef):
        return given is None and own is None
    weight = graph.weight[given.name]
    return own.name in (weight.name, *weight.ties)


def _is_padding(module: Module, pad: Node, bound: Mapping[str, Argument]) -> bool:
    """Whether ``pad`` is a convolution's own (``padding_mode="reflect"``)."""
    config = dict(module.config)
    mode, sizes = config.get("padding_mode", "zeros"), config.get("padding")
    if schema.base(pad.op) != "pad" or mode == "zeros" or bound.get("input") != Ref(pad.name):
        return False
    given = schema.bind(pad)
    expected = _twice(sizes, given["pad"])
    return given["mode"] == mode and given["pad"] == expected and given["value"] in (None, 0)


def _twice(sizes: Argument, pad: Argument) -> Argument:
    """What ``F.pad`` takes for a convolution's padding: last dimension first, both sides."""
    assert isinstance(pad, tuple)
    per_dim = sizes if isinstance(sizes, tuple) else (sizes,) * (len(pad) // 2)
    return tuple(s for size in reversed(per_dim) for s in (size, size))


def _has_value(argument: Argument) -> bool:
    """Whether an argument depends on the call's inputs."""
    if isinstance(argument, Iterable) and not isinstance(argument, str):
        return any(map(_has_value, argument))
    return isinstance(argument, Ref | WeightRef)
