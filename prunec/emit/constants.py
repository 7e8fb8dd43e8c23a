"""Constants: which values are written into the source, and at which module constants live.

State dicts hold parameters and persistent buffers only. Every other tensor is either short enough
to be written out, or lies beside the state dict's entries in the weights file, from where ``load``
fills it in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from prunec.emit import expr, names
from prunec.emit.expr import Expr, call, literal, named
from prunec.emit.hierarchy import Hierarchy, Kind, join
from prunec.emit.tree import Region
from prunec.ir.graph import Graph, TorchName, Weight

LONGEST = 76
"""Columns that a written-out list of values may take."""


def literals(graph: Graph, values: Mapping[str, Tensor]) -> dict[str, Expr]:
    """The source of every tensor outside the state dict whose values are written out.

    Buffers of one name in modules of one class are written out if all of them say the same.
    """
    found: dict[str, Expr] = {}
    alike: dict[object, set[str | None]] = {}
    for weight in graph.weights:
        if not weight.persistent and weight.kind != "parameter" and weight.name in values:
            shown = _literal(values[weight.name])
            alike.setdefault(home(graph, weight), set()).add(None if shown is None else shown.text)
            if shown is not None:
                found[weight.name] = shown
    return {n: e for n, e in found.items() if len(alike[home(graph, graph.weight[n])]) == 1}


def home(graph: Graph, weight: Weight) -> object:
    """The class that holds a buffer, without the number that tells it from its kin."""
    path, _, local = weight.name.rpartition(".")
    if weight.kind != "buffer" or path not in graph.module:
        return weight.name
    return graph.module[path].cls.rpartition(".")[2].rstrip("0123456789"), local


def placed(hierarchy: Hierarchy, root: Region, shown: Iterable[str]) -> dict[str, str]:
    """Full names for constants that are written out: at the class that holds their readers."""
    readers: dict[str, list[str]] = {}
    for region in root.walk():
        for item in region.items:
            if not isinstance(item, Region):
                for ref in item.weight_refs():
                    readers.setdefault(ref.name, []).append(region.path)
    found: dict[str, str] = {}
    taken = {w.name for w in hierarchy.graph.weights} | {m.path for m in hierarchy.graph.modules}
    for name in shown:
        if hierarchy.graph.weight[name].kind == "constant" and name in readers:
            home = name.rpartition(".")[0]
            if home in hierarchy.graph.module and hierarchy.kind(home) is Kind.CLASS:
                continue
            owner = _common(readers[name])
            while owner not in hierarchy.graph.module or hierarchy.kind(owner) is not Kind.CLASS:
                owner = owner.rpartition(".")[0]
            found[name] = _unique(owner, names.local(name.rpartition(".")[2]), taken)
    return found


def _unique(owner: str, wanted: str, taken: set[str]) -> str:
    name, number = join(owner, wanted), 1
    while name in taken or not names.is_plain(name.rpartition(".")[2]):
        number += 1
        name = join(owner, f"{wanted}{number}")
    taken.add(name)
    return name


def _common(paths: list[str]) -> str:
    parts = [p.split(".") for p in paths]
    shared = []
    for names_ in zip(*parts, strict=False):
        if len(set(names_)) > 1:
            break
        shared.append(names_[0])
    return ".".join(shared)


def _literal(value: Tensor) -> Expr | None:
    if value.numel() > 64 or value.is_complex() or value.layout is not torch.strided:
        return None
    dtype = str(value.dtype).removeprefix("torch.")
    usual = {"float32": float, "int64": int, "bool": bool}
    items = [_nested(value.detach().cpu().tolist())]
    if dtype not in usual or value.numel() == 0:
        items.append(named("dtype", literal(TorchName(dtype))))
    shown = call("torch.tensor", items)
    return shown if len(shown.text) <= LONGEST else None


def _nested(value: object) -> Expr:
    if isinstance(value, list):
        return expr.display(map(_nested, value), "[]")
    assert isinstance(value, bool | int | float)
    return literal(value)
