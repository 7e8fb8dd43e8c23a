"""Minimal conflicts of random lines, against looking at every subset of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, combinations

import numpy as np
import pytest

from prunec.diagnostics import PruneError
from prunec.passes.allocate import conflict
from prunec.passes.allocate.conflict import Limit
from prunec.passes.allocate.problem import Problem, allowed_widths, check
from tests.passes.allocate.instances import problem


def lines(rng: np.random.Generator, asked: Problem, count: int = 5) -> tuple[Limit, ...]:
    """Floors, multiples and freezes of random groups."""
    found = []
    for number in range(count):
        some = [g for g in asked.groups if rng.random() < 0.5] or list(asked.groups[:1])
        match rng.integers(3):
            case 0:
                widths = {g.name: allowed_widths(g.size, int(rng.integers(1, 6))) for g in some}
            case 1:
                widths = {g.name: allowed_widths(g.size, 1, int(rng.integers(2, 5))) for g in some}
            case _:
                widths = {g.name: (g.size,) for g in some}
        found.append(Limit(str(number), widths))
    return tuple(found)


def listed(asked: Problem, some: Sequence[Limit]) -> dict[str, int]:
    """The least of all the widths that all lines leave."""
    free = {g.name: allowed_widths(g.size) for g in asked.groups}
    found = {
        name: min(w for w in widths if all(w in s.widths.get(name, widths) for s in some))
        for name, widths in free.items()
    }
    assert found == conflict.least(free, some)
    return found


@pytest.mark.parametrize("shape", ["separable", "chain", "tangled"])
def test_conflicts_are_minimal_disjoint_and_all(shape: str) -> None:
    rng = np.random.default_rng(7)
    sizes = set()
    for _ in range(60):
        asked = problem(rng, shape)
        limits = lines(rng, asked)

        def beyond(some: Sequence[Limit], asked: Problem = asked) -> bool:
            return asked.cost(asked.budgets[0], listed(asked, some)) > asked.budgets[0].bound

        found = conflict.run(limits, beyond)
        subsets = chain.from_iterable(combinations(limits, n) for n in range(len(limits) + 1))
        conflicts = [set(map(id, s)) for s in subsets if beyond(s)]
        minimal = [c for c in conflicts if not any(other < c for other in conflicts)]
        for each in found:
            assert set(map(id, each)) in minimal
            assert [limit.text for limit in each] == sorted(limit.text for limit in each)
        named = [id(limit) for each in found for limit in each]
        assert len(named) == len(set(named))
        rest = [limit for limit in limits if id(limit) not in named]
        assert not found or found == [[]] or not beyond(rest)
        assert bool(found) == bool(conflicts)
        sizes |= {len(each) for each in found}
    assert {1, 2} <= sizes


def test_lines_that_stand_first_are_named() -> None:
    same = tuple(Limit(text, {"a": (8,)}) for text in ("first", "second"))
    assert [[x.text for x in c] for c in conflict.run(same, lambda some: len(some) > 0)] == [
        ["first"],
        ["second"],
    ]
    either = [Limit(str(n), {}) for n in range(4)]
    assert conflict.run(either, lambda some: len(some) > 2) == [either[:3]]


def test_no_line_is_to_blame_for_what_is_beyond_all() -> None:
    assert conflict.run([Limit("a", {})], lambda some: True) == [[]]
    assert conflict.run([Limit("a", {})], lambda some: False) == []


def test_floors_of_one_group_together_leave_more_than_each() -> None:
    """Ten or more, in fours: twelve, though neither line alone asks for that many."""
    ten = Limit("keep >= 10", {"a": allowed_widths(20, 10)})
    fours = Limit("multiple of 8", {"a": allowed_widths(20, 1, 8)})
    free = {"a": allowed_widths(20)}
    assert [conflict.least(free, x)["a"] for x in ([ten], [fours], [ten, fours])] == [10, 8, 16]


def test_lines_are_told_without_a_place_too() -> None:
    asked = problem(np.random.default_rng(3), "chain")
    every = {g.name: (g.size,) for g in asked.groups}
    asked = replace(asked, widths=every, limits=(Limit("freeze", every),))
    asked = replace(asked, free={g.name: allowed_widths(g.size) for g in asked.groups})
    with pytest.raises(PruneError, match="`freeze` alone leaves at least"):
        check(asked)


def test_widths_that_no_line_explains_are_refused_all_the_same() -> None:
    asked = problem(np.random.default_rng(3), "chain")
    every = {g.name: (g.size,) for g in asked.groups}
    limits = (Limit("keep", {asked.groups[0].name: allowed_widths(asked.groups[0].size, 2)}),)
    free = {g.name: allowed_widths(g.size) for g in asked.groups}
    bound = asked.cost(asked.budgets[0]) - 1
    budget = replace(asked.budgets[0], bound=bound)
    asked = replace(asked, widths=every, limits=limits, free=free, budgets=(budget,))
    with pytest.raises(PruneError, match="P0601") as caught:
        check(asked)
    assert len(caught.value.diagnostics) == 1
