"""Data of the whole model, as what a part of it is called with."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch.utils._pytree as pytree
from torch import Tensor

from prunec.diagnostics import Diagnostic, PruneError, nearest
from prunec.part import record
from prunec.part.take import first
from prunec.part.whole import Whole

LABELS = "labels"


@dataclass(frozen=True, eq=False)
class Asked:
    """One batch of the whole model: what its forward takes, and the labels if there are any."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    labels: Tensor | None = None

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """All tensors among the arguments."""
        leaves = pytree.tree_leaves((self.args, dict(self.kwargs)))
        return tuple(leaf for leaf in leaves if isinstance(leaf, Tensor))


def batches(whole: Whole, data: Iterable[object]) -> Iterator[tuple[list[Tensor], None]]:
    """The part's inputs for each batch of the whole model, which runs up to the part's first call.

    Each is as `passes.batches.collate` takes it: all tensors in order, and no labels (they are
    those of the whole model's output).

    Raises:
        PruneError: P0405 for a batch of another structure, P0342 if the part is not called.
    """
    source = (data,) if isinstance(data, Tensor) else data
    for index, item in enumerate(source):
        given = asked(whole, item, index)
        found = record.run(whole.module, whole.part, given.args, given.kwargs)
        call = first(found, whole.path, whole.span, f" (batch {index})")
        yield list(record.ordered(whole.part, call).tensors), None


def asked(whole: Whole, item: object, index: int) -> Asked:
    """A batch of the user's, told apart by the example inputs.

    It is a dict of forward's parameters with optional ``labels``, one tensor, all inputs in order
    with or without labels behind them, or ``(inputs, labels)``.

    Raises:
        PruneError: P0405 where it is none of these.
    """
    match item:
        case Mapping():
            return _named(whole, item, item.get(LABELS), index)
        case (Mapping() as named, labels):
            return _named(whole, named, labels, index)
        case Tensor():
            return _placed(whole, [item], None, index)
    if not isinstance(item, tuple | list):
        raise _structure(f"batch {index} is a `{type(item).__name__}`, not a tensor or a sequence")
    slots = [v for v in (*whole.args, *whole.kwargs.values()) if _holds_tensors(v)]
    nested = len(slots) == 1 and isinstance(slots[0], tuple | list)
    pair = len(item) == 2 and isinstance(item[0], tuple | list)
    if pair:
        return _placed(whole, [item[0]] if nested else list(item[0]), item[1], index)
    if nested:
        return _placed(whole, [item], None, index)
    if len(item) == len(slots) + 1:
        return _placed(whole, list(item[:-1]), item[-1], index)
    return _placed(whole, list(item), None, index)


def _named(whole: Whole, given: Mapping[Any, Any], labels: object, index: int) -> Asked:
    parameters = inspect.signature(whole.module.forward).parameters
    gathers = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    kwargs = {str(k): v for k, v in given.items() if k != LABELS}
    for name in kwargs:
        if name not in parameters and not gathers:
            hint = nearest(name, parameters) or f"it takes {', '.join(parameters)}"
            raise _structure(f"batch {index} holds `{name}`, which the model does not take", hint)
    positional = dict(zip(parameters, whole.args, strict=False))
    rest = {k: v for k, v in {**positional, **whole.kwargs}.items() if not _holds_tensors(v)}
    return Asked((), {**rest, **kwargs}, _labels(labels, index))


def _placed(whole: Whole, values: list[Any], labels: object, index: int) -> Asked:
    """Values in the place of the example's, in order; arguments without tensors stay."""
    slots = [v for v in (*whole.args, *whole.kwargs.values()) if _holds_tensors(v)]
    if len(values) != len(slots):
        raise _structure(f"batch {index} holds {len(values)} inputs, the model takes {len(slots)}")
    fresh = iter(values)
    args = tuple(next(fresh) if _holds_tensors(v) else v for v in whole.args)
    kwargs = {k: next(fresh) if _holds_tensors(v) else v for k, v in whole.kwargs.items()}
    return Asked(args, kwargs, _labels(labels, index))


def _labels(given: object, index: int) -> Tensor | None:
    return given if isinstance(given, Tensor) else None


def _holds_tensors(value: object) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value))


def _structure(message: str, help: str | None = None) -> PruneError:
    hint = "yield what the whole model takes, as in the example inputs: a tensor, (inputs, labels)"
    return PruneError(Diagnostic("P0405", message, help=help or hint))
