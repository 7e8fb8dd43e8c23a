"""A device profile that was never measured: every unit takes what its sizes multiply to."""

from __future__ import annotations

from itertools import product
from math import prod

from torch import nn

from prunec import hashing, prepare, profile, understand
from prunec.passes import latency
from prunec.prepare import Subject
from prunec.profile import Profile
from prunec.profile.store import Measured, Model, Whole
from prunec.spec import Cpu, Device
from prunec.understand import Understood

GRID = (1, 2, 4, 8, 16, 32, 64)


def made_up(model: Understood, device: Device = Cpu()) -> Profile:  # noqa: B008  frozen
    """Each unit takes 100 ns for each element of its sizes' product, and 500 ns more."""
    units = latency.run(model.traced.graph, model.axes)
    found = {u.signature: _measured(len(u.sizes)) for u in units.units}
    known = Model(name="net", settings=1, measured=1, nodes=len(units.units), whole=[_SAME])
    return Profile(
        machine=profile.this(device, model.traced.graph),
        units=found,
        models={hashing.digest(str(model.traced.graph).encode()): known},
    )


def of(net: nn.Module, *args: object, part: str | None = None, renumber: bool = False) -> Profile:
    """The made-up profile of a model, or of a part of it."""
    whole: Subject = prepare.given(net, args, {})
    subject = whole if part is None else prepare.take(whole, part)
    return made_up(understand.run(subject, renumber=renumber))


_SAME = Whole(units=1000, ns=1000, spread=0, count=1)
"""The whole takes what its units take."""


def _measured(sizes: int) -> Measured:
    points = [[*at, 500 + 100 * prod(at), 0, 1] for at in product(GRID, repeat=sizes)]
    return Measured(breaks=[[] for _ in range(sizes)], points=points)
