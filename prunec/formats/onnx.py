"""ONNX: the slim module by torch's exporter, in bytes that are the same everywhere.

What the exporter notes of the machine that it runs on (stack traces, paths, its own passes) is left
out; inputs, outputs and dynamic sizes have the names of the graph.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import torch

from prunec import __version__, trace
from prunec.diagnostics import Diagnostic, PruneError
from prunec.formats.slim import Slim
from prunec.ir.graph import Dict_, Ref, Sequence_, Tree, WeightRef
from prunec.spec import Onnx
from prunec.trace.faults import reason

NAME = "slim.onnx"
DATA = "slim.onnx.data"
LARGEST = 2**31 - 2**24
"""Bytes of weights that one file may hold: a protocol buffer ends at 2 GiB."""
INSIDE = 1024
"""Bytes of a tensor that stays in the model's own file: shapes must be readable there."""
ALIGNED = 64
LOGGERS = ("torch", "onnxscript", "onnx_ir")


def run(form: Onnx, slim: Slim) -> dict[str, bytes]:
    """``slim.onnx``; with more than 2 GiB of weights also ``slim.onnx.data``, which holds them.

    Raises:
        PruneError: P0722 where torch's exporter fails, P0723 where it gives another opset.
    """
    inputs = [given.name for given in slim.graph.inputs]
    outputs = list(_unique(_returned(form, slim.graph.output), taken=set(inputs)))
    captured = trace.again(slim.module, slim.graph, slim.args, slim.kwargs)
    try:
        with _quiet(), torch.no_grad():
            made = torch.onnx.export(
                captured.program,
                dynamo=True,
                opset_version=form.opset,
                input_names=inputs,
                output_names=outputs,
                verbose=False,
            )
            assert made is not None, "the exporter of programs returns one"
            proto: Any = made.model_proto
    except Exception as error:  # torch, onnxscript and onnx share no base class
        raise PruneError(_failed(form, _reason(error))) from error
    if form.opset not in [o.version for o in proto.opset_import if not o.domain]:
        raise PruneError(_other_opset(form))
    _clean(proto, slim.class_name, captured.symbols.names)
    return _files(proto)


def _clean(proto: Any, name: str, symbols: Mapping[str, str]) -> None:
    """Leave out what is not computed with, and rename sizes."""
    proto.producer_name, proto.producer_version = "prunec", __version__
    proto.ClearField("metadata_props")
    proto.ClearField("doc_string")
    for function in proto.functions:
        _strip(function)
    graph = proto.graph
    graph.name = name
    _strip(graph)
    for value in (*graph.input, *graph.output):
        _strip(value)
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = _renamed(dim.dim_param, symbols)


def _strip(part: Any) -> None:
    """Leave out the notes of a graph, a function or a value, and of all in it."""
    for field in ("metadata_props", "doc_string", "value_info"):
        if field in part.DESCRIPTOR.fields_by_name:
            part.ClearField(field)
    for field in ("node", "initializer"):
        for inner in getattr(part, field, ()):
            _strip(inner)
    for attribute in getattr(part, "attribute", ()):
        attribute.ClearField("doc_string")
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ())):
            _strip(graph)


def _renamed(size: str, symbols: Mapping[str, str]) -> str:
    return re.sub(r"\w+", lambda found: symbols.get(found[0], found[0]), size)


def _files(proto: Any) -> dict[str, bytes]:
    """The bytes of a model; weights that do not fit into one file are in a second."""
    weights = [w for w in proto.graph.initializer if w.raw_data]
    if sum(len(w.raw_data) for w in weights) <= LARGEST:
        return {NAME: proto.SerializeToString(deterministic=True)}
    data = bytearray()
    for weight in (w for w in weights if len(w.raw_data) > INSIDE):
        raw = weight.raw_data
        place = {"location": DATA, "offset": str(len(data)), "length": str(len(raw))}
        for key, value in place.items():
            weight.external_data.add(key=key, value=value)
        weight.data_location = weight.EXTERNAL
        weight.ClearField("raw_data")
        data += raw + bytes(-len(raw) % ALIGNED)
    return {NAME: proto.SerializeToString(deterministic=True), DATA: bytes(data)}


def _returned(form: Onnx, tree: Tree) -> Iterator[str]:
    """A name for each tensor that the model returns: ``logits``, ``cache_0_1``, ``output``.

    Raises:
        PruneError: P0722 for a plain value among them; None is left out.
    """
    for name, leaf in _leaves(tree):
        if not isinstance(leaf, Ref | WeightRef):
            raise PruneError(_failed(form, f"it returns {leaf!r}, and ONNX knows tensors only"))
        yield name


def _leaves(tree: Tree, name: str = "") -> Iterator[tuple[str, Tree]]:
    match tree:
        case None:
            return
        case Sequence_(items=items):
            for position, item in enumerate(items):
                yield from _leaves(item, f"{name or 'output'}_{position}")
        case Dict_(items=pairs):
            for key, item in pairs:
                yield from _leaves(item, f"{name}_{key}" if name else key)
        case _:
            yield name or "output", tree


def _unique(names: Iterator[str], taken: set[str]) -> Iterator[str]:
    for name in names:
        free = name
        while free in taken:
            free = f"{free}_out"
        taken.add(free)
        yield free


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what the exporter prints, logs and warns."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(error: BaseException) -> str:
    """What was raised first, without the exporter's advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return reason(error)


def _failed(form: Onnx, note: str) -> Diagnostic:
    return Diagnostic(
        "P0722",
        "torch cannot export the slim model to ONNX",
        span=form.span,
        notes=(note,),
        help="ONNX has no operator for all that torch computes: leave `onnx` out",
    )


def _other_opset(form: Onnx) -> Diagnostic:
    return Diagnostic(
        "P0723",
        f"torch cannot express the slim model in opset {form.opset} of ONNX",
        span=form.span,
        help="ask for another one, or leave `opset` out",
    )
