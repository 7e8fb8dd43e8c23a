"""Unification of axis expressions, with substitution, as in Hindley-Milner.

An atom stands for an axis of which nothing is known but its size. Equations refine atoms: an atom
is bound to another expression, split into factors (a reshape), or cut into segments (a slice, a
concatenation). Refinement is always sound, so an equation that cannot be met leaves what it refined
and freezes what it touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod

from prunec.diagnostics import InternalError
from prunec.ir.axis import ONE, Atom, Axis, Concat, Product, size
from prunec.ir.group import Frozen


class Solver:
    """The substitution, and why atoms are frozen. Sizes of expressions never change."""

    def __init__(self) -> None:
        self._bound: dict[int, Axis] = {}
        self._count = 0
        self._frozen: dict[int, Frozen] = {}
        self._twice: set[int] = set()

    # -- atoms
    # ---------------------------------------------------------------------------------------------

    def fresh(self, length: int, frozen: Frozen | None = None) -> Axis:
        """A new atom, or the axis of size one, which can never lose anything."""
        if length == 1:
            return ONE
        self._count += 1
        atom = Atom(self._count, length)
        if frozen is not None:
            self._frozen[atom.id] = frozen
        return atom

    def freeze(self, axis: Axis, why: Frozen) -> None:
        """Keep every channel of an axis; the first reason given for an atom stands."""
        for atom in self.atoms(axis):
            first = self._frozen.setdefault(atom.id, why)
            if first.node != why.node:
                self._twice.add(atom.id)

    def why_frozen(self, atom: Atom) -> Frozen | None:
        """The first reason; it is marked where it is not the only one."""
        why = self._frozen.get(atom.id)
        return replace(why, alone=False) if why and atom.id in self._twice else why

    def is_frozen(self, axis: Axis) -> bool:
        """Whether all atoms are frozen so far (an axis without atoms is)."""
        return all(atom.id in self._frozen for atom in self.atoms(axis))

    def atoms(self, axis: Axis) -> Iterable[Atom]:
        """The unbound atoms of an axis, in order, repeats included."""
        stack = [axis]
        while stack:
            top = self._walk(stack.pop())
            match top:
                case Atom():
                    yield top
                case Product(factors=items) | Concat(parts=items):
                    stack.extend(reversed(items))

    # -- views of an expression
    # ----------------------------------------------------------------------------

    def segments(self, axis: Axis) -> list[Axis]:
        """The axis as a concatenation: no segment is one. A product distributes over its outermost
        factor.
        """
        top = self._walk(axis)
        match top:
            case Atom():
                return [top]
            case Concat(parts=parts):
                return [s for part in parts for s in self.segments(part)]
            case Product():
                factors = self.factors(top)
                if factors and isinstance(factors[0], Concat):
                    rest = factors[1:]
                    return [product([s, *rest]) for s in self.segments(factors[0])]
                return [product(factors)]

    def factors(self, axis: Axis) -> list[Axis]:
        """The axis as a product, outermost first: no factor is one, none has size one."""
        top = self._walk(axis)
        if isinstance(top, Product):
            return [f for factor in top.factors for f in self.factors(factor)]
        return [top]

    def resolve(self, axis: Axis) -> Axis:
        """The axis with every bound atom replaced, nested concatenations and products flattened."""
        top = self._walk(axis)
        match top:
            case Atom():
                return top
            case Concat(parts=parts):
                return concat([s for part in parts for s in _parts(self.resolve(part))])
            case Product(factors=factors):
                return product([f for factor in factors for f in _factors(self.resolve(factor))])

    # -- equations
    # -----------------------------------------------------------------------------------------

    def unify(self, left: Axis, right: Axis, why: Frozen) -> None:
        """Make two axes of one size the same; ``why`` is the reason given if a boundary cannot be
        met.
        """
        left, right = self._walk(left), self._walk(right)
        if left is right or left == right:
            return
        if size(left) != size(right):
            raise InternalError(
                f"unify {left} (size {size(left)}) with {right} (size {size(right)})"
            )
        if isinstance(left, Atom):
            self._bind(left, right)
        elif isinstance(right, Atom):
            self._bind(right, left)
        else:
            self._unify_composite(left, right, why)

    def cut(self, axis: Axis, at: int) -> tuple[Axis, Axis]:
        """The first ``at`` indices and the rest; ``0 < at < size``."""
        left: list[Axis] = []
        segments = self.segments(axis)
        for position, segment in enumerate(segments):
            length = size(segment)
            if at >= length:
                left.append(segment)
                at -= length
                if at == 0:
                    return concat(left), concat(segments[position + 1 :])
                continue
            head, tail = self._cut_segment(segment, at)
            return concat([*left, head]), concat([tail, *segments[position + 1 :]])
        raise InternalError(f"cut of {axis} beyond its end")

    def slice(self, axis: Axis, start: int, stop: int) -> Axis:
        """The indices ``start:stop``, a non-empty range inside the axis."""
        if stop < size(axis):
            axis, _ = self.cut(axis, stop)
        if start > 0:
            _, axis = self.cut(axis, start)
        return axis

    def split(self, axis: Axis, inner: int) -> tuple[Axis, Axis] | None:
        """The axis as ``outer * inner`` with the given inner size, or None where a boundary forbids
        it.
        """
        taken = self.take_inner(self.factors(axis), inner)
        if taken is None:
            return None
        outer, inside = taken
        return product(outer), product(inside)

    def take_inner(
        self, factors: Sequence[Axis], wanted: int
    ) -> tuple[list[Axis], list[Axis]] | None:
        """Split a row-major product so that its innermost factors have the wanted size together."""
        outer, inner = list(factors), list[Axis]()
        while wanted > 1:
            if not outer:
                return None
            factor = outer.pop()
            length = size(factor)
            if wanted % length == 0:
                inner.insert(0, factor)
                wanted //= length
                continue
            parted = self._split_factor(factor, wanted) if length % wanted == 0 else None
            if parted is None:
                return None
            outer += self.factors(parted[0])
            inner[:0] = self.factors(parted[1])
            wanted = 1
        return outer, inner

    # -- how it is done
    # ------------------------------------------------------------------------------------

    def _walk(self, axis: Axis) -> Axis:
        """Follow bindings to an unbound atom or a composite, shortening the path."""
        if not isinstance(axis, Atom) or axis.id not in self._bound:
            return axis
        target: Axis = axis
        trail = []
        while isinstance(target, Atom) and target.id in self._bound:
            trail.append(target.id)
            target = self._bound[target.id]
        for atom in trail:
            self._bound[atom] = target
        return target

    def _bind(self, atom: Atom, axis: Axis) -> None:
        self._bound[atom.id] = axis
        why = self._frozen.get(atom.id)
        if why is not None:
            self.freeze(axis, why)
        if atom.id in self._twice:
            self._twice.update(a.id for a in self.atoms(axis))

    def _unify_composite(self, left: Axis, right: Axis, why: Frozen) -> None:
        lefts, rights = self.segments(left), self.segments(right)
        if len(lefts) > 1 or len(rights) > 1:
            self._unify_segments(lefts, rights, why)
            return
        self._unify_factors(self.factors(left), self.factors(right), why)

    def _unify_segments(self, lefts: list[Axis], rights: list[Axis], why: Frozen) -> None:
        """Cut both sides at the union of their boundaries and unify the pieces."""
        lefts, rights = lefts[::-1], rights[::-1]
        while lefts:
            left, right = lefts.pop(), rights.pop()
            excess = size(left) - size(right)
            if excess > 0:
                left, rest = self.cut(left, size(right))
                lefts += self.segments(rest)[::-1]
            elif excess < 0:
                right, rest = self.cut(right, size(left))
                rights += self.segments(rest)[::-1]
            self.unify(left, right, why)

    def _unify_factors(self, lefts: list[Axis], rights: list[Axis], why: Frozen) -> None:
        """Match the factors of two products from the inside, splitting the coarser one."""
        while lefts and rights:
            inner = min(size(lefts[-1]), size(rights[-1]))
            left, right = self.take_inner(lefts, inner), self.take_inner(rights, inner)
            if left is None or right is None:
                self._freeze_all([*lefts, *rights], why)
                return
            lefts, rights = left[0], right[0]
            self.unify(product(left[1]), product(right[1]), why)
            # A unification may have refined what is still to be matched.
            lefts = [f for factor in lefts for f in self.factors(factor)]
            rights = [f for factor in rights for f in self.factors(factor)]

    def _freeze_all(self, axes: Iterable[Axis], why: Frozen) -> None:
        for axis in axes:
            self.freeze(axis, why)

    def _split_factor(self, factor: Axis, inner: int) -> tuple[Axis, Axis] | None:
        factor = self._walk(factor)
        if isinstance(factor, Atom):
            outside, inside = self.fresh(factor.size // inner), self.fresh(inner)
            self._bind(factor, product([outside, inside]))
            return outside, inside
        if isinstance(factor, Concat):
            return self._split_concat(factor, inner)
        return self.split(factor, inner)

    def _split_concat(self, factor: Concat, inner: int) -> tuple[Axis, Axis] | None:
        """``(a + b) = (a' + b') * i``: every segment splits, all inner factors are one."""
        segments = self.segments(factor)
        if any(size(s) % inner for s in segments):
            return None
        outsides, first = list[Axis](), None
        for segment in segments:
            parted = self.split(segment, inner)
            if parted is None:
                return None
            outsides.append(parted[0])
            if first is None:
                first = parted[1]
            else:
                self.unify(first, parted[1], Frozen("two segments are reshaped alike but differ"))
        return (concat(outsides), first) if first is not None else None

    def _cut_segment(self, segment: Axis, at: int) -> tuple[Axis, Axis]:
        """Cut the outermost factor; where the boundary falls inside one index of it, cut that
        index's rest.
        """
        outermost, *inner = self.factors(segment)
        whole, within = divmod(at, prod(map(size, inner)))
        if within == 0:
            head, tail = self._cut_factor(outermost, whole)
            return product([head, *inner]), product([tail, *inner])
        before: list[Axis] = []
        after: list[Axis] = []
        if whole > 0:
            head, outermost = self._cut_factor(outermost, whole)
            before.append(product([head, *inner]))
        if size(outermost) > 1:
            _, tail = self._cut_factor(outermost, 1)
            after.append(product([tail, *inner]))
        left, right = self.cut(product(inner), within)
        return concat([*before, left]), concat([right, *after])

    def _cut_factor(self, factor: Axis, at: int) -> tuple[Axis, Axis]:
        factor = self._walk(factor)
        if not isinstance(factor, Atom):
            return self.cut(factor, at)
        head, tail = self.fresh(at), self.fresh(factor.size - at)
        self._bind(factor, concat([head, tail]))
        return head, tail


def product(factors: Sequence[Axis]) -> Axis:
    """The product of factors, plain where there is one only."""
    flat = [f for factor in factors for f in _factors(factor)]
    return flat[0] if len(flat) == 1 else Product(tuple(flat))


def concat(parts: Sequence[Axis]) -> Axis:
    """The concatenation of segments, plain where there is one only."""
    flat = [p for part in parts for p in _parts(part)]
    return flat[0] if len(flat) == 1 else Concat(tuple(flat))


def _factors(axis: Axis) -> tuple[Axis, ...]:
    return axis.factors if isinstance(axis, Product) else (axis,)


def _parts(axis: Axis) -> tuple[Axis, ...]:
    return axis.parts if isinstance(axis, Concat) else (axis,)
