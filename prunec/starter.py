"""A `.prune` file to start from, for a model that exists."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from prunec import grammar, prepare
from prunec.diagnostics import Source

SIDES = (224, 32, 64, 28, 8, 299)
"""Image sizes to try, the usual ones first."""


@dataclass(frozen=True, slots=True)
class Guess:
    """An input that the model takes: how it is declared, and an example."""

    declared: str
    example: torch.Tensor


def run(target: str) -> str:
    """The text for ``module:factory``: its model statement with an input that works, and half of
    its multiply-adds.

    Raises:
        PruneError: P0301 to P0304 when the factory gives no model.
    """
    module = prepare.build(target)
    name = next(iter(inspect.signature(module.forward).parameters), "x")
    found = next((g.declared for g in _guesses(module) if _works(module, g.example)), None)
    lines = [
        f"model {target} {{",
        f"  input {name}: {found or 'float32[N, 3, 224, 224]  # adjust: no usual size fits'}",
        "}",
        "",
        "target macs <= 50%           # also: params, memory, channels; latency with `on cpu`",
        "",
        "prune channels {",
        "  score l2                   # with `data calibrate = ...`: obs, taylor",
        "}",
        "repair none                  # with `data calibrate = ...`: least_squares, batchnorm",
        "",
        f'emit Slim{type(module).__name__} to "build/"',
    ]
    return grammar.fmt(Source("<new>", "\n".join(lines) + "\n"))


def _guesses(module: nn.Module) -> Iterator[Guess]:
    """Inputs that the first layer with a known input width could take."""
    for layer in module.modules():
        match layer:
            case nn.Conv2d():
                for side in SIDES:
                    shape = (layer.in_channels, side, side)
                    yield _image(shape)
                return
            case nn.Conv1d():
                yield _image((layer.in_channels, 128))
                return
            case nn.Linear():
                yield _image((layer.in_features,))
                yield _image((16, layer.in_features))
                return
            case nn.Embedding():
                yield Guess("int64[N, T]", torch.zeros(2, 16, dtype=torch.int64))
                return


def _image(shape: tuple[int, ...]) -> Guess:
    declared = ", ".join(["N", *map(str, shape)])
    return Guess(f"float32[{declared}]", torch.zeros(2, *shape))


def _works(module: nn.Module, example: torch.Tensor) -> bool:
    try:
        with torch.no_grad():
            module.eval()(example)
    except Exception:  # whatever a model raises for an input that it does not take
        return False
    return True
