"""Selectors: which modules they choose, and what to say when that is none.

A module is chosen with all that is below it. A glob chooses by path: ``*`` and ``?`` stay within
one component (``layer*``, ``layer3.*.conv1``), ``**`` stands for any number of components. ``type
Conv2d`` chooses by class. ``not s`` chooses the modules of which ``s`` chooses no part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import assert_never

from prunec.diagnostics import Diagnostic, PruneError
from prunec.grammar.tree import And, Glob, Kind, Not, Or, Selector
from prunec.spec.glob import PathGlob
from prunec.spec.suggest import Modules, suggestion


def select(selector: Selector | None, modules: Modules) -> tuple[str, ...]:
    """The paths chosen, in the order of ``modules``: pairs of path and class name, the root's path
    is ``""``.

    None chooses all. Class names may be given with their module path.

    Raises:
        PruneError: P0204 for every glob or type that chooses nothing, or for a selector that
            chooses nothing as a whole.
    """
    if selector is None:
        return tuple(path for path, _ in modules)
    faults = unmatched(selector, modules)
    if faults:
        raise PruneError(*faults)
    chosen = _chosen(selector, modules)
    return tuple(path for path, _ in modules if path in chosen)


def unmatched(selector: Selector, modules: Modules) -> tuple[Diagnostic, ...]:
    """A diagnostic for every part of a selector that chooses nothing, in source order."""
    empty = [leaf for leaf in leaves(selector) if not _chosen(leaf, modules)]
    if empty:
        return tuple(_no_module(leaf, modules) for leaf in empty)
    return () if _chosen(selector, modules) else (_no_module(selector, modules),)


def leaves(selector: Selector) -> Iterator[Glob | Kind]:
    """The globs and types that a selector consists of, in order."""
    match selector:
        case Glob() | Kind():
            yield selector
        case Not():
            yield from leaves(selector.operand)
        case And() | Or():
            for operand in selector.operands:
                yield from leaves(operand)
        case _:
            assert_never(selector)


def text(selector: Selector) -> str:
    """The selector as it is written."""
    match selector:
        case Glob():
            escaped = selector.pattern.replace("\\", "\\\\").replace('"', '\\"')
            return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t") + '"'
        case Kind():
            return f"type {selector.name}"
        case Not():
            return f"not {_inner(selector.operand)}"
        case And():
            return " and ".join(map(_inner, selector.operands))
        case Or():
            return " or ".join(map(_inner, selector.operands))
        case _:
            assert_never(selector)


def _chosen(selector: Selector, modules: Modules) -> frozenset[str]:
    paths = [path for path, _ in modules]
    match selector:
        case Glob():
            glob = PathGlob(selector.pattern)
            return frozenset(filter(glob.chooses, paths))
        case Kind():
            return _below(
                {p for p, cls in modules if cls.rpartition(".")[2] == selector.name}, paths
            )
        case Not():
            inside = _chosen(selector.operand, modules)
            above = {a for path in inside for a in _lineage(path)}
            return frozenset(p for p in paths if p not in above)
        case And():
            sets = (_chosen(operand, modules) for operand in selector.operands)
            return frozenset.intersection(*sets)
        case Or():
            return frozenset[str]().union(*(_chosen(o, modules) for o in selector.operands))
        case _:
            assert_never(selector)


def _below(tops: Collection[str], paths: Sequence[str]) -> frozenset[str]:
    """The paths that are among ``tops``, or below one."""
    return frozenset(path for path in paths if any(a in tops for a in _lineage(path)))


def _lineage(path: str) -> Iterator[str]:
    """A path and all above it, the root's empty path included."""
    yield path
    while path:
        path = path.rpartition(".")[0]
        yield path


def _inner(selector: Selector) -> str:
    return f"({text(selector)})" if isinstance(selector, And | Or) else text(selector)


def _no_module(selector: Selector, modules: Modules) -> Diagnostic:
    known = sum(1 for path, _ in modules if path)
    return Diagnostic(
        "P0204",
        "selector matches no module",
        span=selector.span,
        label=f"0 of {known} modules",
        help=suggestion(selector, modules),
    )
