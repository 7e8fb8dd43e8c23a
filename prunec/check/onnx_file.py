"""ONNX file: what onnxruntime makes of it is what the slim module returns, at several sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prunec.check import compare, renumbered, samples, structure
from prunec.check.removed import Removed
from prunec.check.twin import Case, Result
from prunec.diagnostics import Diagnostic
from prunec.ir.graph import Graph

BATCHES = (1, 3)
"""Batch sizes; at the last the other sizes change, too."""
LONGEST = 300
"""Characters of a message of onnxruntime that are shown."""


def run(
    folder: Path,
    graph: Graph,
    removed: Removed,
    slim: nn.Module,
    example: Sequence[Tensor],
    *,
    tolerance: float,
    name: str = "slim.onnx",
) -> Result:
    """Compare a file with the module that it was made from, in the module's own dtypes.

    Args:
        folder: holds the file ``name``.
        graph, removed: the original, and what is gone of it; say what the inputs are.
        slim: in eval mode.
        example: tensors in the order of ``graph.inputs``.
        tolerance: the largest error, relative to the scale of an output.

    P0840 it returns something else, P0841 onnxruntime cannot read or run it.
    """
    cases: list[Case] = []
    skipped: list[str] = []
    try:
        session = _session(folder / name)
        for wanted in _sizes(graph, example):
            label = ", ".join(f"{s}={n}" for s, n in wanted.items()) or "the example's sizes"
            inputs = _inputs(graph, removed, example, wanted)
            want = _returned(slim, graph, inputs)
            if want is None:
                skipped.append(label)
            else:
                cases.append(Case(label, _distance(session, graph, inputs, want), tolerance))
    except Exception as error:  # onnxruntime's errors have no base class
        said = " ".join(f"{type(error).__name__}: {error}".replace(f"{folder}/", "").split())
        return Result(tuple(cases), tuple(skipped), (_broken(name, said),))
    return Result(tuple(cases), tuple(skipped), tuple(_verdicts(name, cases)))


def _sizes(graph: Graph, example: Sequence[Tensor]) -> Iterator[dict[str, int]]:
    """The dynamic sizes to try: those of the example at each batch size, then the traced ones; or,
    where these are the same, smaller ones.
    """
    found = samples.given(graph, example)
    if not found:
        yield {}
        return
    batch, *others = found
    for count in BATCHES:
        yield {**found, batch: count}
    if others:
        traced = samples.given(
            graph, [torch.empty(i.type.shape, device="meta") for i in graph.inputs]
        )
        smaller = {s: found[s] - 1 if found[s] == traced[s] > 2 else traced[s] for s in others}
        yield {**smaller, batch: BATCHES[-1]}


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _inputs(
    graph: Graph, removed: Removed, example: Sequence[Tensor], wanted: Mapping[str, int]
) -> tuple[Tensor, ...]:
    """Inputs of some sizes as the slim model takes them, in their own dtypes."""
    drawn = samples.draw(graph, example, wanted)
    ids = renumbered.ranks(graph, removed, renumbered.originals(graph, removed, drawn))
    return tuple(value.to(given.dtype) for value, given in zip(ids, example, strict=True))


def _returned(slim: nn.Module, graph: Graph, inputs: Sequence[Tensor]) -> list[Tensor] | None:
    """What the slim module returns; None where it refuses the sizes."""
    try:
        with torch.no_grad():
            value = structure.call(slim, graph, inputs)
    except Exception:  # torch's operators raise what they like
        return None
    return [torch.as_tensor(v).detach() for _, _, v in structure.leaves(graph.output, value)]


def _distance(
    session: Any, graph: Graph, inputs: Sequence[Tensor], want: Sequence[Tensor]
) -> float:
    """The largest error of an output, relative to its scale."""
    named = {given.name: value for given, value in zip(graph.inputs, inputs, strict=True)}
    feed = {i.name: named[i.name].contiguous().numpy() for i in session.get_inputs()}
    got = [torch.from_numpy(value) for value in session.run(None, feed)]
    if len(want) != len(got):
        return torch.inf
    return max(map(compare.error, want, got), default=0.0)


def _verdicts(name: str, cases: Sequence[Case]) -> Iterator[Diagnostic]:
    wrong = [case for case in cases if not case.error <= case.allowed]
    if wrong:
        yield Diagnostic(
            "P0840",
            f"`{name}` returns something else than the slim model",
            notes=tuple(
                f"{c.name}: relative error {c.error:.1e}, {c.allowed:.0e} is allowed" for c in wrong
            ),
            help="if the error is one of rounding, allow more: `onnx(tolerance=1e-3)`",
        )


def _broken(name: str, said: str) -> Diagnostic:
    return Diagnostic(
        "P0841",
        f"onnxruntime cannot run `{name}`",
        notes=(said[:LONGEST],),
        help="another `opset` may do; or leave `onnx` out",
    )
