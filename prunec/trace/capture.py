"""Capture: `torch.export` of a module in eval mode, leaving the module as it was."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import nn
from torch.export import Dim, ExportedProgram, export

from prunec.trace.inputs import Example


def run(module: nn.Module, example: Example) -> ExportedProgram:
    """Export in training IR (operators as the model calls them, nothing decomposed).

    Raises:
        Exception: whatever torch raises when it cannot; there is no common base class.
    """
    with evaluating(module), torch.no_grad(), _quiet():
        return export(
            module,
            example.args,
            example.kwargs,
            dynamic_shapes=_dynamic_shapes(module, example),
            strict=False,
        )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put every submodule in eval mode and give each its own flag back afterwards."""
    flags = [(m, m.training) for m in module.modules()]
    try:
        module.eval()
        yield
    finally:
        for submodule, flag in flags:
            submodule.training = flag


def _dynamic_shapes(module: nn.Module, example: Example) -> dict[str, Any] | None:
    """Per parameter of forward, its structure with torch's dims in place of tensors."""
    if not example.symbols:
        return None
    leaves = iter(example.leaves)

    def dims(value: Any) -> dict[int, Any] | None:
        if not isinstance(value, torch.Tensor):
            return None
        return dict.fromkeys(next(leaves).dims, Dim.AUTO) or None

    bound = inspect.signature(module.forward).bind(*example.args, **example.kwargs)
    return {name: pytree.tree_map(dims, value) for name, value in bound.arguments.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """torch logs and warns about what it tries; a failure reaches the caller as an exception."""
    logger = logging.getLogger("torch")
    level = logger.level
    try:
        logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
