"""Accuracy: the share of right answers of a model, where the data has classes as labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from prunec.check import structure
from prunec.ir.graph import Graph
from prunec.passes import execute
from prunec.passes.batches import Batch
from prunec.passes.score.objective import prediction
from prunec.report.data import Accuracy

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

    def after(inputs: tuple[Tensor, ...]) -> Sequence[Any]:
        answer = structure.call(slim, graph, inputs)
        return [value for _, _, value in structure.leaves(graph.output, answer)]

    right, count = _right(lambda inputs: execute.run(graph, weights, inputs), batches)
    if count == 0:
        return None
    return Accuracy(right / count, _right(after, batches)[0] / count, count)


def _right(
    model: Callable[[tuple[Tensor, ...]], Sequence[Any]], batches: Sequence[Batch]
) -> tuple[int, int]:
    """Right answers and answers asked for."""
    right = total = 0
    for batch in batches:
        labels = batch.labels
        if labels is None or labels.is_floating_point():
            continue
        with torch.no_grad():
            scores = prediction(model(batch.inputs))
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
