"""Own: whether operators are a torch.nn class's own, and the settings that they show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prunec.emit import schema
from prunec.emit.construct import Construct
from prunec.emit.constructors import Leaf, Seen
from prunec.emit.hierarchy import is_under, join
from prunec.ir.graph import (
    Argument,
    Graph,
    Module,
    Node,
    Ref,
    ScalarType,
    TensorType,
    Weight,
    WeightRef,
)


def construct(graph: Graph, module: Module, leaf: Leaf, nodes: Sequence[Node]) -> Construct | None:
    """The construction that a call shows; None where it is not the module's own."""
    seen = settings(graph, module, leaf, nodes)
    config = dict(module.config)
    return None if seen is None else leaf.build(Seen(types(graph, module), seen, config))


def types(graph: Graph, module: Module) -> dict[str, TensorType]:
    """The types of a module's weights, by local name."""
    return {local: w.type for local, w in weights(graph, module).items()}


def weights(graph: Graph, module: Module) -> dict[str, Weight]:
    """A module's weights, by local name."""
    full = {n: w for w in graph.weights for n in (w.name, *w.ties)}
    return {local: full[join(module.path, local)] for local in module.weights}


def settings(
    graph: Graph, module: Module, leaf: Leaf, nodes: Sequence[Node]
) -> Mapping[str, Argument] | None:
    """The arguments of the one operator; None where it is not the module's own call."""
    node = nodes[-1]
    if schema.base(node.op) not in leaf.ops or isinstance(node.type, tuple | ScalarType):
        return None
    bound = dict(schema.bind(node))
    if len(nodes) == 2 and _is_padding(module, nodes[0], bound):
        bound[leaf.source] = nodes[0].args[0]
    elif len(nodes) != 1 or _pads_otherwise(module):
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
    if (
        not silent
        or any(map(_has_value, rest.values()))
        or not _is_given(module, bound[leaf.source])
    ):
        return None
    if schema.base(node.op) == "instance_norm" and isinstance(node.type, TensorType):
        # Without weights of its own nothing else says how many channels are left.
        rest["num_features"] = node.type.shape[1]
    return rest


def follows_mode(node: Node) -> bool:
    """Whether an operator that knows training from evaluation is as a module in ``eval`` has it."""
    bound = schema.bind(node)
    whole = bound.get("running_mean") is None
    batch = bound.get("training", whole) == whole and bound.get("use_input_stats", whole) == whole
    return batch and bound.get("train", False) is False


def _is_given(module: Module, source: Argument) -> bool:
    """Whether a call's input comes from outside: a value, or a weight that is not the module's."""
    if isinstance(source, WeightRef):
        return not is_under(source.name.rpartition(".")[0], module.path)
    return isinstance(source, Ref)


def _pads_otherwise(module: Module) -> bool:
    config = dict(module.config)
    sizes = config.get("padding", 0)
    return (
        config.get("padding_mode", "zeros") != "zeros"
        and sizes not in (0, "valid")
        and (not isinstance(sizes, tuple) or any(sizes))
    )


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
