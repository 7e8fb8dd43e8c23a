"""Capture: `torch.export` of a module in eval mode, leaving the module as it was."""

from __future__ import annotations

import inspect
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import nn
from torch.export import Dim, ExportedProgram, export

from prunec.trace.inputs import Example


def run(module: nn.Module, example: Example) -> tuple[ExportedProgram, tuple[str, ...]]:
    """Export in training IR: operators as the model calls them, nothing decomposed.

    The second result names the tensor attributes (``"block.cache"``) that the model sets meanwhile.

    Raises:
        Exception: whatever torch raises when it cannot; there is no common base class.
    """
    with evaluating(module), _named_keywords(module, example), torch.no_grad(), quiet() as said:
        program = export(
            module,
            example.args,
            example.kwargs,
            dynamic_shapes=_dynamic_shapes(module, example),
            strict=False,
        )
    return program, _assigned(said)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put every submodule in eval mode; afterwards it has its own flag and no new tensor.

    Other new attributes stay: a library that hooks modules on their first call notes there that it
    has.
    """
    before = [(m, m.training, set(m.__dict__)) for m in module.modules()]
    try:
        module.eval()
        yield
    finally:
        for submodule, flag, attributes in before:
            submodule.training = flag
            for name in submodule.__dict__.keys() - attributes:
                if _holds_tensor(submodule.__dict__[name]):
                    del submodule.__dict__[name]


def _holds_tensor(value: object) -> bool:
    return any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(value))


_PARAMETERS = "_flat_weights"
"""Where torch's recurrent layers list their own parameters: export swaps these, no model does."""


@contextmanager
def _named_keywords(module: nn.Module, example: Example) -> Iterator[None]:
    """Show what forward gathers by ``**kwargs`` as parameters of their own: with dynamic shapes
    torch.export counts them twice otherwise.
    """
    signature = inspect.signature(module.forward)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    gathered = [name for name in example.kwargs if name not in {p.name for p in own}]
    if not gathered:
        yield
        return
    original = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in gathered]
    forward.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


def _assigned(said: list[warnings.WarningMessage]) -> tuple[str, ...]:
    texts = [str(warning.message) for warning in said]
    found = [re.findall(r"self\.([\w.]+)", t) for t in texts if "assigned during export" in t]
    names = dict.fromkeys(name for names in found for name in names)
    return tuple(name for name in names if name.rpartition(".")[2] != _PARAMETERS)


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
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """Keep to ourselves what torch logs and warns; a failure reaches the caller as an exception."""
    logger = logging.getLogger("torch")
    level = logger.level
    try:
        logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield said
    finally:
        logger.setLevel(level)
