"""Calibration data: what a user's data factory yields, brought into one checked form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from prunec import hashing
from prunec.diagnostics import Diagnostic, PruneError, nearest
from prunec.ir.graph import Dict_, Graph, Input, Ref, Sequence_, Tree

LABELS = "labels"


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One batch: a tensor for each of `Graph.inputs`, in that order, and the labels if there are
    any.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor | None = None

    @property
    def size(self) -> int:
        """Samples in the batch: the first dimension of the first input that has one."""
        return next((x.shape[0] for x in self.inputs if x.ndim), 1)


def digest(batches: Sequence[Batch]) -> str:
    """The hash of every bit of the inputs and labels."""
    named = {f"{k}.{n}": x for k, b in enumerate(batches) for n, x in enumerate(b.inputs)}
    labels = {f"{k}.labels": b.labels for k, b in enumerate(batches) if b.labels is not None}
    return hashing.tensors(named | labels)


def collate(data: Iterable[object], graph: Graph, limit: int | None = None) -> tuple[Batch, ...]:
    """The first ``limit`` batches of ``data``, checked against the graph's inputs.

    A batch may be a tensor, ``(inputs, labels)`` where inputs is a tensor, a sequence or a dict, a
    bare sequence of all inputs with or without labels behind them, or a dict of forward's
    parameters with an optional ``labels``. A single tensor in place of an iterable is one batch.
    Floating and integer types are cast within their kind.

    Raises:
        PruneError: P0401 (nothing), P0402 (NaN, Inf), P0403 (shape), P0404 (dtype), P0405
            (structure), P0409 (raised).
    """
    batches = tuple(_batch(item, k, graph) for k, item in enumerate(_items(data, limit)))
    if not batches:
        _fail("P0401", "the calibration data yields nothing", help="yield at least one batch")
    return batches


def _items(data: Iterable[object], limit: int | None) -> Iterator[object]:
    """Items of the user's iterable; what it raises becomes a diagnostic."""
    try:
        source = iter((data,) if isinstance(data, Tensor) else data)
        for _ in iter(int, 1) if limit is None else range(limit):
            try:
                item = next(source)
            except StopIteration:
                return
            yield item
    except PruneError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise PruneError(
            Diagnostic(
                "P0409",
                f"reading the calibration data failed: {what}",
                help="the data must be an iterable of batches: a list, a generator, a DataLoader",
            )
        ) from error


def _batch(item: object, index: int, graph: Graph) -> Batch:
    values, labels = _split(item, index, graph)
    faults: list[Diagnostic] = []
    tensors = []
    for spec, value in zip(graph.inputs, values, strict=True):
        fault = _fault(spec, value, f"batch {index}, input `{spec.name}`")
        if fault is not None:
            faults.append(fault)
        else:
            assert isinstance(value, Tensor)
            tensors.append(_cast(value.detach(), spec))
    if labels is not None and not isinstance(labels, Tensor):
        faults.append(_structure(f"the labels of batch {index} are {_kind(labels)}, not a tensor"))
    elif labels is not None and not _finite(labels):
        faults.append(Diagnostic("P0402", f"NaN or Inf in the labels of batch {index}"))
    faults = faults or list(_disagreements(graph, tensors, index))
    if faults:
        raise PruneError(*faults)
    return Batch(tuple(tensors), labels.detach() if isinstance(labels, Tensor) else None)


def _split(item: object, index: int, graph: Graph) -> tuple[list[object], object]:
    """The flat inputs, and the labels, of what the user yielded."""
    count = len(graph.inputs)
    inputs: list[object]
    labels: object
    match item:
        case Tensor():
            inputs, labels = [item], None
        case Mapping():
            return _named(item, index, graph), item.get(LABELS)
        case (Mapping() | tuple() | list() as first, labels):
            if isinstance(first, Mapping):
                return _named(first, index, graph), labels
            inputs = list(_flat(first))
        case tuple() | list() if len(item) == count + 1:
            *inputs, labels = item
        case tuple() | list():
            inputs, labels = list(_flat(item)), None
        case _:
            _fail_structure(f"batch {index} is {_kind(item)}, not a tensor, a sequence or a dict")
    if len(inputs) != count:
        names = ", ".join(f"`{i.name}`" for i in graph.inputs)
        _fail_structure(f"batch {index} holds {len(inputs)} inputs, the model takes {names}")
    return inputs, labels


def _named(item: Mapping[Any, Any], index: int, graph: Graph) -> list[object]:
    """The flat inputs of a dict of forward's parameters."""
    found: dict[str, object] = {}
    for parameter in graph.parameters:
        if parameter.name in item:
            found.update(_pair(parameter.tree, item[parameter.name]))
    known = {p.name for p in graph.parameters}
    for key in item:
        if key not in known and key != LABELS:
            hint = nearest(str(key), known | {LABELS}) or f"it takes {', '.join(sorted(known))}"
            _fail_structure(
                f"batch {index} holds `{key}`, which the traced model does not take", hint
            )
    missing = [i.name for i in graph.inputs if i.name not in found]
    if missing:
        _fail_structure(f"batch {index} lacks {', '.join(f'`{m}`' for m in missing)}")
    return [found[i.name] for i in graph.inputs]


def _pair(tree: Tree, value: object) -> Iterator[tuple[str, object]]:
    """Input names with values, walking a parameter's structure and a value side by side."""
    match tree, value:
        case Ref(name), _:
            yield name, value
        case Sequence_(items=trees), tuple() | list():
            for branch, part in zip(trees, value, strict=False):
                yield from _pair(branch, part)
        case Dict_(items=pairs), Mapping():
            for key, branch in pairs:
                if key in value:
                    yield from _pair(branch, value[key])


def _flat(value: object) -> Iterator[object]:
    if isinstance(value, tuple | list):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _fault(spec: Input, value: object, where: str) -> Diagnostic | None:
    """What is wrong with one input, if anything is."""
    if not isinstance(value, Tensor):
        return _structure(f"{where} is {_kind(value)}, not a tensor")
    given = f"{_dtype(value)}{list(value.shape)}"
    fits = len(value.shape) == spec.type.rank and all(
        n == m if symbol is None else n > 0
        for n, m, symbol in zip(value.shape, spec.type.shape, spec.type.symbols, strict=True)
    )
    if not fits or value.numel() == 0:
        return Diagnostic("P0403", f"{where} is {given}, the model takes {spec.type}")
    if _sort(value.dtype) != _sort(getattr(torch, spec.type.dtype)):
        return Diagnostic("P0404", f"{where} is {given}, the model takes {spec.type}")
    return None if _finite(value) else Diagnostic("P0402", f"NaN or Inf in {where}")


def _disagreements(graph: Graph, tensors: list[Tensor], index: int) -> Iterator[Diagnostic]:
    """Dynamic sizes of one name that differ between the inputs of one batch."""
    seen: dict[str, int] = {}
    for spec, x in zip(graph.inputs, tensors, strict=True):
        for n, symbol in zip(x.shape, spec.type.symbols, strict=True):
            if symbol is not None and seen.setdefault(symbol, n) != n:
                message = f"batch {index}: {symbol} is {seen[symbol]} and {n} at once"
                yield Diagnostic("P0403", message, notes=(f"seen in input `{spec.name}`",))


def _cast(value: Tensor, spec: Input) -> Tensor:
    """The value in the model's type; half-precision models are calibrated in float32, see
    `execute`.
    """
    wanted: torch.dtype = getattr(torch, spec.type.dtype)
    return value.to(torch.float32 if wanted in (torch.float16, torch.bfloat16) else wanted)


def _sort(dtype: torch.dtype) -> str:
    if dtype.is_complex:
        return "complex"
    return "float" if dtype.is_floating_point else "bool" if dtype == torch.bool else "int"


def _finite(value: Tensor) -> bool:
    inexact = value.dtype.is_floating_point or value.dtype.is_complex
    return not inexact or bool(torch.isfinite(value).all())


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _kind(value: object) -> str:
    return "None" if value is None else f"a `{type(value).__name__}`"


def _structure(message: str, help: str | None = None) -> Diagnostic:
    hint = "yield a tensor, (inputs, labels), or a dict of forward's parameters"
    return Diagnostic("P0405", message, help=help or hint)


def _fail_structure(message: str, help: str | None = None) -> NoReturn:
    raise PruneError(_structure(message, help))


def _fail(code: str, message: str, help: str) -> NoReturn:
    raise PruneError(Diagnostic(code, message, help=help))
