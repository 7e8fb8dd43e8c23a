"""Varying: which dimensions of a part's inputs change when the sizes of the model's inputs do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from prunec.part import record
from prunec.part.record import Call, Shapes
from prunec.part.whole import Whole
from prunec.trace import inputs
from prunec.trace.inputs import Dims, Example, Leaf

SHARE = 2
"""An image's side is divided by this to see what depends on it."""


def run(whole: Whole, example: Example, call: Call) -> dict[str, Dims]:
    """The part's dynamic dimensions, by the names of its inputs.

    The model runs again with each of its dynamic sizes changed, and with images of other heights
    and widths: what changes is dynamic. Where no dynamic size of the model's can be changed, dims
    of the part's inputs have the names that trace would give them.
    """
    leaves = inputs.bind(whole.part, call.args, call.kwargs, None).leaves
    moved: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for label, other in _others(example):
        found = record.run(whole.module, whole.part, other.args, other.kwargs).call
        again = None if found is None else record.ordered(whole.part, found).shapes
        for place, after in _changes(leaves, again):
            moved.setdefault(place, []).append((label, after))
    seen = any(label in example.symbols for changes in moved.values() for label, _ in changes)
    names: dict[tuple[object, ...], str] = {}
    chosen: dict[str, Dims] = {leaf.name: {} if seen else leaf.dims for leaf in leaves}
    for (at, dim), changes in moved.items():
        leaf = leaves[at]
        name = _name(names, (leaf.tensor.shape[dim], *changes), changes[0][0])
        chosen[leaf.name] = {**chosen[leaf.name], dim: name}
    return chosen


def _others(example: Example) -> Iterator[tuple[str, Example]]:
    """What is changed, and the example with it changed."""
    for symbol in example.symbols:
        size = example.size(symbol)
        other = size - 1 if size > 2 else size + 1  # smaller where it can be: tables end somewhere
        yield symbol, inputs.resized(example.only((symbol,)), {symbol: other})
    for back, label in ((2, "H"), (1, "W")):
        sizes: dict[str, int] = {}
        changed: list[Leaf] = []
        for leaf in example.leaves:
            dim = leaf.tensor.dim() - back
            image = leaf.tensor.is_floating_point() and leaf.tensor.dim() > 2
            symbol = f"{label} {len(sizes)}"
            if image and dim not in leaf.dims and leaf.tensor.shape[dim] >= 2 * SHARE:
                sizes[symbol] = leaf.tensor.shape[dim] // SHARE
            changed.append(replace(leaf, dims={dim: symbol} if symbol in sizes else {}))
        if sizes:
            yield label, inputs.resized(replace(example, leaves=tuple(changed)), sizes)


def _changes(
    leaves: tuple[Leaf, ...], again: Shapes | None
) -> Iterator[tuple[tuple[int, int], int]]:
    """(input, dim) and new size of what differs; nothing where the ranks do."""
    if again is None or [len(s) for s in again] != [leaf.tensor.dim() for leaf in leaves]:
        return
    for at, (leaf, shape) in enumerate(zip(leaves, again, strict=True)):
        for dim, (before, after) in enumerate(zip(leaf.tensor.shape, shape, strict=True)):
            if before != after:
                yield (at, dim), after


def _name(names: dict[tuple[object, ...], str], key: tuple[object, ...], label: str) -> str:
    """One name for all dimensions that change alike; a number tells apart those that do not."""
    taken = set(names.values())
    fresh = label if label not in taken else f"{label}_{len(names) + 1}"
    return names.setdefault(key, fresh)
