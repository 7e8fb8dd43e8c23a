"""Random small allocation problems, and the answer by looking at every choice."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np

from prunec.ir.axis import Atom
from prunec.ir.graph import Ref
from prunec.ir.group import Branch, Group
from prunec.ir.plan import Ranking
from prunec.passes.allocate.problem import Budget, Problem, allowed_widths
from prunec.passes.cost import Costs, Sum, Term
from prunec.passes.liveness import Liveness, Point, Span
from prunec.passes.polynomial import Monomials

METRICS: tuple[Sum, ...] = ("macs", "params", "weights")


def separable(rng: np.random.Generator, groups: int) -> Monomials:
    found: dict[tuple[int, ...], int] = {(g,): int(rng.integers(1, 9)) for g in range(groups)}
    found |= {(g, g): int(rng.integers(1, 3)) for g in range(groups) if rng.random() < 0.3}
    return {**found, (): int(rng.integers(0, 5))}


def chain(rng: np.random.Generator, groups: int) -> Monomials:
    """Layers one after the other, some links missing, names shuffled."""
    order = [int(g) for g in rng.permutation(groups)]
    links = [tuple(sorted(p)) for p in pairwise(order) if rng.random() < 0.8]
    return {**separable(rng, groups), **{link: int(rng.integers(1, 5)) for link in links}}


def tangled(rng: np.random.Generator, groups: int) -> Monomials:
    """Products of any two or three groups."""
    found = dict(separable(rng, groups))
    for _ in range(groups + 1):
        monomial = tuple(sorted(int(g) for g in rng.integers(0, groups, int(rng.integers(2, 4)))))
        found[monomial] = found.get(monomial, 0) + int(rng.integers(1, 5))
    return found


def star(rng: np.random.Generator, groups: int) -> Monomials:
    """The first group meets all others, as a residual stream does, some of them three at a time."""
    found = dict(separable(rng, groups))
    for g in range(1, groups):
        found[0, g] = int(rng.integers(1, 5))
        if g + 1 < groups and rng.random() < 0.5:
            found[0, g, g + 1] = int(rng.integers(1, 3))
    return found


def concatenated(rng: np.random.Generator, groups: int) -> tuple[Monomials, ...]:
    """Every group reads the concatenation of all before it and a frozen one, as in a DenseNet."""
    parts: list[Monomials] = [separable(rng, groups)]
    for g in range(1, groups):
        value = int(rng.integers(1, 4))
        parts.append({(g,): 2 * value, **{(before, g): value for before in range(g)}})
    return tuple(parts)


SHAPES = {
    "separable": separable,
    "chain": chain,
    "tangled": tangled,
    "star": star,
    "concatenated": concatenated,
}


def problem(
    rng: np.random.Generator, shape: str, groups: int = 4, largest: int = 6, budgets: int = 1
) -> Problem:
    """Budgets from the smallest cost to just below the dense one, so that they bind and can be
    met."""
    sizes = [int(n) for n in rng.integers(3, largest + 1, groups)]
    metrics = METRICS[:budgets]
    terms: list[Term] = []
    for metric in metrics:
        made = SHAPES[shape](rng, groups)
        parts = made if isinstance(made, tuple) else (made,)
        terms += (Term(metric, metric, frozenset({""}), part) for part in parts)
    members = tuple(Group(f"g{i}", Atom(i, n), "channels", (), (), ()) for i, n in enumerate(sizes))
    widths = {
        g.name: allowed_widths(g.size, int(rng.integers(1, 3)), int(rng.integers(1, 3)))
        for g in members
    }
    rankings = {g.name: ranking(rng, g.size) for g in members}
    costs = Costs(tuple(terms), {g.atom.id: g.size for g in members})
    bare = Problem(members, rankings, costs, (), widths)
    least = {name: w[0] for name, w in widths.items()}
    found = []
    for metric in metrics:
        probe = Budget(metric, 0, metric)
        bound = int(rng.integers(bare.cost(probe, least), bare.cost(probe)))
        found.append(Budget(metric, bound, f"{metric} <= {bound}"))
    return Problem(members, rankings, costs, tuple(found), widths)


def with_blocks(rng: np.random.Generator, asked: Problem, blocks: int = 2) -> Problem:
    """The problem with blocks that switch random terms off: what they multiply goes with them."""
    ids = [-1 - k for k in range(blocks)]
    members = tuple(
        Group(
            f"b{-i}",
            Atom(i, 1),
            "blocks",
            (),
            (),
            (),
            branches=(Branch("y", Ref("x"), Ref("v"), (), ()),),
        )
        for i in ids
    )
    terms = tuple(
        replace(
            term,
            monomials={
                tuple(sorted((*atoms, *(i for i in ids if rng.random() < 0.4)))): value
                for atoms, value in term.monomials.items()
            },
        )
        for term in asked.costs.terms
    )
    costs = Costs(terms, {**asked.costs.sizes, **dict.fromkeys(ids, 1)})
    losses = {g.name: np.array([0.0, rng.exponential() * 3]) for g in members}
    return replace(
        asked,
        groups=(*asked.groups, *members),
        costs=costs,
        rankings={**asked.rankings, **{n: Ranking(np.zeros(1, int), v) for n, v in losses.items()}},
        widths={**asked.widths, **{g.name: (0, 1) for g in members}},
    )


def with_peaks(rng: np.random.Generator, asked: Problem, points: int = 5) -> Problem:
    """The problem with one more budget: of the largest of several tangled sums."""
    groups = [g.atom.id for g in asked.groups if not g.branches]
    sums = [tangled(rng, len(groups)) for _ in range(points)]
    spans = tuple(Span(k, k, each) for k, each in enumerate(sums))
    whole = Liveness((Point(frozenset({""}), {(): 1}),) * points, spans, asked.costs.sizes)
    costs = replace(asked.costs, alive=lambda _: whole)
    least = {g.name: asked.allowed(g)[0] for g in asked.groups}
    probe = Budget("activations", 0, "activations")
    extended = replace(asked, costs=costs)
    bound = int(rng.integers(extended.cost(probe, least), extended.cost(probe)))
    budget = Budget("activations", bound, f"activations <= {bound}")
    return replace(extended, budgets=(*asked.budgets, budget))


def ranking(rng: np.random.Generator, size: int) -> Ranking:
    """Losses that need not be convex, with plateaus."""
    steps = rng.exponential(size=size) * (rng.random(size) < 0.85)
    return Ranking(rng.permutation(size), np.append(0.0, np.cumsum(steps)))


def brute_force(problem: Problem) -> float:
    """The least loss of all choices within the budgets."""
    best = np.inf
    for widths in product(*(problem.allowed(g) for g in problem.groups)):
        named = {g.name: w for g, w in zip(problem.groups, widths, strict=True)}
        if all(problem.cost(b, named) <= b.bound for b in problem.budgets):
            best = min(best, sum(problem.loss(g, named[g.name]) for g in problem.groups))
    return best


def optimum(problem: Problem) -> float:
    """`brute_force` of many choices at once, from the terms themselves; budgets of sums only."""
    axes = [np.array(problem.allowed(g)) for g in problem.groups]
    grid = np.meshgrid(*axes, indexing="ij")
    at = {g.atom.id: width for g, width in zip(problem.groups, grid, strict=True)}
    fits = np.ones(grid[0].shape, dtype=bool)
    for budget in problem.budgets:
        total = np.zeros(grid[0].shape, dtype=np.int64)
        for term in problem.costs.terms:
            for atoms, value in term.monomials.items() if term.metric == budget.metric else ():
                product_ = np.full(grid[0].shape, value)
                for atom in atoms:
                    product_ = product_ * at[atom]
                total += product_
        fits &= total <= budget.bound
    loss = sum(
        problem.rankings[g.name].loss[g.size - width]
        for g, width in zip(problem.groups, grid, strict=True)
    )
    return float(np.where(fits, loss, np.inf).min())
