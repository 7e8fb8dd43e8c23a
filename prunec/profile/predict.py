"""Predicting: from a profile to the latency of a model as a function of its widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.graph import Graph
from prunec.ir.group import Branch
from prunec.passes import latency
from prunec.passes.latency import Correction, Surface, Units, robust
from prunec.passes.timed import Timed
from prunec.profile.build import key
from prunec.profile.store import Measured, Model, Profile
from prunec.spec import Device

SHOWN = 3


def timed(
    profile: Profile,
    graph: Graph,
    units: Units,
    device: Device,
    branches: Mapping[int, tuple[Branch, ...]] | None = None,
) -> Timed:
    """What the dense ``graph`` takes, as a function of its widths; ``units`` are its own
    (`passes.latency.run`), ``branches`` those that may go, by atom.

    Raises:
        PruneError: P0621 if the profile lacks units of the model, or the model.
    """
    known = profile.models.get(key(graph))
    _check(profile, known, units, device)
    assert known is not None
    signatures = dict.fromkeys(u.signature for u in units.units)
    surfaces = {signature: surface(profile.units[signature]) for signature in signatures}
    return Timed(units, surfaces, correction(known), graph, branches or {})


def _check(profile: Profile, known: Model | None, units: Units, device: Device) -> None:
    """Whether everything that a prediction needs is measured."""
    wanted = dict.fromkeys(u.signature for u in units.units)
    lacking = [s for s in wanted if s not in profile.units or not profile.units[s].points]
    if lacking or known is None or not known.whole:
        raise PruneError(_lacking(lacking, len(wanted), device))


def surface(measured: Measured) -> Surface:
    """The surface through the points of a unit."""
    points = np.array(measured.points, dtype=np.int64)
    sizes = points[:, :-3]
    return latency.fit(sizes, points[:, -3].astype(np.float64), measured.breaks)


def correction(known: Model) -> Correction:
    """What the whole costs beside its units."""
    total = np.array([w.ns for w in known.whole], dtype=np.float64)
    units = np.array([w.units for w in known.whole], dtype=np.float64)
    rows = np.stack([units, np.full(len(units), float(max(1, known.nodes)))], axis=1)
    scale, overhead = robust.fit(rows, total).tolist()
    return Correction(scale, overhead)


def _lacking(signatures: Sequence[str], count: int, device: Device) -> Diagnostic:
    more = f" and {len(signatures) - SHOWN} more" if len(signatures) > SHOWN else ""
    what = f"{len(signatures)} of {count} kinds of operators" if signatures else "the whole model"
    return Diagnostic(
        "P0621",
        f"the device profile lacks {what} of this model",
        notes=(*signatures[:SHOWN], *([more.strip()] if more else [])),
        help=f'measure them: `prunec profile FILE --on "{device}"`; what is known stays',
    )
