"""The vocabulary: what else it concerns when token ids are renumbered.

New id of a token: the rank of its old id among those that are kept, from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from prunec.diagnostics import Diagnostic, PruneError, Span
from prunec.ir.axis import Mask, atoms, mask
from prunec.ir.group import Axes, Group
from prunec.ir.plan import Plan
from prunec.prepare import Job


def check(job: Job) -> None:
    """Refuse what would meet old ids with a model of new ones.

    Raises:
        PruneError: P0508 for a part of a model, a repair, or evaluation data.
    """
    faults = tuple(_refused(job)) if job.spec.renumbers else ()
    if faults:
        raise PruneError(*faults)


def kept(axes: Axes, groups: tuple[Group, ...], plan: Plan) -> dict[str, Mask]:
    """Input -> which ids it may still hold, bool[rows of the embedding], where some go."""
    masks = plan.masks(tuple(g for g in groups if g.kind == "vocabulary"))
    return {
        name: mask(axis, masks)
        for name, axis in axes.renumbered.items()
        if any(atom.id in masks for atom in atoms(axis))
    }


def notes(found: Mapping[str, Mask]) -> tuple[Diagnostic, ...]:
    """P0509 for every input that is renumbered."""
    return tuple(
        Diagnostic(
            "P0509",
            f"the ids of the input `{name}` are renumbered: {ids.sum()} of {len(ids)} are kept",
            notes=("the new id of a token is the rank of its old id among the kept, from 0",),
            help="`slim.lock.json` lists the kept ids under `renumbered`; map ids by it",
            severity="note",
        )
        for name, ids in found.items()
    )


def comment(found: Mapping[str, Mask]) -> Iterator[str]:
    """Lines for the top of the source."""
    for name, ids in found.items():
        yield f"The ids of `{name}` are renumbered: {ids.sum()} of {len(ids)} are kept."
    if found:
        yield "The new id of a token is the rank of its old id among the kept, from 0."
        yield "slim.lock.json lists them; outputs over all ids are over the kept ones, in order."


def ranges(ids: Mask) -> str:
    """The kept ids, ascending: ``"0-3, 7"``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ids, [False]]).astype(np.int8)))
    pairs = zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True)
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in pairs)


def _refused(job: Job) -> Iterator[Diagnostic]:
    spec = job.spec
    if spec.part is not None:
        why = "the rest of the model would go on with the old ids"
        yield _fault("a part of a model", why, "compile the whole model", spec.part.span)
    why = "the data hold token ids as the original numbers them"
    if spec.repair:
        yield _fault("repair by data", why, "say `repair none`", spec.repair[0].span)
    if spec.solve.measures:
        yield _fault("a solver that measures", why, "say `solve milp`", spec.solve.span)
    if spec.evaluate is not None or job.evaluate is not None:
        span = spec.evaluate.span if spec.evaluate else None
        yield _fault("evaluation by data", why, "evaluate the slim model with ids mapped", span)


def _fault(what: str, why: str, remedy: str, span: Span | None) -> Diagnostic:
    message = f"{what} does not go with `prune vocabulary`, which renumbers token ids"
    return Diagnostic("P0508", message, span=span, notes=(why,), help=remedy)
