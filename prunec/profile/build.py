"""Building a profile: what a model still lacks is measured, batch by batch of width settings.

The file is written after every batch, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import nn

from prunec import emit, hashing
from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.graph import Graph
from prunec.passes import latency, shrink
from prunec.passes.latency import Unit, Units
from prunec.passes.polynomial import Monomials
from prunec.passes.shrink import Shrunk
from prunec.profile import clock, inputs, kernels, machine, settings, store
from prunec.profile.clock import Sample
from prunec.profile.inputs import Example
from prunec.profile.store import Machine, Measured, Model, Profile, Whole
from prunec.spec import Device
from prunec.understand import Understood

TURNS = 6
BATCH = 8
"""Settings that take turns."""
BYTES = 512 << 20
"""Weights of all settings of a batch, at most."""
Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many settings are measured, and of how many."""


@dataclass(frozen=True)
class Meter:
    """How things are measured; tests bring their own."""

    survey: Callable[..., tuple[list[list[Sample]], list[Sample]]] = clock.survey
    breaks: Callable[[str, Sequence[int]], list[list[int]]] = kernels.breaks


def key(graph: Graph) -> str:
    """What a profile knows a model by."""
    return hashing.digest(str(graph).encode())


def run(
    model: Understood,
    device: Device,
    path: Path,
    *,
    again: bool = False,
    progress: Progress = lambda done, total: None,
    meter: Meter = Meter(),
) -> Profile:
    """Measure what the profile at ``path`` lacks for a model, and write it.

    With ``again`` all of the model is measured anew.

    Raises:
        PruneError: P0620 for a file that is no profile, P0622 for one of something else, P0624 if
            the device is not here, P0625 if the model cannot take such a batch.
    """
    wanted = machine.this(device, model.traced.graph)
    profile = _start(path, wanted, again)
    name, units = key(model.traced.graph), latency.run(model.traced.graph, model.axes)
    known = profile.models.get(name)
    if known is None or again:
        known = Model(
            name=model.traced.graph.name,
            settings=settings.COUNT,
            measured=0,
            nodes=len(units.units),
            whole=[],
        )
        profile.models[name] = known
        with machine.ready(device):
            _prepare(profile, units, meter, again)
    subject = _Subject(model, units, inputs.example(model, device.batch), device)
    while known.measured < known.settings:
        progress(known.measured, known.settings)
        chosen = range(known.measured, min(known.measured + _batch(model), known.settings))
        _measure(profile, known, subject, chosen, meter)
        known.measured = chosen.stop
        store.write(profile, path)
    progress(known.measured, known.settings)
    return profile


def _start(path: Path, wanted: Machine, again: bool) -> Profile:
    """The profile at a path, or a new one. What another machine measured is not mixed with ours."""
    if not path.exists():
        return Profile(machine=wanted)
    found = store.read(path)
    if machine.differences(found.machine, wanted):
        if not again:
            raise PruneError(_elsewhere(path, found.machine, wanted))
        return Profile(machine=wanted)
    return found


def _prepare(profile: Profile, units: Units, meter: Meter, again: bool) -> None:
    """An entry for every unit that has none, with ``again`` for all; breaks up to the largest
    sizes that any of them has.
    """
    largest: dict[str, tuple[int, ...]] = {}
    for unit in units.units:
        sizes = _sizes(unit, units.widths)
        known = largest.get(unit.signature, sizes)
        largest[unit.signature] = tuple(map(max, sizes, known))
    for signature, most in largest.items():
        before = None if again else profile.units.get(signature)
        points = [] if before is None else before.points
        reach = tuple(map(max, zip(most, *(p[: len(most)] for p in points), strict=True)))
        profile.units[signature] = Measured(breaks=meter.breaks(signature, reach), points=points)


@dataclass(frozen=True, eq=False)
class _Subject:
    model: Understood
    units: Units
    example: Example
    device: Device


def _measure(
    profile: Profile, known: Model, subject: _Subject, chosen: Iterable[int], meter: Meter
) -> None:
    """Measure some settings into the profile."""
    model = subject.model
    graph, tensors = model.traced.graph, model.traced.weights
    made = {
        at: shrink.run(graph, tensors, model.axes, model.groups, settings.plan(model.groups, at))
        for at in chosen
    }
    whole = [at for at in made if settings.is_whole(at)]
    found, totals = meter.survey(
        [(s.graph, s.weights) for s in made.values()],
        [_module(made[at]) for at in whole],
        subject.example,
        subject.device,
        turns=TURNS,
        turn=clock.TURN,
    )
    times = dict(zip(made, found, strict=True))
    for at, samples in times.items():
        _record(profile, subject.units, _atoms(model, settings.widths(model.groups, at)), samples)
    for at, total in zip(whole, totals, strict=True):
        together = sum(sample.ns for sample in times[at])
        known.whole.append(
            Whole(units=together, ns=total.ns, spread=total.spread, count=total.count)
        )


def _module(shrunk: Shrunk) -> nn.Module:
    source = emit.run(shrunk.graph, class_name="Slim", header="", weights=shrunk.weights)
    return emit.load(source, shrunk.weights, "Slim")


def _record(
    profile: Profile, units: Units, widths: Mapping[int, int], samples: Sequence[Sample]
) -> None:
    """Put the units' times at some widths beside those that are known; equal sizes are averaged,
    weighted by their number of runs.
    """
    sizes = {**units.widths, **widths}
    index: dict[str, dict[tuple[int, ...], list[int]]] = {}
    for unit, sample in zip(units.units, samples, strict=True):
        points, here = profile.units[unit.signature].points, _sizes(unit, sizes)
        if unit.signature not in index:
            index[unit.signature] = {tuple(p[: len(here)]): p for p in points}
        same = index[unit.signature].get(here)
        if same is None:
            same = [*here, 0, 0, 0]
            index[unit.signature][here] = same
            points.append(same)
        ns, spread, count = same[len(here) :]
        both = count + sample.count
        same[len(here) :] = [
            max(1, round((ns * count + sample.ns * sample.count) / both)),
            round((spread * count + sample.spread * sample.count) / both),
            both,
        ]


def _sizes(unit: Unit, widths: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(_value(s, widths) for s in unit.sizes)


def _value(size: Monomials, widths: Mapping[int, int]) -> int:
    return sum(c * math.prod(widths[a] for a in atoms) for atoms, c in size.items())


def _atoms(model: Understood, widths: Mapping[str, int]) -> dict[int, int]:
    return {g.atom.id: widths[g.name] for g in model.groups}


def _batch(model: Understood) -> int:
    size = sum(t.numel() * t.element_size() for t in model.traced.weights.values())
    return max(2, min(BATCH, BYTES // max(1, size)))


def _elsewhere(path: Path, found: Machine, wanted: Machine) -> Diagnostic:
    return Diagnostic(
        "P0622",
        f"`{path.name}` was measured on {found.name} with torch {found.torch}, this is "
        f"{wanted.name} with torch {wanted.torch}",
        help="`--again` starts it anew, `--out` writes another file",
    )
