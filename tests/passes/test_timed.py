"""Latency by the interface of costs: it is the sum of its units, of those that are left."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prunec import prepare, understand
from prunec.passes import latency
from prunec.passes.latency import Correction, Surface
from prunec.passes.latency.surface import Term
from prunec.passes.timed import Timed
from prunec.understand import Understood


class Blocks(nn.Module):
    """Two residual branches."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 8)
        self.one = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 8))
        self.two = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 8))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.one(x)
        return self.head(x + self.two(x))


@pytest.fixture(scope="module")
def model() -> Understood:
    return understand.run(prepare.given(Blocks(), (torch.zeros(2, 3),), {}))


@pytest.fixture(scope="module")
def timed(model: Understood) -> Timed:
    """Each unit takes 100 ns and 10 more for each element of its sizes' product."""
    units = latency.run(model.traced.graph, model.axes, model.blocks)
    surfaces = {u.signature: _surface(len(u.sizes)) for u in units.units}
    branches = {b.atom.id: b.branches for b in model.blocks}
    return Timed(units, surfaces, Correction(), model.traced.graph, branches)


def _surface(sizes: int) -> Surface:
    terms = (Term(100.0, ("one",) * sizes), Term(10.0, ("size",) * sizes))
    return Surface(((),) * sizes, (terms,))


def atom(model: Understood, name: str) -> int:
    return next(g.atom.id for g in (*model.groups, *model.blocks) if g.name == name)


def test_the_time_is_that_of_the_operators_left(model: Understood, timed: Timed) -> None:
    width = atom(model, "one.0")
    linear, relu = (timed.total({width: w}) for w in (6, 5))
    # A row less of the first matrix (8 each), a column less of the second, one element less.
    assert linear - relu == 10 * (8 + 8 + 1)


def test_a_scope_is_its_units_alone(model: Understood, timed: Timed) -> None:
    one, two = (timed.total(scope=frozenset({name})) for name in ("one", "two"))
    assert one - two == 10 * (2 * 8 * 2 + 2)
    assert atom(model, "one.0") in timed.atoms(frozenset({"one"}))
    assert atom(model, "one.0") not in timed.atoms(frozenset({"two"}))
    assert timed.total({atom(model, "one.0"): 1}, frozenset({"two"})) == two


def test_compiled_is_the_total(model: Understood, timed: Timed) -> None:
    unknowns = [g.atom.id for g in model.groups]
    (cost,) = timed.compiled(unknowns)
    for share in (1.0, 0.5, 0.3):
        x = np.array([max(1, int(share * g.size)) for g in model.groups], dtype=np.int64)
        assert cost.value(x) == timed.total(dict(zip(unknowns, x.tolist(), strict=True)))


def test_what_no_block_needs_any_more_takes_nothing(model: Understood, timed: Timed) -> None:
    blocks = {b.atom.id: 0 for b in model.blocks}
    assert len(blocks) == 2
    stem_and_head = 2 * (100 + 10 * 8)
    assert timed.remaining(blocks) == stem_and_head < timed.total(blocks) < timed.total()


def test_good_widths_are_by_group_and_never_of_blocks(model: Understood, timed: Timed) -> None:
    found = timed.good_widths((*model.groups, *model.blocks))
    sizes = {g.name: g.size for g in model.groups}
    assert found.keys() <= sizes.keys()
    assert all(widths[-1] == sizes[name] for name, widths in found.items())
