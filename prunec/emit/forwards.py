"""Forwards: the whole forward of every class, outer ones first, so that inner ones take names over.

A module calls what it is given as its first caller does, where that name says what the value is
for (a mask, the encoder's output); the one feature map that it works on is ``x``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from prunec.emit import body, hints, layout, names, signature
from prunec.emit.body import Body
from prunec.emit.names import Names
from prunec.emit.shape import Shaped
from prunec.emit.steps import Model, output_of
from prunec.emit.tree import Argument, Region
from prunec.ir.graph import Argument as Given
from prunec.ir.graph import Node, Ref, TensorType, WeightRef


class Forwards:
    """The forwards of one model, each written once."""

    def __init__(self, shaped: Shaped) -> None:
        self._shaped = shaped
        self._callers: dict[str, Region] = {}
        for caller in shaped.root.walk():
            for inner in caller.children:
                self._callers.setdefault(inner.path, caller)
        self._found: dict[int, tuple[list[str], Body]] = {}

    def lines(self, region: Region) -> list[str]:
        """The method ``forward`` of the module that is called."""
        head, found = self._written(region)
        return [*head, *found.lines]

    def _written(self, region: Region) -> tuple[list[str], Body]:
        known = self._found.get(id(region))
        if known is None:
            known = self._root() if region is self._shaped.root else self._inner(region)
            self._found[id(region)] = known
        return known

    def _root(self) -> tuple[list[str], Body]:
        program = self._shaped.model.program
        shown, given, first = signature.parameters(program.graph)
        says = signature.docstring(program.output)
        head = layout.define("forward", ["self", *shown])
        head += [f"        {line}" for line in ([] if says is None else [says])]
        head += [f"        {line}" for line in first]
        keys = hints.keys(program.output)
        root = self._shaped.root
        return head, body.run(self._shaped.model, root, given, program.output, {}, keys=keys)

    def _inner(self, region: Region) -> tuple[list[str], Body]:
        model = self._shaped.model
        boundary = model.boundaries(region)
        given: dict[str, Argument] = {}
        sizes: dict[str, str] = {}
        taken = Names(*names.RESERVED)
        wanted = self._wanted(region, (*boundary.inputs, *boundary.weights))
        for name, ref in zip(wanted, (*boundary.inputs, *boundary.weights), strict=True):
            given[taken(name)] = ref
        for symbol, _ in boundary.sizes:
            sizes[symbol] = taken(names.local(symbol.lower()))
        shown = ["self", *given, *sizes.values()]
        found = body.run(model, region, given, output_of(boundary), sizes)
        return layout.define("forward", shown), found

    def _wanted(self, region: Region, taken: tuple[Argument, ...]) -> list[str]:
        """The parameters' names; several feature maps without a role are numbered."""
        _, caller = self._written(self._callers[region.path])
        above = region.path.rpartition(".")[0]
        passed = caller.passed.get(region.path) or caller.passed.get(above) or {}
        found = [
            _parameter(self._shaped.model, region, ref, i, passed) for i, ref in enumerate(taken)
        ]
        plain = [i for i, name in enumerate(found) if name is None]
        outer = [passed.get(taken[i], "") for i in plain]
        pair = len(plain) == 2 and not all(name[-1:].isdecimal() for name in outer)
        if pair:
            shown = ["x", "y"]
        else:
            shown = [f"x{n + 1}" for n in range(len(plain))] if len(plain) > 1 else ["x"]
        numbers = dict(zip(plain, shown, strict=False))
        return [numbers[i] if name is None else names.local(name) for i, name in enumerate(found)]


def _parameter(
    model: Model, region: Region, ref: Argument, position: int, passed: Mapping[Given, str]
) -> str | None:
    """What a parameter is called; None for a feature map."""
    if isinstance(ref, tuple):
        return "features"
    if isinstance(ref, WeightRef):
        return ref.name.rpartition(".")[2]
    floating = _is_float(model, ref)
    role = model.roles(ref.name)
    if role is not None and role != "index":
        return role
    if any(i.name == ref.name for i in model.program.graph.inputs) and not (
        position == 0 and floating
    ):
        return ref.name
    outer = re.sub(r"_(last_)?(hidden_states?|outputs?)$", "", passed.get(ref, ""))
    if position > 0 and floating and _is_residual(model, region, ref):
        return "residual"
    if hints.is_telling(outer) and not (position == 0 and floating):
        return outer
    return role


def _is_float(model: Model, ref: Argument) -> bool:
    type_ = model.program.types[ref.name] if isinstance(ref, Ref) else None
    return isinstance(type_, TensorType) and "float" in type_.dtype


def _is_residual(model: Model, region: Region, ref: Ref) -> bool:
    """Whether a value is only added to what the module makes of another."""
    reads = [i for i in region.items if ref in _reads(model, i)]
    adds = [i for i in reads if isinstance(i, Node) and i.op.startswith("aten.add.")]
    return len(reads) == len(adds) == 1


def _reads(model: Model, item: Node | Region) -> tuple[object, ...]:
    if isinstance(item, Region):
        return model.boundaries(item).arguments
    return model.program.reads(item)
