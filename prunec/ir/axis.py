"""Axis expressions: what a dimension of a tensor is made of.

    E ::= atom | E * E (row-major product, outermost first) | E + E (concatenation)

The size of an expression is a polynomial in the widths of its atoms; what remains of a dimension
once channels are removed is a boolean mask that the expression computes from the masks of its
atoms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Atom:
    """An indivisible axis; equal atoms are the same axis wherever they occur."""

    id: int
    size: int

    def __str__(self) -> str:
        return f"a{self.id}:{self.size}"


@dataclass(frozen=True, slots=True)
class Product:
    """Row-major product, outermost factor first. The empty product is the axis of size one."""

    factors: tuple[Axis, ...] = ()

    def __str__(self) -> str:
        return "*".join(f"({f})" if isinstance(f, Concat) else str(f) for f in self.factors) or "1"


@dataclass(frozen=True, slots=True)
class Concat:
    """Concatenation of two or more segments, in order."""

    parts: tuple[Axis, ...]

    def __str__(self) -> str:
        return " + ".join(map(str, self.parts))


Axis: TypeAlias = Atom | Product | Concat
ONE = Product()


def size(axis: Axis, widths: Mapping[int, int] | None = None) -> int:
    """Number of indices; with ``widths`` (atom id -> kept channels) the number that remains."""
    match axis:
        case Atom():
            return axis.size if widths is None else widths.get(axis.id, axis.size)
        case Product():
            return prod(size(f, widths) for f in axis.factors)
        case Concat():
            return sum(size(p, widths) for p in axis.parts)


def mask(axis: Axis, kept: Mapping[int, Mask]) -> Mask:
    """Which indices of the axis remain, given the masks of atoms that lose channels (absent: all
    kept).
    """
    match axis:
        case Atom():
            found = kept.get(axis.id)
            return np.ones(axis.size, dtype=bool) if found is None else found
        case Product():
            result = np.ones(1, dtype=bool)
            for factor in axis.factors:
                result = np.logical_and.outer(result, mask(factor, kept)).reshape(-1)
            return result
        case Concat():
            return np.concatenate([mask(p, kept) for p in axis.parts])


def owner(axis: Axis, atom: int) -> NDArray[np.int64]:
    """For every index of the axis the channel of the atom (by id) that it belongs to, or -1."""
    match axis:
        case Atom():
            own = axis.id == atom
            return np.arange(axis.size) if own else np.full(axis.size, -1, dtype=np.int64)
        case Product():
            result = np.full(1, -1, dtype=np.int64)
            for factor in axis.factors:
                inner = owner(factor, atom)[None, :]
                result = np.where(inner >= 0, inner, result[:, None]).reshape(-1)
            return result
        case Concat():
            return np.concatenate([owner(p, atom) for p in axis.parts])


def members(axis: Axis, atom: Atom) -> NDArray[np.int64]:
    """The indices of the axis that each channel of the atom occupies, ``[channels, indices of
    one]``, ascending.
    """
    owners = owner(axis, atom.id)
    order = np.argsort(owners, kind="stable")
    return order[np.count_nonzero(owners < 0) :].reshape(atom.size, -1)


def atoms(axis: Axis) -> Iterator[Atom]:
    """Every atom, in order, repeats included."""
    match axis:
        case Atom():
            yield axis
        case Product():
            for factor in axis.factors:
                yield from atoms(factor)
        case Concat():
            for part in axis.parts:
                yield from atoms(part)
