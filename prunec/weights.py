"""Weights: a safetensors file loaded into a model, every name and shape accounted for; and no NaN
or Inf among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from prunec.diagnostics import Diagnostic, PruneError, Span

PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
COUNTER = "num_batches_tracked"
CONVERT = (
    "convert it once, where you trust it: `safetensors.torch.save_file("
    'torch.load(path, weights_only=True), "model.safetensors")`'
)


def load(module: nn.Module, path: Path, span: Span | None = None) -> None:
    """Copy a safetensors file into the module's state.

    Raises:
        PruneError: P0305 (not there, not readable), P0306 (names or shapes differ), P0307 (a
            pickle).
    """
    state = _read(path, span)
    own = module.state_dict(keep_vars=True)
    faults = _differences(state, own)
    if faults:
        message = f"the weights in `{path.name}` do not fit the model"
        hint = "the file must hold the state dict of exactly the model that the factory builds"
        raise PruneError(Diagnostic("P0306", message, span=span, notes=faults, help=hint))
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(value)


def check_finite(module: nn.Module, span: Span | None = None) -> None:
    """Refuse a model with NaN or Inf in its state; weights on the meta device have no values to
    look at.

    Raises:
        PruneError: P0308, naming the tensors.
    """
    bad = [name for name, value in module.state_dict().items() if not _finite(value)]
    if bad:
        message = f"NaN or Inf in {_plural(len(bad), 'tensor')} of the model"
        hint = "such a model has no meaningful scores: start from sound weights"
        raise PruneError(Diagnostic("P0308", message, span=span, notes=(_listing(bad),), help=hint))


def check_real(module: nn.Module, what: str) -> None:
    """Refuse weights without values, for ``what`` must read them.

    Raises:
        PruneError: P0351 for a model on the meta device.
    """
    bare = [name for name, value in module.state_dict().items() if value.is_meta]
    if bare:
        raise PruneError(
            Diagnostic(
                "P0351",
                f"{what} needs the model's weights, but {_plural(len(bare), 'tensor')} of it are "
                "on the meta device and have no values",
                notes=(_listing(bare, most=4),),
                help="build the model on a real device and load its weights; without them "
                "`prunec.analyze` works, and `prunec.plan` with `score random`",
            )
        )


def _read(path: Path, span: Span | None) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        message = f"the weights file `{path.name}` cannot be read: {reason}"
        hint = "the path is relative to the folder of the `.prune` file"
        raise PruneError(Diagnostic("P0305", message, span=span, help=hint)) from error
    if start.startswith(PICKLES):
        message = f"`{path.name}` is a pickle, which can run code when it is read"
        raise PruneError(Diagnostic("P0307", message, span=span, help=CONVERT))
    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        message = f"`{path.name}` is not a safetensors file: {error}"
        raise PruneError(Diagnostic("P0305", message, span=span)) from error


def _differences(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Missing, unexpected and misshapen names, in words.

    A tie may go by either of its names. As in torch, a file may lack the batch counters of batch
    norms.
    """
    filled = {id(own[name]) for name in state if name in own}
    missing = [
        name
        for name, value in own.items()
        if name not in state and id(value) not in filled and not name.endswith(COUNTER)
    ]
    unexpected = [n for n in state if n not in own]
    shapes = [
        f"{n} is {list(v.shape)} in the file, {list(own[n].shape)} in the model"
        for n, v in state.items()
        if n in own and v.shape != own[n].shape
    ]
    found = []
    if missing:
        found.append(f"{len(missing)} missing in the file: {_listing(missing)}")
    if unexpected:
        found.append(f"{len(unexpected)} that the model does not have: {_listing(unexpected)}")
    if shapes:
        found.append(f"{len(shapes)} of another shape: {_listing(shapes, '; ')}")
    return tuple(found)


def _finite(value: Tensor) -> bool:
    if value.is_meta:
        return True
    inexact = value.is_floating_point() or value.is_complex()
    return not inexact or bool(torch.isfinite(value).all())


def _listing(names: Iterable[str], separator: str = ", ", most: int = 8) -> str:
    shown = list(names)
    more = f"{separator}and {len(shown) - most} more" if len(shown) > most else ""
    return separator.join(shown[:most]) + more


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
