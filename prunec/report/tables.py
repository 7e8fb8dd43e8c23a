"""Tables for people, drawn with rich; plain text where there is no terminal."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from math import prod

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from prunec.ir import units
from prunec.ir.group import Group
from prunec.ir.plan import Cost, Plan
from prunec.report.analysis import Analysis
from prunec.report.data import Check, Report, Timing, Width, ratio
from prunec.report.front import Front


def text(*parts: RenderableType, width: int = 100) -> str:
    """The parts as plain text, a blank line between them."""
    file = StringIO()
    console = Console(file=file, width=width, color_system=None, legacy_windows=False)
    render(console, *parts)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def render(console: Console, *parts: RenderableType) -> None:
    """Print the parts, a blank line between them."""
    for number, part in enumerate(parts):
        if number:
            console.print()
        console.print(part)


def report(found: Report) -> tuple[RenderableType, ...]:
    """A whole report: costs, times, the plan, widths, accuracy, calls of private names, proofs."""
    parts: list[RenderableType] = [costs(found.costs)]
    parts += [timing(t) for t in found.timings]
    parts += [plan(found), widths(found.widths)]
    if found.accuracy is not None:
        a = found.accuracy
        parts.append(Text(f"accuracy {a.dense:.2%} -> {a.slim:.2%} on {a.count} answers"))
    if found.source is not None and found.source.private:
        parts.append(Text(str(found.source)))
    if found.checks:
        parts.append(checks(found.checks))
    return tuple(parts)


def costs(found: Sequence[Cost]) -> Table:
    """Dense and slim costs beside their bounds."""
    table = plain("cost", dense="right", slim="right", share="right", bound="right")
    for cost in found:
        name = _cost_name(cost)
        share = f"{cost.slim / cost.dense:.1%}" if cost.dense else ""
        bound = "" if cost.bound is None else f"<= {units.show(cost.bound, cost.metric)}"
        style = None if cost.holds else "red"
        dense, slim = units.show(cost.dense, cost.metric), units.show(cost.slim, cost.metric)
        table.add_row(Text(name), dense, slim, share, bound, style=style)
    return table


def timing(found: Timing) -> Table:
    """A latency target: what was predicted beside what was measured, dense and slim."""
    where = f" in {found.scope}" if found.scope else ""
    first = f"latency{where} on {found.device}"
    names = ("predicted", "measured", "ratio", "share", "bound")
    table = plain(first, **dict.fromkeys(names, "right"))
    table.add_row("dense", *_beside(found.profiled_dense, found.dense), "", "")
    bound, style = f"<= {_time(found.bound)}", None if found.holds else "red"
    share = f"{found.slim / found.dense:.1%}" if found.dense else ""
    table.add_row("slim", *_beside(found.predicted, found.slim), share, bound, style=style)
    plans = f"{found.tries} {'plan' if found.tries == 1 else 'plans'} measured"
    table.caption = f"ratio: predicted / measured; medians scatter by {found.noise:.1%}; {plans}"
    table.caption += "\nslim is predicted as the profile's share of the dense model as measured"
    return table


def front(found: Front) -> Table:
    """A row for each bound of a sweep: costs, loss, certificate, and how many channels stay."""
    plans = [step.plan for step in found.steps if step.plan]
    named = [_cost_name(c) for c in plans[0].costs] if plans else []
    columns = ("loss", "bound", "gap", "channels")
    table = plain("target", **dict.fromkeys((*named, *columns), "right"))
    for step in found.steps:
        if step.plan is None:
            why = "already met" if step.faults[0].code == "P0602" else "cannot be met"
            table.add_row(Text(step.target), *("" for _ in named), why, style="red")
            continue
        costs = (f"{c.slim / c.dense:.1%}" if c.dense else "" for c in step.plan.costs)
        kept, size = sum(found.kept(step.plan).values()), sum(found.sizes.values())
        table.add_row(Text(step.target), *costs, *_certificate(step.plan), f"{kept} of {size}")
    return table


def _certificate(plan: Plan) -> tuple[str, str, str]:
    """The loss, the bound that no plan is below, and the gap between them."""
    bound = "" if plan.bound is None else f"{plan.bound:.4g}"
    return f"{plan.objective:.4g}", bound, "" if plan.gap is None else f"{plan.gap:.2%}"


def _cost_name(cost: Cost) -> str:
    predicted = "predicted " if cost.metric.startswith("latency") else ""
    return f"{predicted}{cost.metric}" + (f" in {cost.scope}" if cost.scope else "")


def plan(found: Report) -> Table:
    """What the plan loses, in the unit of the scores, beside what every plan loses."""
    table = plain(
        "plan by", loss="right", bound="right", gap="right", seed="right", seconds="right"
    )
    of = found.plan
    bound = "" if of.bound is None else f"{of.bound:.6g}"
    gap = "" if of.gap is None else f"{of.gap:.2%}"
    seed = "" if of.seed is None else str(of.seed)
    table.add_row(Text(found.solver), f"{of.objective:.6g}", bound, gap, seed, f"{of.seconds:.1f}")
    return table


def widths(found: Sequence[Width]) -> Table:
    """How many channels each group keeps; what loses none is counted in the last line."""
    table = plain("group", kind="left", kept="right", of="right")
    for row in found:
        if row.kept < row.size:
            kept = str(row.kept) if row.kept else "removed"
            table.add_row(Text(row.group), row.kind, kept, str(row.size))
    whole = sum(row.kept == row.size for row in found)
    if whole:
        table.add_row(f"({whole} {'group keeps' if whole == 1 else 'groups keep'} all)", "", "", "")
    return table


def checks(found: Sequence[Check]) -> Table:
    """Proofs, passed or failed."""
    table = plain("proof", result="left", figures="left")
    for check in found:
        style = "green" if check.passed else "red"
        result = Text("holds" if check.passed else "FAILS", style=style)
        table.add_row(Text(check.name), result, Text(check.detail))
    return table


def groups(found: Analysis) -> Table:
    """Every group with its size and whether it is exact."""
    table = plain("group", kind="left", size="right", tensors="right", semantics="left")
    for group in found.groups:
        tensors = str(len({p.weight for p in group.places}))
        table.add_row(Text(group.name), group.kind, str(group.size), tensors, semantics(group))
    return table


def blocks(found: Analysis) -> Table:
    """Every residual branch that can be removed whole, with the parameters that go with it."""
    table = plain("block", parameters="right")
    for group in found.blocks:
        table.add_row(Text(group.name), units.show(_parameters(found, group)))
    return table


def layers(found: Analysis) -> Table:
    """Every repeated layer that can be removed whole, with its branches and their parameters."""
    table = plain("layer", branches="right", parameters="right")
    for group in found.layers:
        branches = str(len(group.branches))
        table.add_row(Text(group.name), branches, units.show(_parameters(found, group)))
    return table


def _parameters(found: Analysis, group: Group) -> int:
    """How many elements the parameters have that go with a group's branches."""
    own = (found.graph.weight[name] for b in group.branches for name in b.weights)
    return sum(prod(w.type.shape) for w in own if w.kind == "parameter")


def frozen(found: Analysis) -> Table:
    """Why weight axes are frozen, the commonest reason first."""
    table = plain("frozen because", axes="right", first="left", line="left")
    for reason, number in found.reasons():
        first = next(f for f in found.frozen if f.because.reason == reason)
        where = f"{first.weight}[{first.dim}]"
        table.add_row(Text(reason), str(number), Text(where), Text(first.because.line or ""))
    return table


def analysis(found: Analysis) -> tuple[RenderableType, ...]:
    """Groups, blocks and layers, frozen axes, and the operators that are not understood."""
    parts = [groups(found)]
    parts += [blocks(found)] if found.blocks else []
    parts += [layers(found)] if found.layers else []
    parts.append(frozen(found))
    return (*parts, operators(found)) if found.unknown or found.probed else tuple(parts)


def operators(found: Analysis) -> Table:
    """Operators without a signature, with what each keeps out of reach."""
    table = plain("operator", parameters="right", line="left", why="left")
    for each in (*found.unknown, *found.probed):
        line = Text(each.line or "")
        table.add_row(Text(each.op), units.show(each.parameters), line, Text(each.reason))
    return table


def semantics(group: Group) -> str:
    """``exact``, or which nodes mix the group's channels."""
    if group.exact:
        return "exact"
    more = f" and {len(group.mixing) - 2} more" if len(group.mixing) > 2 else ""
    return f"mixed by {', '.join(group.mixing[:2])}{more}"


def _beside(predicted: int, measured: int) -> tuple[str, str, str]:
    found = ratio(predicted, measured)
    return _time(predicted), _time(measured), "" if found is None else f"{found:.2f}"


def _time(nanoseconds: int) -> str:
    return units.show(nanoseconds, "latency")


def plain(first: str, /, **columns: str) -> Table:
    """An empty table; each column after the first is justified left or right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(first, overflow="fold")
    for name, justify in columns.items():
        table.add_column(name, justify="right" if justify == "right" else "left", overflow="fold")
    return table
