"""Schemas: the arguments of an operator by name, with torch's own defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from prunec.diagnostics import InternalError
from prunec.ir.graph import Argument, Node

MISSING: Any = object()

LAST = 2**63 - 1
"""What torch writes for the end of an open slice."""

STORE = "store"
"""Our own operator: ``base`` with ``value`` at ``index``, in the base's own memory (`stores`)."""


@dataclass(frozen=True, slots=True)
class Param:
    """One argument of an operator: ``kind`` is its type in the schema (``SymInt[2]``)."""

    name: str
    kind: str
    default: Argument
    keyword_only: bool
    size: int | None = None


@cache
def params(op: str) -> tuple[Param, ...]:
    """The schema of ``aten.conv2d.default`` (or of a store), in order."""
    if op == STORE:
        return tuple(Param(n, "", MISSING, False) for n in ("base", "value", "index"))
    namespace, base, overload = op.split(".")
    try:
        schema = getattr(getattr(getattr(torch.ops, namespace), base), overload)._schema
    except AttributeError as error:
        raise InternalError(f"operator {op} is not known to torch") from error
    return tuple(
        Param(
            a.name,
            str(a.type),
            _plain(a.default_value) if a.has_default_value() else MISSING,
            a.kwarg_only,
            a.N,
        )
        for a in schema.arguments
    )


def bind(node: Node) -> Mapping[str, Argument]:
    """Every argument of a node by its schema name, defaults filled in."""
    schema = params(node.op)
    given = {p.name: value for p, value in zip(schema, node.args, strict=False)}
    given.update(node.kwargs)
    values = ((p.name, given.get(p.name, p.default)) for p in schema)
    return {name: value for name, value in values if value is not MISSING}


def base(op: str) -> str:
    """``conv2d`` of ``aten.conv2d.default``; the whole name of what is not aten's."""
    return op.split(".")[1] if op.startswith("aten.") else op


def _plain(value: Any) -> Argument:
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value
