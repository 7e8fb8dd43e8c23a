"""Modes: what a graph drawn in eval mode says of training mode, and notes on what it cannot say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import fx, nn
from torch._ops import OpOverload

from prunec.diagnostics import Diagnostic
from prunec.ir.graph import Graph, InTraining, Node
from prunec.trace import modules, training
from prunec.trace.faults import reason
from prunec.trace.program import Captured
from prunec.trace.training import ATTENTION, DRAWS, DROPOUTS, Draw

OPERATOR = f"aten.{ATTENTION}.default"
POSITION = [a.name for a in torch.ops.aten.scaled_dot_product_attention.default._schema.arguments]
SETTINGS = ("drop_prob", "p", "drop_path", "layerdrop", "dropout", "jitter_noise")
"""Attributes in which modules keep how likely they drop something."""


def run(module: nn.Module, captured: Captured, graph: Graph) -> tuple[Graph, list[Diagnostic]]:
    """The graph with the dropouts of its attentions, and what else is different in training mode:
    P0324 what is random, P0325 where gradients are cut off, P0326 if the model cannot be called.
    """
    try:
        seen = training.run(module, captured.example)
    except Exception as error:  # the model's code may raise anything
        return graph, [_unknown(error)]
    known = modules.canonical_paths(module)
    attentions = {known.get(path, path): found for path, found in seen.attentions.items()}
    told, silent = _told(graph, attentions)
    lost = _lost(seen.draws, _random(captured, known))
    notes = []
    if lost or silent:
        lines = (*_drawn(module, lost), *silent)
        message = "what the model does at random in training mode is not in the compiled model"
        notes.append(Diagnostic("P0324", message, severity="note", notes=lines))
    if seen.cut:
        message = f"gradients flow in the compiled model that {_listed(seen.cut)} cuts off"
        notes.append(Diagnostic("P0325", message, severity="note"))
    return told, notes


def _told(graph: Graph, attentions: Mapping[str, Sequence[float]]) -> tuple[Graph, tuple[str, ...]]:
    """The graph's attentions with their dropouts, and lines on those that are not clear."""
    at: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if node.op == OPERATOR:
            at.setdefault(node.module, []).append(node)
    changed: dict[str, Node] = {}
    silent = []
    for path, found in attentions.items():
        nodes = at.get(path, [])
        if len(set(found)) == 1:
            found = [found[0]] * len(nodes)  # noqa: PLW2901
        if not any(found) and nodes:
            continue
        if len(found) != len(nodes) or not nodes:
            silent += [f"attention of `{path}` drops out with p={max(found)}"] * any(found)
            continue
        changed |= {n.name: _dropping(n, p) for n, p in zip(nodes, found, strict=True) if p > 0}
    nodes_ = tuple(changed.get(node.name, node) for node in graph.nodes)
    return (replace(graph, nodes=nodes_) if changed else graph), tuple(silent)


def _dropping(node: Node, p: float) -> Node:
    """An attention that drops out in training; one that does so in eval mode too stays."""
    place = POSITION.index("dropout_p")
    kwargs = dict(node.kwargs)
    given = node.args[place] if len(node.args) > place else kwargs.get("dropout_p", 0.0)
    if given != 0:
        return node
    if len(node.args) > place:
        args = (*node.args[:place], InTraining(p), *node.args[place + 1 :])
        return replace(node, args=args)
    return replace(node, kwargs=tuple({**kwargs, "dropout_p": InTraining(p)}.items()))


def _random(captured: Captured, known: Mapping[str, str]) -> Counter[str]:
    """How many random operators the program has, by module; dead ones count."""
    found: Counter[str] = Counter()
    for part in captured.program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, fx.GraphModule) else ():
            if isinstance(node.target, OpOverload):
                base = node.target._schema.name.split("::")[1].removesuffix("_")
                if base in DROPOUTS | DRAWS:
                    frames = captured.place(node)[0] or (("", "", ""),)
                    found[known.get(frames[-1][1], frames[-1][1])] += 1
    return found


def _lost(draws: Iterable[Draw], kept: Mapping[str, int]) -> list[Draw]:
    """The draws of modules that draw more often in training mode than the program does."""
    rows: dict[str, list[Draw]] = {}
    for draw in draws:
        rows.setdefault(draw.path, []).append(draw)
    return [draw for path, row in rows.items() for draw in row[kept.get(path, 0) :]]


def _drawn(module: nn.Module, lost: Iterable[Draw]) -> Iterator[str]:
    """One line for all modules of a class: how many, the first, how likely they drop at most."""
    rows: dict[str, dict[str, float]] = {}
    for draw in lost:
        owner = module.get_submodule(draw.path)
        p = draw.p if draw.p is not None else _setting(owner)
        row = rows.setdefault(type(owner).__name__, {})
        row[draw.path] = max(row.get(draw.path, 0.0), p)
    for cls, row in rows.items():
        most = max(row.values())
        named = f"`{next(iter(row))}`" if next(iter(row)) else "the model itself"
        where = named if len(row) == 1 else f"{named} and {len(row) - 1} more"
        yield f"{cls} ({where})" + (f", p up to {most:.3g}" if most else "")


def _setting(module: nn.Module) -> float:
    values = [getattr(module, name, None) for name in SETTINGS]
    return max((v for v in values if isinstance(v, float)), default=0.0)


def _unknown(error: Exception) -> Diagnostic:
    return Diagnostic(
        "P0326",
        "the model cannot be called in training mode with the example inputs, so what it does "
        "there beyond what it does in eval mode is not in the compiled model",
        severity="note",
        notes=(reason(error),),
    )


def _listed(paths: Iterable[str]) -> str:
    names = [f"`{path}`" if path else "the model itself" for path in paths]
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
