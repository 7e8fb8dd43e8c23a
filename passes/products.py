"""Sums of products of sums: costs as they come from a model, before they are multiplied out.

A convolution reads the concatenation of what some layers made, so its cost is one product, the sum
of their widths times its own, and not as many monomials. Solvers that know this need not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

Sum: TypeAlias = tuple[int, ...]
"""Distinct unknowns that are added up, ascending."""
Monomials: TypeAlias = Mapping[tuple[int, ...], int]


@dataclass(frozen=True, slots=True)
class Product:
    """``coefficient * product of sums``."""

    coefficient: int
    factors: tuple[Sum, ...]

    def monomials(self) -> Monomials:
        """The product, multiplied out."""
        found: dict[tuple[int, ...], int] = defaultdict(int)
        for atoms in product(*self.factors):
            found[tuple(sorted(atoms))] += self.coefficient
        return found


def run(total: Monomials, parts: Iterable[Monomials] = ()) -> tuple[Product, ...]:
    """``total`` as a sum of products; ``parts`` are some that it was added up from.

    Every part whose monomials of highest degree are a product of sums is one (a sum may have a
    constant beside its unknowns); what is left of the total, monomial by monomial.
    """
    left = dict(total)
    found: dict[tuple[Sum, ...], int] = defaultdict(int)
    for part in parts:
        one = _factored(part)
        if one is None:
            continue
        spread = one.monomials()
        if all(left.get(atoms, 0) >= value for atoms, value in spread.items()):
            found[one.factors] += one.coefficient
            for atoms, value in spread.items():
                left[atoms] -= value
    for atoms, value in left.items():
        if value:
            found[tuple((a,) for a in atoms)] += value
    return tuple(Product(value, factors) for factors, value in sorted(found.items()))


def _factored(part: Monomials) -> Product | None:
    """The monomials of highest degree as one product, if they are one and there are several.

    Two unknowns are in the same sum if they have the same cofactor.
    """
    degree = max(map(len, part), default=0)
    part = {atoms: value for atoms, value in part.items() if len(atoms) == degree}
    if len(part) < 2:
        return None
    cofactors: dict[int, dict[tuple[int, ...], int]] = defaultdict(dict)
    for atoms, value in part.items():
        for atom in set(atoms):
            rest = list(atoms)
            rest.remove(atom)
            cofactors[atom][tuple(rest)] = value
    classes: dict[frozenset[tuple[tuple[int, ...], int]], list[int]] = defaultdict(list)
    for atom, cofactor in cofactors.items():
        classes[frozenset(cofactor.items())].append(atom)
    whole = {atom: tuple(sorted(atoms)) for atoms in classes.values() for atom in atoms}
    atoms, value = next(iter(part.items()))
    one = Product(value, tuple(sorted(whole[a] for a in atoms)))
    return one if one.monomials() == dict(part) else None
