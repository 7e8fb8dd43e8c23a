"""The algebra of axes: unification agrees with arithmetic on positions."""

from __future__ import annotations

import itertools
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunec.ir.axis import ONE, Atom, Axis, Concat, Product, atoms, mask, size
from prunec.ir.group import Frozen
from prunec.passes.axes.solver import Solver, concat, product

WHY = Frozen("a test")


def labels(axis: Axis) -> list[tuple[tuple[int, int], ...]]:
    """Per index of an axis, the set of (atom, channel) that it carries: the meaning of an
    expression.
    """
    match axis:
        case Atom():
            return [((axis.id, k),) for k in range(axis.size)]
        case Concat():
            return [label for part in axis.parts for label in labels(part)]
        case Product():
            result: list[tuple[tuple[int, int], ...]] = [()]
            for factor in axis.factors:
                result = [a + b for a in result for b in labels(factor)]
            return result


def test_a_reshape_splits_an_atom_into_factors() -> None:
    solver = Solver()
    channels = solver.fresh(12)
    outer, inner = solver.split(channels, 4) or (ONE, ONE)
    assert (size(outer), size(inner)) == (3, 4)
    assert solver.resolve(channels) == product([outer, inner])


def test_concatenations_are_cut_at_the_union_of_their_boundaries() -> None:
    solver = Solver()
    a, b, c, d = (solver.fresh(n) for n in (3, 5, 6, 2))
    solver.unify(concat([a, b]), concat([c, d]), WHY)
    assert [size(s) for s in solver.segments(concat([a, b]))] == [3, 3, 2]
    assert solver.resolve(concat([a, b])) == solver.resolve(concat([c, d]))


def test_a_product_is_cut_at_its_outermost_factor() -> None:
    solver = Solver()
    heads, width = solver.fresh(6), solver.fresh(4)
    left, right = solver.cut(product([heads, width]), 8)
    assert [size(f) for f in solver.factors(left)] == [2, 4]
    assert [size(f) for f in solver.factors(right)] == [4, 4]


def test_a_cut_inside_one_index_isolates_that_index() -> None:
    solver = Solver()
    outer, inner = solver.fresh(5), solver.fresh(4)
    left, right = solver.cut(product([outer, inner]), 10)
    assert [size(s) for s in solver.segments(left)] == [8, 2]
    assert [size(s) for s in solver.segments(right)] == [2, 8]
    assert labels(solver.resolve(product([outer, inner]))) == labels(
        solver.resolve(concat([left, right]))
    )


def test_boundaries_that_do_not_meet_freeze_everything_involved() -> None:
    solver = Solver()
    a, b, c, d = (solver.fresh(n) for n in (4, 6, 6, 4))
    solver.unify(product([a, b]), product([c, d]), WHY)
    assert all(solver.is_frozen(axis) for axis in (a, b, c, d))


def test_a_frozen_atom_freezes_what_it_is_bound_to() -> None:
    solver = Solver()
    frozen, a, b = solver.fresh(6, WHY), solver.fresh(2), solver.fresh(3)
    solver.unify(frozen, product([a, b]), WHY)
    assert solver.is_frozen(a)
    assert solver.is_frozen(b)


def test_a_split_of_a_concatenation_unifies_the_inner_factors() -> None:
    solver = Solver()
    left, right = solver.fresh(6), solver.fresh(9)
    outer, inner = solver.split(concat([left, right]), 3) or (ONE, ONE)
    assert size(outer) == 5
    assert solver.factors(left)[-1] == solver.factors(right)[-1] == inner


def test_an_axis_of_size_one_has_no_atom() -> None:
    assert list(atoms(Solver().fresh(1))) == []


@st.composite
def expressions(draw: st.DrawFn, solver: Solver, total: int, depth: int = 2) -> Axis:
    if depth == 0 or total == 1 or draw(st.booleans()):
        return solver.fresh(total)
    divisors = [d for d in range(2, total) if total % d == 0]
    if divisors and draw(st.booleans()):
        inner = draw(st.sampled_from(divisors))
        parts = (total // inner, inner)
        return product([draw(expressions(solver, n, depth - 1)) for n in parts])
    at = draw(st.integers(1, total - 1))
    return concat([draw(expressions(solver, n, depth - 1)) for n in (at, total - at)])


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.data(), st.integers(2, 24))
def test_unified_axes_lose_the_same_indices(data: st.DataObject, total: int) -> None:
    """Whatever free atoms lose, the two sides of an equation keep the same positions."""
    solver = Solver()
    left, right = (data.draw(expressions(solver, total)) for _ in range(2))
    solver.unify(left, right, WHY)
    left, right = solver.resolve(left), solver.resolve(right)
    free = {a for axis in (left, right) for a in atoms(axis) if solver.why_frozen(a) is None}
    kept = {
        a.id: np.array(data.draw(st.lists(st.booleans(), min_size=a.size, max_size=a.size)))
        for a in free
    }
    assert np.array_equal(mask(left, kept), mask(right, kept))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.data(), st.integers(2, 24))
def test_refinement_keeps_every_position(data: st.DataObject, total: int) -> None:
    """Cutting and splitting never change what an axis means, only how finely it is told."""
    solver = Solver()
    axis = data.draw(expressions(solver, total))
    at = data.draw(st.integers(1, total - 1))
    before, after = solver.cut(axis, at)
    assert size(before) == at
    assert labels(solver.resolve(axis)) == labels(solver.resolve(before)) + labels(
        solver.resolve(after)
    )
    inner = data.draw(st.sampled_from([d for d in range(1, total + 1) if total % d == 0]))
    parted = solver.split(axis, inner)
    if parted is not None:
        assert prod(map(size, parted)) == total
        assert labels(solver.resolve(axis)) == labels(solver.resolve(product(parted)))


@pytest.mark.parametrize("length", [10, 1000])
def test_a_chain_of_equations_binds_to_one_atom(length: int) -> None:
    solver = Solver()
    chain = [solver.fresh(8) for _ in range(length)]
    for left, right in itertools.pairwise(chain):
        solver.unify(left, right, WHY)
    assert len({solver.resolve(axis) for axis in chain}) == 1
