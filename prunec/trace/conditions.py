"""Conditions: what torch assumed about the dynamic sizes while it traced.

A model that branches on a size is traced along one branch. What torch assumed is compared with the
sizes that the user gave: a symbol that became a number, or an assumption that the user's own
example breaks, makes its dimension fixed; the other assumptions are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from prunec.trace.inputs import Example
from prunec.trace.program import Captured
from prunec.trace.symbols import is_dynamic


def lost(captured: Captured, given: Example) -> dict[str, str]:
    """The symbols that cannot stay dynamic, each with the reason."""
    symbols = captured.symbols
    found: dict[str, str] = {}
    for value, leaf in captured.inputs():
        for dim, name in leaf.dims.items():
            if not is_dynamic(value.shape[dim]):
                found[name] = "the model computes with this size as a plain number"
    for guard in _guards(captured):
        named = {s: symbols.names[str(s)] for s in guard.free_symbols if str(s) in symbols.names}
        sizes = {s: max(given.size(n), 2) for s, n in named.items() if n in given.symbols}
        if guard.subs(sizes) == False:  # noqa: E712  (a sympy truth value)
            text = symbols.show(guard)
            found |= dict.fromkeys(
                named.values(), f"the model branches on it; it was traced for {text}"
            )
    return found


def texts(captured: Captured) -> tuple[str, ...]:
    """The assumptions, in the user's names, each once."""
    return tuple(dict.fromkeys(captured.symbols.show(guard) for guard in _guards(captured)))


def _guards(captured: Captured) -> Iterator[Any]:
    """Assumptions that do not hold for every size of two or more."""
    for value, _ in captured.inputs():
        for size in value.shape:
            if isinstance(size, torch.SymInt):
                known = {str(s) for s in captured.symbols.names}
                for guard in size.node.shape_env.guards:
                    expression = guard.expr
                    if {
                        str(s) for s in expression.free_symbols
                    } <= known and expression.free_symbols:
                        yield expression
                return
