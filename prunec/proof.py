"""The proof of a compile: every check of `prunec.check`, as lines of the report or as one refusal."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from prunec import trace
from prunec.check import Removed, twin
from prunec.check.samples import flatten
from prunec.diagnostics import Diagnostic, PruneError
from prunec.emit.load import fill
from prunec.passes.shrink import select
from prunec.prepare import Subject
from prunec.report.data import Check, Report
from prunec.trace import Traced


def run(subject: Subject, traced: Traced, removed: Removed, bare: nn.Module) -> tuple[Check, ...]:
    """Prove a slim module, with unrepaired weights, against the original.

    Raises:
        PruneError: P08xx where a check fails; there must be no output then.
    """
    results = tuple(checks(subject, traced, removed, bare))
    faults = [fault for _, found in results for fault in found]
    if faults:
        raise PruneError(*faults)
    return tuple(check for check, _ in results)


def checks(
    subject: Subject, traced: Traced, removed: Removed, bare: nn.Module
) -> Iterator[tuple[Check, tuple[Diagnostic, ...]]]:
    """Every check with its faults, none of which is raised."""
    example = flatten(subject.args, subject.kwargs)
    found = twin.run(traced.graph, traced.weights, removed, bare, example)
    names = f"{len(found.cases)} cases in float64, largest relative error {found.max_error:.0e}"
    yield Check("masked twin", found.equal, names), found.diagnostics


def verify(subject: Subject, slim: nn.Module, removed: Removed, report: Report) -> Report:
    """The report with the checks made anew, failed ones too, against a model that is traced anew.

    ``slim`` may hold repaired weights: its structure is what is proved, with the original's weights in it.

    Raises:
        PruneError: P0810 if this is not the model that was compiled.
    """
    traced = trace.run(subject.module, subject.args, subject.kwargs, dynamic=subject.dynamic)
    if not _same_model(traced, removed):
        raise PruneError(
            Diagnostic(
                "P0810",
                "this is not the model that was compiled: its weights have other names or shapes",
                help="pass the model and the example inputs that `prunec.compile` was given",
            )
        )
    bare = copy.deepcopy(slim)
    fill(bare, {name: select(w, removed.weights[name]) for name, w in traced.weights.items()})
    results = tuple(checks(subject, traced, removed, bare))
    faults = tuple(fault for _, found in results for fault in found)
    return replace(
        report,
        checks=tuple(check for check, _ in results),
        diagnostics=(*report.diagnostics, *faults),
    )


def _same_model(traced: Traced, removed: Removed) -> bool:
    """Whether the masks of a compile fit the weights of a model."""
    if traced.weights.keys() != removed.weights.keys():
        return False
    return all(
        mask is None or len(mask) == size
        for name, tensor in traced.weights.items()
        for mask, size in zip(removed.weights[name] or (), tensor.shape, strict=False)
    )
