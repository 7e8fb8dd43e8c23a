"""Canonical: the one chain of operators that a movement is written as."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from prunec.emit import movement
from prunec.emit.movement import (
    Atom,
    Group,
    Merge,
    Move,
    Movement,
    Permute,
    Reshape,
    Split,
    Squeeze,
    Unsqueeze,
    follow,
    identity,
    size,
)


def run(moves: Movement) -> tuple[Move, ...]:
    """The one chain that a movement is written as, and that reads as itself; () does nothing."""
    found = _chain(moves)
    for _ in range(8):
        again = follow(identity(moves.source), found)
        after = found if again is None else _chain(again)
        if after == found:
            break
        found = after
    return found


def _chain(moves: Movement) -> tuple[Move, ...]:
    moves = _settled(moves)
    known = {a for g in moves.given for a in g}
    used = {a for g in moves.made for a in g}
    dropped = [i for i, g in enumerate(moves.given) if g and not used.issuperset(g)]
    given = [g for i, g in enumerate(moves.given) if i not in dropped]
    fresh = [i for i, g in enumerate(moves.made) if not known.issuperset(g)]
    made = [g for i, g in enumerate(moves.made) if i not in fresh]
    core = list(_core(given, made))
    return (*map(Squeeze, reversed(dropped)), *core, *map(Unsqueeze, fresh))


def _settled(moves: Movement) -> Movement:
    """Give loose dimensions to what was before them, where that is no longer so."""
    loose = [a for g in moves.made for a in g if a.loose]
    if not loose or len(loose) > 1:
        return moves
    place = next(i for i, g in enumerate(moves.made) if loose[0] in g)
    last = moves.given[-1][-1]
    if place and moves.made[place - 1][-1] is last:
        return moves
    if loose[0] in {a for g in moves.given for a in g} or not any(last in g for g in moves.made):
        return moves
    given = (*moves.given[:-1], (*moves.given[-1], loose[0]))
    return movement.normal(Movement(given, moves.made))


def _core(given: Sequence[Group], made: Sequence[Group]) -> Iterator[Move]:
    before = [a for g in given for a in g]
    after = [a for g in made for a in g]
    if before == after:
        yield from _regrouped(given, made)
        return
    units: list[Group] = [(a,) for a in before]
    if all(len(g) == 1 for g in given):
        units = list(_units(before, made))
    yield from _regrouped(given, units)
    order = sorted(range(len(units)), key=lambda i: after.index(units[i][0]))
    yield Permute(tuple(order))
    yield from _regrouped([units[i] for i in order], made)


def _units(before: Sequence[Atom], made: Sequence[Group]) -> Iterator[Group]:
    """Whole dimensions that stay side by side merge before they move."""
    following = {a: b for g in made for a, b in pairwise(g)}
    row: list[Atom] = []
    for atom in before:
        if row and following.get(row[-1]) is not atom:
            yield tuple(row)
            row = []
        row.append(atom)
    yield tuple(row)


def _regrouped(old: Sequence[Group], new: Sequence[Group]) -> Iterator[Move]:
    """The same atoms in the same order, in other groups."""
    if list(old) == list(new):
        return
    head = movement.common(old, new)
    tail = movement.common(old[head:][::-1], new[head:][::-1])
    parts = new[head : len(new) - tail]
    if len(old) - head - tail == 1:
        marked = [i for i, g in enumerate(parts) if len(g) == 1 and g[0].inferred]
        yield Split(head, tuple(map(size, parts)), marked[0] if len(marked) == 1 else None)
    elif len(parts) == 1:
        yield Merge(head, len(old) - tail - 1)
    else:
        yield Reshape(tuple(map(size, new)))
