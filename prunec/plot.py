"""Plots: the front of a sweep as SVG or PNG, the same bytes for the same front."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING

from prunec.diagnostics import Diagnostic, PruneError
from prunec.report.front import Front

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = ("svg", "png")
METADATA = {"svg": {"Date": None}, "png": {"Software": None}}


def check_installed() -> None:
    """Refuse where matplotlib is missing (P0647)."""
    if find_spec("matplotlib") is None:
        hint = '`pip install "prunec[plot]"` brings it; `-o front.json` does without'
        raise PruneError(Diagnostic("P0647", "a plot is drawn by matplotlib", help=hint))


def draw(front: Front, suffix: str) -> bytes:
    """The loss of each step against its cost, with the bound below it.

    Steps that cannot be met are marked on the axis of the cost.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"svg.hashsalt": "prunec", "svg.fonttype": "none"})
        figure = Figure(figsize=(6, 4), layout="constrained")
        _fill(figure.add_subplot(), front)
        file = BytesIO()
        figure.savefig(file, format=suffix, dpi=150, metadata=METADATA[suffix])
    return file.getvalue()


def _fill(axes: Axes, front: Front) -> None:
    met = sorted((s.cost, s.plan.objective, s.plan.bound) for s in front.steps if s.plan)
    curve = [(100 * cost / front.dense, loss) for cost, loss, _ in met]
    bounds = [(100 * cost / front.dense, least) for cost, _, least in met if least is not None]
    missed = [(100 * s.bound / front.dense, 0.0) for s in front.steps if not s.plan]
    for points, style, colour, name in (
        (curve, "o-", "tab:blue", str(front.solver["name"])),
        (bounds, "--", "gray", "no plan is below"),
        (missed, "x", "tab:red", "not possible"),
    ):
        if points:
            xs, ys = zip(*points, strict=True)
            axes.plot(xs, ys, style, color=colour, label=name)
    axes.set_xlabel(f"{front.metric}{f' in {front.scope}' if front.scope else ''}, % of dense")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    axes.legend()
