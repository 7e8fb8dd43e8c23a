"""Shape: the tree of calls made such that every call can be written as one.

A call stays a call if its caller holds the module, if all calls of the module do the same, and if
it is what its kind of module does (``nn.Sequential`` chains). Any other call is dissolved: its
operators are written by its caller. The root holds everything, so this always ends with a tree that
can be written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from prunec.emit import keys, leaves, schedule, sequences, standins, tree
from prunec.emit.construct import Construct
from prunec.emit.expr import Expr
from prunec.emit.hierarchy import CONTAINERS, Hierarchy, Kind, numbered
from prunec.emit.simplify import Program
from prunec.emit.steps import Model
from prunec.emit.tree import Boundaries, Region


@dataclass(frozen=True)
class Shaped:
    """The final tree, with the constructions of torch.nn leaves by path."""

    root: Region
    model: Model
    leaves: Mapping[str, Construct]


def run(program: Program, literals: Mapping[str, Expr]) -> Shaped:
    """Dissolve what cannot be written as a call, until nothing changes."""
    root = tree.build(program)
    built, otherwise = leaves.run(program.graph, root)
    root = tree.dissolve(root, lambda r: r.path in otherwise)
    hierarchy = Hierarchy(program.graph, leaves=frozenset(built))
    dissolved: set[str] = set()
    while True:
        root = leaves.adopt(program.graph, root, built)
        root = sequences.run(model_of(program, hierarchy, literals), root, dissolved)
        hierarchy = replace(
            hierarchy,
            chained=_chained(program, hierarchy, root, literals),
            bases=standins.bases(program.graph, root, built),
        )
        model = model_of(program, hierarchy, literals)
        unwanted = {id(r) for r in _misfits(model, root)} or set(keys.unequal(model, root))
        if not unwanted:
            root = schedule.run(model, root)
            ordered = replace(program, nodes=tuple(root.nodes()))
            return Shaped(root, model_of(ordered, hierarchy, literals), built)
        dissolved.update(r.path for r in root.walk() if id(r) in unwanted)
        root = tree.dissolve(root, lambda r: id(r) in unwanted)  # noqa: B023


def model_of(program: Program, hierarchy: Hierarchy, literals: Mapping[str, Expr]) -> Model:
    def reach(path: str, weight: str) -> bool:
        return hierarchy.weight(path, weight) is not None

    return Model(program, hierarchy, Boundaries(program, reach), literals)


def _misfits(model: Model, root: Region) -> Iterator[Region]:
    """Calls that cannot be written; where a caller does not hold the module, the caller."""
    hierarchy = model.hierarchy
    for caller in root.walk():
        for region in caller.children:
            kind = hierarchy.kind(region.path)
            if hierarchy.access(caller.path, region.path) is None:
                leaf = kind is Kind.LEAF and not model.program.graph.module[region.path].weights
                yield region if leaf or caller.path == "" else caller
            elif (kind is Kind.SEQUENTIAL and not sequences.is_chain(model, region)) or (
                kind in (Kind.LIST, Kind.DICT, Kind.PARAMETERS)
                or not model.boundaries(region).outputs
            ):
                yield region


def _chained(
    program: Program, hierarchy: Hierarchy, root: Region, literals: Mapping[str, Expr]
) -> frozenset[str]:
    """Paths of user classes with numbered children, all of whose calls are chains."""
    model = model_of(program, hierarchy, literals)
    verdict: dict[str, bool] = {}
    for region in root.walk():
        module = program.graph.module[region.path]
        user = module.cls != f"{CONTAINERS}Sequential" and not module.weights and region.path != ""
        if (
            user
            and module.children
            and numbered(module.children)
            and region.path not in hierarchy.leaves
        ):
            verdict[region.path] = verdict.get(region.path, True) and sequences.is_chain(
                model, region
            )
    return frozenset(path for path, chain in verdict.items() if chain)
