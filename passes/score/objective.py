"""The loss whose derivatives the data-driven scores use, found from the model's outputs and
labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prunec.diagnostics import Diagnostic, PruneError
from prunec.passes.batches import Batch


def loss(outputs: Sequence[Any], batch: Batch) -> Tensor:
    """The training loss of one batch, averaged as `cross_entropy` and `mse_loss` do.

    The first floating-point output is compared with the labels: cross entropy where these are
    integers, over the last dimension (``[N, C]``, ``[N, T, V]``) or dimension 1 (``[N, C, ...]``);
    squared error where they are floats of the output's shape. Labels that repeat an integer input
    are next-token labels and are shifted by one.

    Raises:
        PruneError: P0406 without labels, P0407 where output and labels do not fit.
    """
    labels = batch.labels
    if labels is None:
        raise PruneError(
            Diagnostic(
                "P0406",
                "the score differentiates the training loss, and the data has no labels",
                help="yield (inputs, labels), or use a score without labels, such as `obs()`",
            )
        )
    output = prediction(outputs)
    if labels.dtype.is_floating_point and labels.shape == output.shape:
        return F.mse_loss(output, labels.to(output.dtype))
    dim = classes(output, labels)
    if dim is not None:
        return _cross_entropy(output.movedim(dim, 1), labels.long(), batch)
    shapes = f"{_show(labels)} against output {_show(output)}"
    raise PruneError(
        Diagnostic(
            "P0407",
            f"no training loss fits the labels: {shapes}",
            help="integer labels are classes ([N] for [N, C]), floats have the output's shape",
        )
    )


def classes(output: Tensor, labels: Tensor) -> int | None:
    """The dimension of an output along which it has a score for every class that integer labels
    name; None where they name none.
    """
    if labels.dtype.is_floating_point or output.ndim < 2:
        return None
    last = output.ndim - 1
    for dim in (last, 1) if output.ndim <= 3 else (1, last):
        others = (*output.shape[:dim], *output.shape[dim + 1 :])
        if tuple(labels.shape) == others and int(labels.max()) < output.shape[dim]:
            return dim
    return None


def projection(outputs: Sequence[Any], generator: torch.Generator) -> Tensor:
    """The first floating-point output times unit Gaussian noise, summed.

    The expected square of a direction's derivative is the squared change of the output in that
    direction: the Gauss-Newton form of the squared error, which needs no labels and, unlike the
    Fisher information of a confident classifier, does not vanish where the loss is flat.
    """
    output = prediction(outputs)
    noise = torch.randn(output.shape, generator=generator)
    return (output * noise.to(output)).sum()


def prediction(outputs: Sequence[Any]) -> Tensor:
    """The first floating-point tensor that the model returns.

    Raises:
        PruneError: P0407 when there is none.
    """
    for output in outputs:
        if isinstance(output, Tensor) and output.dtype.is_floating_point:
            return output
    raise PruneError(
        Diagnostic(
            "P0407",
            "the model returns no floating-point tensor, so it has no loss",
            help="use a score that needs no loss, such as `l2`",
        )
    )


def _cross_entropy(scores: Tensor, labels: Tensor, batch: Batch) -> Tensor:
    """Cross entropy over dimension 1, shifted where the labels are the input tokens themselves."""
    if any(_repeats(labels, x) for x in batch.inputs):
        scores, labels = scores[..., :-1], labels[..., 1:]
    return F.cross_entropy(scores, labels)


def _repeats(labels: Tensor, tokens: Tensor) -> bool:
    if tokens.dtype.is_floating_point or tokens.shape != labels.shape or labels.ndim < 2:
        return False
    seen = labels >= 0
    return bool((labels == tokens)[seen].all()) and bool(seen.any())


def _show(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
