"""Localise: read a dynamic size where it is used, from a tensor that is at hand there.

torch reads each size once, at the top, from the model's input. A person writes ``b = x.shape[0]``
in the module that reshapes ``x``; so the graph gets a ``size`` node in every call that needs one.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import TypeAlias

from prunec.ir.graph import Argument, Call, Input, Node, Ref, TensorType, Type

Source: TypeAlias = "tuple[Ref, int]"
"""A tensor and the dimension whose size is wanted."""

Scope: TypeAlias = "tuple[Call, ...]"


def run(nodes: Sequence[Node], inputs: Iterable[Input]) -> list[Node]:
    """The nodes, with local ``size`` nodes before their users; those that nobody reads remain."""
    state = _State({i.name: i.type for i in inputs})
    state.types.update((n.name, n.type) for n in nodes)
    state.homes.update((n.name, n.scope) for n in nodes)
    for node in nodes:
        state.notice(node)
        state.made.append(_localised(node, state))
    return state.made


@dataclass
class _State:
    """What the walk has seen.

    ``homes`` holds the scope in which each value is made, ``at_hand`` a tensor that has a size, per
    module call that can see it, ``known`` the ``size`` node already made for a call.
    """

    types: dict[str, Type]
    homes: dict[str, Scope] = field(default_factory=dict)
    made: list[Node] = field(default_factory=list)
    symbols: dict[str, str] = field(default_factory=dict)
    at_hand: dict[tuple[Call, str], Source] = field(default_factory=dict)
    known: dict[tuple[Call, str], Ref] = field(default_factory=dict)

    def notice(self, node: Node) -> None:
        """Learn which sizes the node's module calls can read from its arguments."""
        for ref in node.refs():
            type_ = self.types[ref.name]
            home = self.homes.get(ref.name, ())
            for dim, symbol in enumerate(type_.symbols if isinstance(type_, TensorType) else ()):
                for depth, call in enumerate(node.scope, start=1):
                    inside = len(home) > depth and home[depth - 1] == call
                    if symbol is not None and not inside:
                        self.at_hand.setdefault((call, symbol), (ref, dim))
        match node.op, node.args:
            case "size", (Ref(name), int(axis)) if node.scope:
                type_ = self.types[name]
                size = type_.symbols[axis] if isinstance(type_, TensorType) else None
                if size is not None:
                    self.symbols[node.name] = size
                    self.known.setdefault((node.scope[-1], size), Ref(node.name))


def _localised(node: Node, state: _State) -> Node:
    changed = {
        ref: _near(ref, node, state)
        for ref in node.refs()
        if ref.name in state.symbols and node.op != "size" and node.scope
    }
    if all(old == new for old, new in changed.items()):
        return node
    args = tuple(_replaced(a, changed) for a in node.args)
    kwargs = tuple((k, _replaced(a, changed)) for k, a in node.kwargs)
    return replace(node, args=args, kwargs=kwargs)


def _near(size: Ref, node: Node, state: _State) -> Ref:
    """The same size, read in the node's own module call; the given one if nothing there has it."""
    key = (node.scope[-1], state.symbols[size.name])
    if key not in state.known:
        source = _own(node, key[1], state) or state.at_hand.get(key)
        if source is None:
            return size
        name = _free("size", state.types)
        type_ = state.types[size.name]
        state.made.append(replace(node, name=name, op="size", args=source, kwargs=(), type=type_))
        state.homes[name] = node.scope
        state.types[name] = type_
        state.known[key] = Ref(name)
    return state.known[key]


def _own(node: Node, symbol: str, state: _State) -> Source | None:
    """The node's first argument that has the size."""
    for ref in node.refs():
        type_ = state.types[ref.name]
        if isinstance(type_, TensorType) and symbol in type_.symbols:
            return ref, type_.symbols.index(symbol)
    return None


def _replaced(argument: Argument, changed: dict[Ref, Ref]) -> Argument:
    match argument:
        case Ref():
            return changed.get(argument, argument)
        case tuple():
            return tuple(_replaced(a, changed) for a in argument)
        case _:
            return argument


def _free(base: str, taken: Container[str]) -> str:
    names = chain([base], (f"{base}_{number}" for number in count(1)))
    return next(name for name in names if name not in taken)
