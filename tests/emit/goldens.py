"""The golden cases of emission: folders of tests/golden with a model.py."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prunec import emit, trace
from prunec.trace import Traced

ROOT = Path(__file__).parent.parent / "golden"
CASES = tuple(sorted(p.parent.name for p in ROOT.glob("*/model.py")))
HEADER = "Written by prunec from case.prune."


@dataclass(frozen=True)
class Example:
    """A model with inputs to trace it with."""

    model: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def example(name: str) -> Example:
    """The model of a case, in eval mode, with the same weights every time."""
    spec = importlib.util.spec_from_file_location(f"golden_{name}", ROOT / name / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    model, args, kwargs = module.example()
    return Example(model.eval(), args, kwargs)


def traced(model: nn.Module, like: Example) -> Traced:
    return trace.run(model, like.args, like.kwargs)


def source(found: Traced) -> str:
    return emit.run(found.graph, class_name="Slim", header=HEADER, weights=found.weights)
