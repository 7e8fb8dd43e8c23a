"""Movement: what reshapes and transposes do to dimensions, as an algebra.

Every dimension of the input is split into atoms, the atoms are put into another order, and groups
of them are the dimensions of the result. So any chain of such operators comes to one `Movement`,
and every movement has one canonical chain: split, one permutation, merge. Sizes may be dynamic.

A dimension of size one that a split makes stays part of the dimension that was split, so that one
head is spelled as many are. Only ``unsqueeze``, and a view that does nothing else, makes new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from prunec.emit.sizes import ONE, Size, product


@dataclass(frozen=True, slots=True)
class Permute:
    """``permute``; ``order[i]`` is the dimension that becomes the ``i``-th."""

    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """``unflatten``; ``inferred`` says which size is left to torch."""

    dim: int
    sizes: tuple[Size, ...]
    inferred: int | None = None


@dataclass(frozen=True, slots=True)
class Merge:
    """``flatten`` from one dimension to another, inclusive."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Reshape:
    """``reshape``; ``inferred`` as in `Split`."""

    sizes: tuple[Size, ...]
    inferred: int | None = None


@dataclass(frozen=True, slots=True)
class Unsqueeze:
    dim: int


@dataclass(frozen=True, slots=True)
class Squeeze:
    dim: int


Move: TypeAlias = Permute | Split | Merge | Reshape | Unsqueeze | Squeeze


@dataclass(frozen=True, slots=True, eq=False)
class Atom:
    """A dimension, or a factor of one.

    ``inferred``: its size was left to torch when it was split off. ``loose``: a new dimension of
    size one that belongs to what is before it, should the two be torn apart.
    """

    size: Size
    inferred: bool = False
    loose: bool = False


Group: TypeAlias = tuple[Atom, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Movement:
    """``given`` are the atoms of each dimension of the input, ``made`` those of the result.

    Atoms in ``made`` alone are new dimensions of size one; a dimension of size one in ``given``
    alone is dropped.
    """

    given: tuple[Group, ...]
    made: tuple[Group, ...]

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The sizes of the result."""
        return tuple(map(size, self.made))

    @property
    def atoms(self) -> int:
        """Into how many pieces the dimensions of the input are split."""
        return sum(map(len, self.given))

    @property
    def source(self) -> tuple[Size, ...]:
        """The sizes of the input."""
        return tuple(map(size, self.given))


def identity(sizes: Iterable[Size]) -> Movement:
    """The movement that does nothing."""
    groups = tuple((Atom(s),) for s in sizes)
    return Movement(groups, groups)


def follow(movement: Movement, moves: Iterable[Move]) -> Movement | None:
    """The movement and then some more."""
    found: Movement | None = movement
    for move in moves:
        found = None if found is None else then(found, move)
    return found


def then(movement: Movement, move: Move) -> Movement | None:
    """The movement and then one more; None where atoms do not do (``(6, 4)`` as ``(4, 6)``)."""
    made = movement.made
    match move:
        case Permute(order=order):
            found: Movement | None = Movement(movement.given, tuple(made[i] for i in order))
        case Merge(first=first, last=last):
            merged = tuple(a for g in made[first : last + 1] for a in g)
            found = Movement(movement.given, (*made[:first], merged, *made[last + 1 :]))
        case Unsqueeze(dim=dim):
            found = Movement(movement.given, (*made[:dim], (Atom(ONE),), *made[dim:]))
        case Squeeze(dim=dim):
            found = _squeeze(movement, dim)
        case Split(dim=dim, sizes=sizes, inferred=inferred):
            found = _regroup(movement, dim, dim + 1, sizes, inferred)
        case Reshape():
            found = _reshape(movement, move)
    return None if found is None else normal(found)


def _squeeze(movement: Movement, dim: int) -> Movement | None:
    if not size(movement.made[dim]).is_one:
        return None
    gone = set(movement.made[dim])
    given = tuple(tuple(a for a in g if a not in gone) or g[:1] for g in movement.given)
    return Movement(given, (*movement.made[:dim], *movement.made[dim + 1 :]))


def _reshape(movement: Movement, move: Reshape) -> Movement | None:
    old, new = movement.sizes, move.sizes
    head = common(old, new)
    tail = common(old[head:][::-1], new[head:][::-1])
    if head == 0 and len(new) == tail == len(old) - 1:
        return _squeeze(movement, 0)
    fresh = _fresh(old, new, head, len(new) - tail)
    if fresh is not None:
        return _insert(movement, fresh)
    windows = _windows(movement, move, head, tail)
    if windows is not None:
        return windows
    # A dimension of size one is part of the next, or of the last where there is none.
    while tail and any(
        r and r[-1].is_one for r in (old[: len(old) - tail], new[: len(new) - tail])
    ):
        tail -= 1
    if len(new) == head + tail and head:
        head -= 1
    inferred = None if move.inferred is None else move.inferred - head
    return _regroup(movement, head, len(old) - tail, new[head : len(new) - tail], inferred)


def _windows(movement: Movement, move: Reshape, head: int, tail: int) -> Movement | None:
    """Several dimensions of size one behind a batch, where what follows is regrouped: its parts.

    So one window per image is spelled as several are.
    """
    old, new = movement.sizes, move.sizes
    if not head or not old[head - 1].is_dynamic:
        return None
    before, after = old[head : len(old) - tail], new[head : len(new) - tail]
    closed, opened = (
        next((i for i, s in enumerate(r) if not s.is_one), 0) for r in (before, after)
    )
    if closed > 1 and not opened and len(before) - closed > 1:
        last = head + closed - 1
        return follow(movement, (Merge(head - 1, last), Reshape(new, move.inferred)))
    if opened > 1 and not closed and len(after) - opened > 1:
        plain = (*new[:head], *after[opened:], *new[len(new) - tail :])
        batch = (old[head - 1], *after[:opened])
        return follow(movement, (Reshape(plain), Split(head - 1, batch)))
    return None


def _fresh(old: Sequence[Size], new: Sequence[Size], head: int, end: int) -> list[int] | None:
    """The dimensions of size one that a view adds where it does nothing else; None: they are parts.

    At the front and at the back they are new, as are several in a row; so is what stands before a
    dynamic size, which nobody splits into heads.
    """
    added = [i for i in range(head, end) if new[i].is_one]
    if [s for i, s in enumerate(new) if i not in added] != list(old) or not added:
        return None
    for dim in added:
        run = dim - 1 in added or dim + 1 in added
        leading = all(i in added for i in range(dim))
        trailing = dim == len(new) - 1
        if not (run or leading or trailing or new[dim + 1].is_dynamic):
            return None
    return added


def _insert(movement: Movement, fresh: Sequence[int]) -> Movement:
    made = movement.made
    last = movement.given[-1][-1:] if movement.given else ()
    loose = (
        list(fresh) == [len(made)]
        and len(made) >= 3
        and made[-1][-1:] == last
        and not last[0].size.is_dynamic
    )
    for dim in fresh:
        made = (*made[:dim], (Atom(ONE, loose=loose),), *made[dim:])
    return Movement(movement.given, made)


def _regroup(
    movement: Movement, first: int, end: int, sizes: Sequence[Size], inferred: int | None
) -> Movement | None:
    """Make dimensions of these sizes out of those from ``first`` to ``end``."""
    given = [list(g) for g in movement.given]
    old = [a for g in movement.made[first:end] for a in g]
    rest = list(old)
    groups: list[list[Atom]] = []
    for size in sizes:
        group = _take(rest, size, given, groups)
        if group is None:
            return None
        groups.append(group)
    if not groups or any(not a.size.is_one for a in rest):
        return None
    groups[-1] += rest
    for i, group in enumerate(groups):
        if i == inferred and len(group) == 1 and group[0] not in old:
            marked = Atom(group[0].size, inferred=True)
            _replace(given, group[0], [marked])
            groups[i] = [marked]
    made = (*movement.made[:first], *map(tuple, groups), *movement.made[end:])
    return Movement(tuple(map(tuple, given)), made)


def _take(
    rest: list[Atom], size: Size, given: list[list[Atom]], groups: Sequence[Sequence[Atom]]
) -> list[Atom] | None:
    """Take atoms of this size off the front, in pieces where one is too large."""
    if size.is_one:
        if rest and rest[0].size.is_one:
            return [rest.pop(0)]
        one = Atom(ONE)
        if rest:
            _replace(given, rest[0], [one, rest[0]])
        elif groups:
            _replace(given, groups[-1][-1], [groups[-1][-1], one])
        return [one]
    group: list[Atom] = []
    while not size.is_one:
        if not rest:
            return None
        atom = rest.pop(0)
        left = size.over(atom.size)
        if left is None:
            other = atom.size.over(size)
            if other is None:
                return None
            pieces = [Atom(size), Atom(other)]
            _replace(given, atom, pieces)
            rest.insert(0, pieces[1])
            atom, left = pieces[0], ONE
        group.append(atom)
        size = left
    return group


def _replace(given: list[list[Atom]], atom: Atom, by: list[Atom]) -> None:
    for group in given:
        if atom in group:
            place = group.index(atom)
            group[place : place + 1] = by


def normal(movement: Movement) -> Movement:
    """Join atoms that stay side by side, and drop new dimensions inside of others."""
    known = {a for g in movement.given for a in g}
    made = [[a for a in g if a in known] or list(g[:1]) for g in movement.made]
    following = {a: b for g in made for a, b in pairwise(g)}
    joined: dict[Atom, Atom | None] = {}
    given = []
    for group in movement.given:
        row: list[list[Atom]] = []
        for atom in group:
            if row and following.get(row[-1][-1]) is atom:
                row[-1].append(atom)
            else:
                row.append([atom])
        atoms = [r[0] if len(r) == 1 else Atom(product(a.size for a in r)) for r in row]
        for atom, parts in zip(atoms, row, strict=True):
            joined.update(dict.fromkeys(parts[1:]))
            joined[parts[0]] = atom
        given.append(tuple(atoms))
    shown = (tuple(joined.get(a, a) for a in g) for g in made)
    return Movement(tuple(given), tuple(tuple(a for a in g if a is not None) for g in shown))


def size(group: Iterable[Atom]) -> Size:
    """The size of a dimension that is made of some atoms."""
    return product(a.size for a in group)


def common(a: Sequence[object], b: Sequence[object]) -> int:
    """How many items two sequences have in common at their start."""
    shorter = min(len(a), len(b))
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), shorter)
