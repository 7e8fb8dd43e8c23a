"""Solvers that search on a measured loss, here one with a closed form: budgets, seeds, optima."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from prunec.diagnostics import InternalError
from prunec.passes.allocate import dp, evolution, fastnas, lp, run, search
from prunec.passes.allocate.evolution import BAND
from prunec.passes.allocate.search import Measure
from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Integers, Polynomial
from prunec.spec import Dp, Evolution, FastNas, Lp
from tests.passes.allocate.instances import problem, with_blocks

SHAPES = ("separable", "chain", "tangled")


def table(seed: int, budgets: int = 1, groups: int = 6, blocks: bool = False) -> Table:
    rng = np.random.default_rng(seed)
    asked = problem(rng, SHAPES[seed % 3], groups, largest=12, budgets=budgets)
    asked = with_blocks(rng, asked) if blocks else asked
    if all(asked.cost(b) <= b.bound for b in asked.budgets):
        return table(seed + 1000, budgets, groups, blocks)
    return Table.build(asked)


def quadratic(of: Table, seed: int = 0) -> Measure:
    """A loss that knows which groups matter, and in which pairs: the rankings do not."""
    rng = np.random.default_rng(seed)
    size = len(of.names)
    matrix = np.diag(rng.exponential(size=size)) + 0.2 * rng.random((size, size))
    full = of.width(of.full)

    def loss(choice: Integers) -> float:
        gone = 1 - of.width(choice) / full
        return float(gone @ matrix @ gone)

    return loss


def counted(measure: Measure) -> tuple[Measure, list[tuple[int, ...]]]:
    """The measure, and the choices that it was asked for."""
    seen: list[tuple[int, ...]] = []

    def counting(choice: Integers) -> float:
        seen.append(tuple(choice.tolist()))
        return measure(choice)

    return counting, seen


Solver = Callable[[Table, Measure, int], Integers]
SOLVERS: Mapping[str, Solver] = {
    "dp": lambda t, m, seed: search.run(t, 500, m, 12, seed).choice,
    "evolution": lambda t, m, seed: evolution.run(t, m, 6, 2, seed),
    "fastnas": lambda t, m, seed: fastnas.run(t, m, 4),
    "lp": lambda t, m, seed: lp.by_importance(t, _importance(t, seed)),
}


def _importance(of: Table, seed: int) -> dict[str, float]:
    drawn = np.random.default_rng(seed).random(len(of.names))
    return dict(zip(of.names, drawn.tolist(), strict=True))


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(("budgets", "blocks"), [(1, False), (2, False), (2, True)])
def test_budgets_hold_and_the_same_seed_gives_the_same_plan(
    name: str, budgets: int, blocks: bool
) -> None:
    for seed in range(6):
        one = table(seed, budgets, groups=4, blocks=blocks)
        found = SOLVERS[name](one, quadratic(one), seed)
        assert one.fits(found)
        assert (found >= 0).all()
        assert (found < one.counts).all()
        assert np.array_equal(found, SOLVERS[name](one, quadratic(one), seed))


# --- dp(search) -----------------------------------------------------------------------------------


def test_the_search_begins_at_plain_dp_and_only_improves() -> None:
    improved = 0
    for seed in range(6):
        one = table(seed)
        plain = dp.run(one, 500).choice
        measure, seen = counted(quadratic(one))
        steps = list(search.improvements(one, plain, measure, bins=500, tries=30, seed=seed))
        losses = [loss for _, loss in steps]
        assert np.array_equal(steps[0][0], plain)
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] == min(map(quadratic(one), map(np.array, seen)))
        assert len(seen) == len(set(seen)) <= 31
        improved += len(steps) > 1
    assert improved >= 4


def test_without_an_improvement_the_search_is_plain_dp_with_its_proof() -> None:
    one = table(0)
    plain = dp.run(one, 10_000)
    found = search.run(one, 10_000, lambda _: 1.0, 5, 0)
    assert np.array_equal(found.choice, plain.choice)
    assert found.optimal == plain.optimal


def test_coefficients_that_are_all_one_number_change_nothing() -> None:
    one = table(1)
    start = dp.run(one, 500).choice
    same = search.weighted(one, np.full(len(one.names), 0.5))
    assert np.array_equal(dp.near(one, start, 500), dp.near(same, start, 500))


def test_the_search_finds_what_the_rankings_hide() -> None:
    """The rankings say that both groups are alike; measured, only the second matters."""
    cost = Polynomial.compile({(0,): 1, (1,): 1}, [0, 1], {0: 10, 1: 10})
    widths = np.arange(1, 11)
    losses = (1 - widths / 10) ** 2
    one = Table.of(("a", "b"), [widths, widths], [losses, losses], (cost,), (11,))
    found = search.run(one, 1000, lambda c: float(10 - c[1]), 40, 0)
    assert one.width(found.choice).tolist() == [1, 10]
    assert one.width(dp.run(one, 1000).choice).tolist() in ([5, 6], [6, 5])


# --- evolution ------------------------------------------------------------------------------------


def test_the_best_ever_is_kept_and_no_plan_is_tried_twice() -> None:
    for seed in range(6):
        one = table(seed, budgets=1 + seed % 2)
        measure, seen = counted(quadratic(one))
        populations = list(evolution.populations(one, measure, 8, 4, seed))
        best = [p[0].loss for p in populations]
        assert len(populations) == 5
        assert best == sorted(best, reverse=True)
        assert best[-1] == min(map(quadratic(one), map(np.array, seen)))
        assert len(seen) == len(set(seen)) <= 40
        for member in populations[-1]:
            assert one.fits(member.choice)


def test_members_use_the_budget_unless_nothing_gains() -> None:
    for seed in range(6):
        one = table(seed, budgets=1 + seed % 2)
        for member in list(evolution.populations(one, quadratic(one), 10, 3, seed))[-1]:
            full = member.choice == one.full
            wider = np.minimum(member.choice + 1, one.full)
            gains = one.losses[one.rows, member.choice] > one.losses[one.rows, wider]
            steps = [_with(member.choice, g, int(wider[g])) for g in np.flatnonzero(~full & gains)]
            assert one.usage(member.choice).max() >= BAND or not any(map(one.fits, steps))


def _with(choice: Integers, group: int, option: int) -> Integers:
    moved = choice.copy()
    moved[group] = option
    return moved


def test_a_mutation_is_another_value_each_as_likely() -> None:
    rng = np.random.default_rng(0)
    parent, counts = np.array([3, 0] * 1000), np.array([5, 2] * 1000)
    child = evolution.mutated(parent, counts, rng)
    changed = child != parent
    assert changed.mean() == pytest.approx(evolution.MUTATION, abs=0.02)
    assert set(child[changed][counts[changed] == 2].tolist()) == {1}
    drawn = np.bincount(child[changed][counts[changed] == 5], minlength=5)
    assert drawn[3] == 0
    assert drawn[[0, 1, 2, 4]].min() > 10


def test_evolution_finds_the_optimum_of_a_small_space() -> None:
    one = table(4, groups=3)
    measure = quadratic(one)
    found = evolution.run(one, measure, 12, 8, 0)
    grid = np.stack(np.meshgrid(*map(np.arange, one.counts), indexing="ij"), -1)
    choices = [c for c in grid.reshape(-1, len(one.counts)) if one.fits(c)]
    best = min(map(measure, choices))
    assert measure(found) <= best * 1.1 + 1e-12


# --- fastnas --------------------------------------------------------------------------------------


def two_layers(bounds: tuple[int, ...] = (110,)) -> Table:
    """Groups of 100 channels whose costs add up; widths 1 to 100."""
    cost = Polynomial.compile({(0,): 1, (1,): 1}, [0, 1], {0: 100, 1: 100})
    widths = np.arange(1, 101)
    losses = 1 - widths / 100
    return Table.of(("a", "b"), [widths, widths], [losses, losses], (cost,) * len(bounds), bounds)


@pytest.mark.parametrize("widths", [2, 3, 8])
def test_the_threshold_has_a_closed_form(widths: int) -> None:
    """Alone they lose u (1 - x) and v (1 - y): at x + y = 1.1 the worse is least where these meet.

    u (1 - x) = v (1 - y) = tau gives tau = 0.9 / (1 / u + 1 / v).
    """
    one, (u, v) = two_layers(), (3.0, 1.0)

    def measure(choice: Integers) -> float:
        x, y = one.width(choice) / 100
        assert x == 1 or y == 1, "each group is measured alone"
        return float(u * (1 - x) + v * (1 - y))

    alone = fastnas.sensitivities(one, measure, widths)
    found = fastnas.threshold(_losing(one, alone))
    tau = 0.9 / (1 / u + 1 / v)
    assert tau <= found <= tau + u / 100
    x, y = one.width(fastnas.run(one, measure, widths)) / 100
    assert x + y == pytest.approx(1.1)
    assert u * (1 - x) == pytest.approx(tau, abs=0.04)


def _losing(of: Table, losses: np.ndarray) -> Table:
    return Table.of(of.names, list(of.widths), list(losses), of.costs, of.bounds)


def test_all_budgets_hold_the_tightest_decides() -> None:
    one, both = two_layers((60,)), two_layers((110, 60))
    assert np.array_equal(
        fastnas.run(one, quadratic(one), 8), fastnas.run(both, quadratic(both), 8)
    )


def test_sensitivities_are_monotone_and_harmless_groups_are_measured_once() -> None:
    one = two_layers()

    def bumpy(choice: Integers) -> float:
        """The first group harms nothing; the second less at 1 channel than at 30."""
        y = one.width(choice)[1]
        return 0.0 if y == 100 else float(abs(y - 30) % 50 + 1)

    measure, seen = counted(bumpy)
    found = fastnas.sensitivities(one, measure, 5)
    assert (np.diff(found) <= 0).all()
    assert not found[0].any()
    assert sum(b == 99 for _, b in seen) == 1
    assert sum(a == 99 for a, _ in seen) == 5
    assert (found[:, -1] == 0).all()


def test_an_infinite_loss_is_the_last_to_be_taken() -> None:
    one = two_layers()
    found = fastnas.run(one, lambda c: np.inf if c[0] < 60 else 0.1 * (c[1] < 99), 50)
    assert one.width(found)[0] > 50


# --- lp with importance ---------------------------------------------------------------------------


def product_of_widths() -> Table:
    """x1 x2 <= 1/4 in hundredths: a constraint that is not convex."""
    cost = Polynomial.compile({(0, 1): 1}, [0, 1], {0: 100, 1: 100})
    widths = np.arange(1, 101)
    losses = 1 - widths / 100
    return Table.of(("a", "b"), [widths, widths], [losses, losses], (cost,), (2500,))


def test_the_best_corner_is_found_and_not_the_saddle() -> None:
    """max x1 + x2 is 1.25 at (1, 1/4); at (1/2, 1/2), where KKT holds too, it is 1."""
    one = product_of_widths()
    found = one.width(lp.by_importance(one, {"a": 1.0, "b": 1.0}))
    assert sorted(found.tolist()) == [25, 100]


@pytest.mark.parametrize(("a", "b", "want"), [(1.0, 0.5, [100, 25]), (0.5, 1.0, [25, 100])])
@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e-109])
def test_importance_decides_on_any_scale(a: float, b: float, want: list[int], scale: float) -> None:
    one = product_of_widths()
    found = one.width(lp.by_importance(one, {"a": a * scale, "b": b * scale}))
    assert found.tolist() == want


def test_ratios_stay_above_the_floor_unless_the_budget_forbids() -> None:
    found = lp.by_importance(two_layers((105,)), {"a": 1.0, "b": 1e-6})
    assert two_layers().width(found).tolist() == [95, 10]
    found = lp.by_importance(two_layers((15,)), {"a": 1.0, "b": 1e-6})
    assert sum(two_layers().width(found)) == 15


# --- The dispatch ---------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [Dp(search=2), Evolution(), FastNas(), Lp()])
def test_what_needs_data_does_not_go_without(solver: Dp | Evolution | FastNas | Lp) -> None:
    assert solver.needs_data
    with pytest.raises(InternalError):
        run(solver, problem(np.random.default_rng(0), "chain"))
