"""What is asked of sums of products of atoms before they are compiled: values, and which matter."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from math import prod

from prunec.passes.polynomial import Monomials, add


def evaluate(total: Monomials, widths: Mapping[int, int]) -> int:
    """The value of a sum, by the widths of its atoms."""
    return sum(value * prod(widths[a] for a in atoms) for atoms, value in total.items())


def undominated(sums: Iterable[Monomials]) -> tuple[Monomials, ...]:
    """The sums without those that another one is never below: coefficient for coefficient.

    Their largest is the largest of all, wherever unknowns are not negative. One sum at least is
    left of any.
    """
    distinct = {frozenset(s.items()): s for s in sums}
    found = sorted(distinct.values(), key=lambda s: -sum(s.values()))
    where: dict[tuple[int, ...], list[Monomials]] = {}
    kept: list[Monomials] = []
    for each in found:
        # Whatever dominates it has its rarest monomial, too.
        rivals = min((where.get(atoms, []) for atoms in each), key=len, default=kept)
        if any(all(r.get(a, 0) >= n for a, n in each.items()) for r in rivals):
            continue
        kept.append(each)
        for atoms in each:
            where.setdefault(atoms, []).append(each)
    return tuple(kept)


def folded(total: Monomials, sizes: Mapping[int, int], atoms: Collection[int]) -> Monomials:
    """The sum with every atom but ``atoms`` at its full size."""
    return add(
        *(
            {tuple(a for a in m if a in atoms): n * prod(sizes[a] for a in m if a not in atoms)}
            for m, n in total.items()
        )
    )
