"""The proof of a compile: all checks of `prunec.check`, as lines of the report or as one refusal.

Like the checks, it uses nothing of the compiler that it judges: no pass, no emission.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

from torch import Tensor, nn

from prunec import trace
from prunec.check import (
    Removed,
    clean_room,
    costs,
    fidelity,
    onnx_file,
    pretrained,
    renumbered,
    state,
    stress,
    twin,
)
from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.graph import Graph
from prunec.ir.plan import Cost
from prunec.prepare import Stage, Subject, quiet
from prunec.report.data import Check, Report
from prunec.spec import Format, HuggingFace, Onnx
from prunec.trace import Traced

WEIGHTS = "slim.safetensors"
"""The artefact's weights file."""


@dataclass(frozen=True, eq=False)
class Claim:
    """What is to be proved: that ``slim`` is the original without the removed channels.

    ``slim`` may hold repaired weights: its structure is judged with the original's weights in it.
    ``files`` are the artefact's, by name, which must give ``slim`` in a process without prunec, and
    so must those of each of the ``formats`` in a program that reads it. ``costs`` are what the
    compiler says that it costs, and may cost.
    """

    removed: Removed
    slim: nn.Module
    files: Mapping[str, bytes]
    formats: tuple[Format, ...] = ()
    costs: tuple[Cost, ...] = ()


def run(subject: Subject, traced: Traced, claim: Claim, stage: Stage = quiet) -> tuple[Check, ...]:
    """Prove a claim; ``stage`` is told of each check as it begins.

    Raises:
        PruneError: P08xx where a check fails; there must be no output then.
    """
    results = tuple(_checks(subject, traced, claim, stage))
    faults = [fault for _, found in results for fault in found]
    if faults:
        raise PruneError(*faults)
    return tuple(check for check, _ in results)


def verify(subject: Subject, claim: Claim, report: Report) -> Report:
    """The report with all checks made anew, failed ones too, against a model that is traced anew.

    Raises:
        PruneError: P0831 if this is not the model that was compiled.
    """
    traced = trace.run(subject.module, subject.args, subject.kwargs, dynamic=subject.dynamic)
    if not _same_model(traced, claim.removed):
        raise PruneError(
            Diagnostic(
                "P0831",
                "this is not the model that was compiled: its weights have other names or shapes",
                help="pass the model and the example inputs that `prunec.compile` was given",
            )
        )
    results = tuple(_checks(subject, traced, claim))
    faults = tuple(fault for _, found in results for fault in found)
    checks = tuple(check for check, _ in results)
    return replace(report, checks=checks, diagnostics=(*report.diagnostics, *faults))


def _checks(
    subject: Subject, traced: Traced, claim: Claim, stage: Stage = quiet
) -> Iterator[tuple[Check, tuple[Diagnostic, ...]]]:
    """Every check, with its faults."""
    graph, weights, removed = traced.graph, traced.weights, claim.removed
    example = trace.tensors(subject.module, subject.args, subject.kwargs)
    with tempfile.TemporaryDirectory(prefix="prunec-proof-") as folder:
        for name, data in claim.files.items():
            (Path(folder) / name).write_bytes(data)
        # The files run in a process of their own, all the while that this one is busy.
        ids = renumbered.originals(graph, removed, example)
        ids = renumbered.ranks(graph, removed, ids)
        with clean_room.start(Path(folder), graph, ids) as room:
            stage("proving the graph")
            dense = fidelity.run(graph, weights, subject.module, example)
            yield _compared("the graph is the model", dense)
            stage("proving the slim model")
            bare = _unrepaired(graph, weights, claim)
            masked = twin.run(graph, weights, removed, bare, example)
            yield _compared("the slim model is its masked twin", masked)
            faults = state.run(graph, weights, removed, claim.slim, repaired=True)
            count = len(graph.weights) - len(removed.absent)
            figures = f"{count} tensors, {state.parameters(graph, removed)} parameters"
            yield Check("names, shapes and ties", not faults, figures), faults
            stage("proving the budgets")
            yield _budgets(graph, claim, example)
            stage("proving the files")
            alone = room.compare(claim.slim)
        figures = f"torch alone, relative error {alone.max_error:.0e}"
        yield Check("the files run without prunec", alone.passed, figures), alone.diagnostics
        for form in claim.formats:
            stage(f"proving {form.name}")
            yield _format(form, Path(folder), graph, claim, example)


def _budgets(
    graph: Graph, claim: Claim, example: Sequence[Tensor]
) -> tuple[Check, tuple[Diagnostic, ...]]:
    """Whether the module and its file cost no more than they may."""
    file = claim.files[WEIGHTS]
    found = costs.run(costs.Question(graph, claim.removed, claim.slim, file, example), claim.costs)
    return Check("the budgets hold", not found.diagnostics, found.figures), found.diagnostics


def _format(
    form: Format, folder: Path, graph: Graph, claim: Claim, example: Sequence[Tensor]
) -> tuple[Check, tuple[Diagnostic, ...]]:
    """Whether a format's files give the slim model."""
    match form:
        case Onnx():
            found = onnx_file.run(
                folder, graph, claim.removed, claim.slim, example, tolerance=form.tolerance
            )
            cases = f"{len(found.cases)} cases in onnxruntime"
            figures = f"{cases}, relative error {found.max_error:.0e} (<= {form.tolerance:.0e})"
            return Check("the ONNX file is the slim model", found.equal, figures), found.diagnostics
        case HuggingFace():
            alone = pretrained.run(
                folder, graph, claim.removed, claim.slim, example, tolerance=form.tolerance
            )
            error = f"relative error {alone.max_error:.0e} (<= {form.tolerance:.0e})"
            name = "transformers loads the slim model"
            return Check(name, alone.passed, f"{alone.call}, {error}"), alone.diagnostics
        case _:
            assert_never(form)


def _compared(name: str, found: twin.Result) -> tuple[Check, tuple[Diagnostic, ...]]:
    figures = f"{len(found.cases)} cases in float64, relative error {found.max_error:.0e}"
    return Check(name, found.equal, figures), found.diagnostics


def _unrepaired(graph: Graph, weights: Mapping[str, Tensor], claim: Claim) -> nn.Module:
    """The slim module with the original's weights at the kept indices."""
    bare = copy.deepcopy(claim.slim)
    stress.place(bare, graph, weights, claim.removed)
    return bare


def _same_model(traced: Traced, removed: Removed) -> bool:
    """Whether the masks of a compile fit the weights of a model."""
    if traced.weights.keys() != removed.weights.keys():
        return False
    return all(
        mask is None or (not isinstance(mask, tuple) and len(mask) == size)
        for name, tensor in traced.weights.items()
        for mask, size in zip(removed.weights[name] or (), tensor.shape, strict=False)
    )
