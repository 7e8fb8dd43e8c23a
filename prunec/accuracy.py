"""Accuracy: the share of right answers of a model, where the data has classes as labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from prunec import part
from prunec.check import structure
from prunec.ir.graph import Graph
from prunec.part import Asked, Whole
from prunec.passes import execute
from prunec.passes.batches import Batch
from prunec.passes.score.objective import prediction
from prunec.report.data import Accuracy
from prunec.trace.capture import evaluating

_B = TypeVar("_B", Batch, Asked)

IGNORED = -100
"""A label that asks for no answer, as torch's cross entropy has it."""


def run(
    graph: Graph, weights: Mapping[str, Tensor], slim: nn.Module, batches: Sequence[Batch]
) -> Accuracy | None:
    """Accuracy of a traced model and of its slim module; None where no labels are classes.

    Classes lie in the last dimension (``[N, C]``, ``[N, T, C]``) or in dimension 1
    (``[N, C, ...]``) of the first floating-point output. Labels that repeat the input tokens ask
    for the next token.
    """

    def before(batch: Batch) -> Sequence[Any]:
        return execute.run(graph, weights, batch.inputs)

    def after(batch: Batch) -> Sequence[Any]:
        answer = structure.call(slim, graph, batch.inputs)
        return [value for _, _, value in structure.leaves(graph.output, answer)]

    return _compared(before, after, batches)


def of_modules(whole: Whole, slim: nn.Module, data: Iterable[object]) -> Accuracy | None:
    """Accuracy of a whole model with its part as it was, and of ``slim``, the model with the slim
    part in it; None where no labels are classes.

    Raises:
        PruneError: P0405 for a batch that is not as the model's example inputs.
    """
    batches = tuple(part.asked(whole, item, index) for index, item in enumerate(data))

    def answer(module: nn.Module) -> Callable[[Asked], Sequence[Any]]:
        return lambda batch: pytree.tree_leaves(module(*batch.args, **batch.kwargs))

    with evaluating(whole.module), evaluating(slim):
        return _compared(answer(whole.module), answer(slim), batches)


def _compared(
    before: Callable[[_B], Sequence[Any]],
    after: Callable[[_B], Sequence[Any]],
    batches: Sequence[_B],
) -> Accuracy | None:
    right, count = _right(before, batches)
    if count == 0:
        return None
    return Accuracy(right / count, _right(after, batches)[0] / count, count)


def _right(model: Callable[[_B], Sequence[Any]], batches: Sequence[_B]) -> tuple[int, int]:
    """Right answers and answers asked for."""
    right = total = 0
    for batch in batches:
        labels = batch.labels
        if labels is None or labels.is_floating_point():
            continue
        with torch.no_grad():
            scores = prediction(model(batch))
        if any(_repeats(labels, x) for x in batch.inputs):
            scores, labels = scores[:, :-1], labels[:, 1:]
        answers = _answers(scores, labels.shape)
        if answers is not None:
            asked = labels != IGNORED
            right += int((answers == labels)[asked].sum())
            total += int(asked.sum())
    return right, total


def _repeats(labels: Tensor, tokens: Tensor) -> bool:
    return labels.ndim == 2 and not tokens.is_floating_point() and torch.equal(labels, tokens)


def _answers(scores: Tensor, shape: torch.Size) -> Tensor | None:
    """The class with the highest score, in the shape of the labels."""
    if scores.ndim < 2:
        return None
    for dim in (-1, 1):
        answers = scores.argmax(dim)
        if answers.shape == shape:
            return answers
    return None
