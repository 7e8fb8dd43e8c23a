"""Load: the emitted source as a module, with its weights, checked strictly."""

from __future__ import annotations

import hashlib
import linecache
import sys
import types
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from prunec.diagnostics import InternalError


def run(source: str, weights: Mapping[str, Tensor], class_name: str) -> nn.Module:
    """Execute emitted source and fill its model, in eval mode.

    The same source is executed once. Tracebacks and `inspect` show it, and ``sys.modules`` has the
    module, for compilers of torch look there for what a function reads. The caller's random state
    is left as it was. Every parameter and buffer must be given; names that the source writes out as
    constants may be given too.

    Raises:
        InternalError: the source does not build, or weights are missing or of another shape or
        dtype.
    """
    module = _module(source)
    with torch.random.fork_rng(devices=[]):
        model: nn.Module = getattr(module, class_name)()
    fill(model, weights)
    return model.eval()


def _module(source: str) -> types.ModuleType:
    digest = hashlib.sha256(source.encode()).hexdigest()
    name, file = f"prunec_emitted_{digest}", f"<prunec {digest[:12]}>"
    if name not in sys.modules:
        module = types.ModuleType(name)
        module.__file__ = file
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(compile(source, file, "exec"), module.__dict__)
        sys.modules[name] = module
    return sys.modules[name]


def fill(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a model by name; a tied weight may be given under any of its names."""
    given: dict[int, str] = {}
    places: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in _tensors(model):
        places.setdefault(id(tensor), (name, tensor))
        if name in weights:
            given.setdefault(id(tensor), name)
    outside = {name for name, t in _tensors(model)} - set(model.state_dict())
    with torch.no_grad():
        for key, (name, tensor) in places.items():
            source = given.get(key)
            if source is None:
                if name in outside:
                    continue
                raise InternalError(f"the emitted model wants a weight {name}, which nobody gives")
            value = weights[source]
            if (value.shape, value.dtype) != (tensor.shape, tensor.dtype):
                found = f"{value.dtype}{list(value.shape)}"
                raise InternalError(
                    f"{source} is {found}, its place {tensor.dtype}{list(tensor.shape)}"
                )
            tensor.copy_(value)


def _tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    parameters = model.named_parameters(remove_duplicate=False)
    return [*parameters, *model.named_buffers(remove_duplicate=False)]
