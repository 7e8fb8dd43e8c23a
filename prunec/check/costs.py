"""Costs: what the emitted module really has, counted anew, against every budget.

Parameters are counted element by element, the weights file in bytes, and the multiply-adds of one
sample by torch's `FlopCounterMode`, which counts two for each. Those are not counted in a scope,
nor where the model has operators that torch counts otherwise or not at all. (A latency is measured,
not counted: that is not done here.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from prunec.check import renumbered, structure
from prunec.check.removed import Removed
from prunec.diagnostics import Diagnostic
from prunec.ir import units
from prunec.ir.graph import Graph
from prunec.ir.plan import Cost

BATCH = frozenset({"N", "B", "batch"})
"""Names of a dynamic size that mean the number of samples."""
UNCOUNTED = (
    *("aten.lstm", "aten.gru", "aten.rnn_", "aten._grouped_mm"),
    *("aten.lstm_cell", "aten.gru_cell", "transformers."),
)
"""How operators begin whose multiply-adds torch's counter does not see."""
HELP = "this is a defect of prunec, do not use this output; please report it with the model"


@dataclass(frozen=True, slots=True)
class Result:
    """What was counted, for people, and P0808 or P0809 for whatever does not hold."""

    figures: str
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, eq=False)
class Question:
    """An emitted module and its weights file; the original's graph, what is removed of it, and an
    example of its inputs.
    """

    graph: Graph
    removed: Removed
    slim: nn.Module
    weights: bytes
    example: Sequence[Tensor]


def run(question: Question, costs: Sequence[Cost]) -> Result:
    """P0808 for every budget that the module exceeds, P0809 for a smaller figure than there is.

    ``costs`` are what the compiler reports. Only what can be counted is judged; the figures name
    the budgets that cannot.
    """
    counted: list[str] = []
    others: list[str] = []
    faults: list[Diagnostic] = []
    for cost in costs:
        found = _counted(question, cost)
        if found is not None:
            counted.append(f"{_name(cost)} {units.show(found, cost.metric)}")
            faults += _faults(cost, found)
        elif cost.bound is not None and not cost.metric.startswith("latency"):
            others.append(_name(cost))
    figures = ", ".join(counted)
    return Result(f"{figures}; not counted: {', '.join(others)}" if others else figures, (*faults,))


def _counted(question: Question, cost: Cost) -> int | None:
    match cost.metric:
        case "params":
            return _parameters(question.slim, cost.paths)
        case "weights":
            return _weights(question, cost.paths)
        case "macs" if cost.paths is None and cost.bound is not None:
            return _macs(question)
        case _:
            return None


def _faults(cost: Cost, found: int) -> Iterator[Diagnostic]:
    if cost.bound is not None and found > cost.bound:
        yield _exceeded(cost, cost.bound, found)
    elif found > cost.slim and cost.metric != "macs":
        yield _understated(cost, found)


def _parameters(slim: nn.Module, paths: frozenset[str] | None) -> int:
    """Elements of the parameters that have a name inside, each once."""
    named = slim.named_parameters(remove_duplicate=False)
    found = {id(p): p for name, p in named if _inside(name, paths)}
    return sum(p.numel() for p in found.values())


def _weights(question: Question, paths: frozenset[str] | None) -> int:
    """The length of the file; in a scope, of the tensors that have a name inside."""
    if paths is None:
        return len(question.weights)
    length = int.from_bytes(question.weights[:8], "little")
    entries = json.loads(question.weights[8 : 8 + length])
    ties = {w.name: w.ties for w in question.graph.weights}
    return sum(
        entry["data_offsets"][1] - entry["data_offsets"][0]
        for name, entry in entries.items()
        if name != "__metadata__" and any(_inside(n, paths) for n in (name, *ties.get(name, ())))
    )


def _inside(name: str, paths: frozenset[str] | None) -> bool:
    """Whether a tensor is owned by a module at one of the paths, or below."""
    owner = name.rpartition(".")[0]
    return paths is None or any(
        not path or owner == path or owner.startswith(f"{path}.") for path in paths
    )


def _macs(question: Question) -> int | None:
    """The multiply-adds of one sample; None where torch does not count them all."""
    if any(node.op.startswith(UNCOUNTED) for node in question.graph.nodes):
        return None
    with (
        torch.no_grad(),
        torch.backends.opt_einsum.flags(enabled=False),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        structure.call(question.slim, question.graph, tuple(_one_sample(question)))
    flops: int = counter.get_total_flops()
    return flops // 2


def _one_sample(question: Question) -> Iterator[Tensor]:
    """The example, cut to one sample, at the traced sizes of all other dynamic dimensions."""
    graph, removed = question.graph, question.removed
    sizes = _sizes(graph)
    given = renumbered.ranks(graph, removed, renumbered.originals(graph, removed, question.example))
    device = next((p.device for p in question.slim.parameters()), torch.device("cpu"))
    for declared, tensor in zip(graph.inputs, given, strict=True):
        cut = tensor.to(device)
        for dim, symbol in enumerate(declared.type.symbols):
            if symbol is not None:
                index = torch.arange(sizes[symbol], device=device) % cut.shape[dim]
                cut = cut.index_select(dim, index)
        yield cut


def _sizes(graph: Graph) -> Mapping[str, int]:
    dims = [
        (symbol, size)
        for given in graph.inputs
        for symbol, size in zip(given.type.symbols, given.type.shape, strict=True)
        if symbol is not None
    ]
    leading = {symbol for given in graph.inputs[:1] for symbol in given.type.symbols[:1]}
    batch = {symbol for symbol, _ in dims if symbol in BATCH} or leading
    return {symbol: 1 if symbol in batch else size for symbol, size in dims}


def _name(cost: Cost) -> str:
    return f"{cost.metric} in {cost.scope}" if cost.scope else cost.metric


def _exceeded(cost: Cost, bound: int, found: int) -> Diagnostic:
    asked, real = _told(cost, bound, found)
    return Diagnostic(
        "P0808",
        f"the emitted model exceeds a budget: {_name(cost)} {real}, asked {asked}",
        help=HELP,
    )


def _understated(cost: Cost, found: int) -> Diagnostic:
    planned, real = _told(cost, cost.slim, found)
    return Diagnostic(
        "P0809",
        f"the emitted model costs more than planned: {_name(cost)} {real}, planned {planned}",
        help=HELP,
    )


def _told(cost: Cost, claimed: int, found: int) -> tuple[str, str]:
    """Two amounts, written out where they would look alike."""
    short = units.show(claimed, cost.metric), units.show(found, cost.metric)
    if short[0] != short[1]:
        return short
    return units.exact(claimed, cost.metric), units.exact(found, cost.metric)
