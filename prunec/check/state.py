"""State: the slim module holds the original's names, and the dense weights at the kept indices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from prunec.check.removed import Removed, select
from prunec.diagnostics import Diagnostic
from prunec.ir.graph import Graph, Weight

SHOWN = 5


def run(
    graph: Graph,
    weights: Mapping[str, Tensor],
    removed: Removed,
    slim: nn.Module,
    *,
    repaired: bool = False,
) -> tuple[Diagnostic, ...]:
    """P0807 for every disagreement of a slim module's state dict with the original's.

    The keys are the original's but for what is absent, ties included and still tied; every shape is
    what is kept, so the number of parameters is the predicted one; and unless the weights are
    ``repaired``, every value is the original's at the kept indices, to the bit.
    """
    found = [*_keys(graph, removed, slim)]
    state = slim.state_dict(keep_vars=True)
    for weight in _present(graph, removed):
        want = select(weights[weight.name], removed.weights.get(weight.name))
        found += [
            _fault(f"`{name}` {fault}")
            for name in (weight.name, *weight.ties)
            if name in state and (fault := _difference(want, state[name], repaired)) is not None
        ]
        found += _untied(weight, state)
    return tuple(found[:SHOWN])


def parameters(graph: Graph, removed: Removed) -> int:
    """How many parameters the slim module must have; tied ones count once."""
    present = _present(graph, removed)
    return sum(_kept_elements(w, removed) for w in present if w.kind == "parameter")


def _present(graph: Graph, removed: Removed) -> list[Weight]:
    return [w for w in graph.weights if w.name not in removed.absent]


def _kept_elements(weight: Weight, removed: Removed) -> int:
    index = torch.empty(weight.type.shape, device="meta")
    return select(index, removed.weights.get(weight.name)).numel()


def _keys(graph: Graph, removed: Removed, slim: nn.Module) -> Iterator[Diagnostic]:
    stored = [w for w in _present(graph, removed) if w.kind != "constant" and w.persistent]
    wanted = {name for w in stored for name in (w.name, *w.ties)}
    given = set(slim.state_dict())
    if wanted - given:
        yield _fault(f"the slim module lacks {_list(wanted - given)}")
    if given - wanted:
        yield _fault(f"the slim module has {_list(given - wanted)}, which it should not have")


def _difference(want: Tensor, got: Tensor, repaired: bool) -> str | None:
    if want.shape != got.shape or want.dtype != got.dtype:
        return f"is {got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
    same = repaired or torch.equal(want.nan_to_num(), got.detach().nan_to_num())
    return None if same else "differs from the original's values at the kept indices"


def _untied(weight: Weight, state: Mapping[str, Tensor]) -> list[Diagnostic]:
    held = {id(state[name]) for name in (weight.name, *weight.ties) if name in state}
    if weight.kind != "parameter" or len(held) < 2:
        return []
    return [_fault(f"`{weight.name}` and {_list(set(weight.ties))} are not tied any more")]


def _list(names: set[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in sorted(names)[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _fault(message: str) -> Diagnostic:
    return Diagnostic(
        "P0807",
        message,
        help="this is a defect of prunec, do not use this output; please report it with the model",
    )
