"""Explanations: all that is known of one group, or of the weights of one module."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from rich.console import RenderableType
from rich.text import Text

from prunec.diagnostics import Diagnostic, PruneError, nearest
from prunec.ir.group import Group, Kind
from prunec.report import tables
from prunec.report.analysis import Analysis

NOUNS: dict[Kind, str] = {
    "channels": "channels",
    "hidden": "channels of a residual stream",
    "heads": "heads of attention",
    "kv_heads": "heads of keys and values, each with its query heads",
    "head_dim": "channels inside every head",
    "experts": "experts",
    "groups": "groups of channels",
    "vocabulary": "tokens",
    "blocks": "residual branches",
    "layers": "repeated layers",
}


def overview(found: Analysis) -> tuple[RenderableType, ...]:
    """What can be removed, why the rest cannot, and the operators that are not understood."""
    return tables.analysis(found)


def subject(found: Analysis, name: str) -> tuple[RenderableType, ...]:
    """A group by its name, or every module whose path matches a glob.

    Raises:
        PruneError: P0506 when nothing has this name.
    """
    groups = [g for g in _everything(found) if g.name == name]
    if groups:
        return tuple(_block(found, groups[0]) if groups[0].branches else _group(found, groups[0]))
    modules = [m.path for m in found.graph.modules if fnmatchcase(m.path, name)]
    weights = [w.name for w in found.graph.weights if _within(w.name, modules)]
    if not weights:
        known = [g.name for g in _everything(found)] + [
            m.path for m in found.graph.modules if m.path
        ]
        raise PruneError(
            Diagnostic(
                "P0506",
                f"no group and no module with weights is called `{name}`",
                help=nearest(name, known) or "`prunec groups FILE` lists the groups",
            )
        )
    return (_weights(found, weights),)


def _everything(found: Analysis) -> tuple[Group, ...]:
    return (*found.groups, *found.blocks, *found.layers)


def _group(found: Analysis, group: Group) -> Iterator[RenderableType]:
    yield Text(f"{group.name}: {group.size} {NOUNS[group.kind]}, {_meaning(group)}")
    for node in group.mixing:
        line = found.graph.node[node].line if node in found.graph.node else None
        yield Text(f"  mixed by %{node}" + (f" at {line}" if line else ""))
    table = tables.plain("tensor", dim="right", role="left", axis="left")
    for place in group.places:
        table.add_row(Text(place.weight), str(place.dim), place.role, Text(str(place.axis)))
    yield table


def _block(found: Analysis, group: Group) -> Iterator[RenderableType]:
    number = sum(len(b.exclusive) for b in group.branches)
    what = "a residual branch" if group.kind == "blocks" else "all residual branches of a layer"
    yield Text(f"{group.name}: {what}, {number} operators")
    for branch in group.branches:
        line = found.graph.node[branch.node].line
        yield Text(f"  added by %{branch.node}{f' at {line}' if line else ''}: {branch.skip} stays")
    table = tables.plain("tensor", size="left")
    for name in (name for branch in group.branches for name in branch.weights):
        table.add_row(Text(name), Text(str(list(found.graph.weight[name].type.shape))))
    yield table


def _meaning(group: Group) -> str:
    if group.exact:
        return "exact: removing a channel equals zeroing it wherever it is made"
    return "mixing: the slim model applies the same operators to the channels that stay"


def _weights(found: Analysis, weights: list[str]) -> RenderableType:
    """For each dimension of each weight the groups that it belongs to, or why it is frozen."""
    table = tables.plain("tensor", dim="right", size="right", verdict="left")
    for name in weights:
        for dim, size in enumerate(found.graph.weight[name].type.shape):
            verdict = "; ".join(_verdicts(found, name, dim)) or "of size one"
            table.add_row(Text(name), str(dim), str(size), Text(verdict))
    return table


def _verdicts(found: Analysis, weight: str, dim: int) -> Iterator[str]:
    for group in found.groups:
        if any((p.weight, p.dim) == (weight, dim) for p in group.places):
            yield f"group {group.name}" + (" (hidden)" if group.kind == "hidden" else "")
    for axis in found.frozen:
        if (axis.weight, axis.dim) == (weight, dim):
            line = f" ({axis.because.line})" if axis.because.line else ""
            yield f"frozen: {axis.because.reason}{line}"


def _within(weight: str, modules: list[str]) -> bool:
    owner = weight.rpartition(".")[0]
    return any(not m or owner == m or owner.startswith(f"{m}.") for m in modules)
