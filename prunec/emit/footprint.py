"""The footprint of a weights file before it is written: its tensors, and the size of its header.

A safetensors file is eight bytes, a header in JSON that is filled up to a multiple of eight, and
the tensors one after the other (https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cache
from math import prod

import safetensors.torch
import torch
from torch import Tensor

from prunec.emit import constants
from prunec.ir.graph import Graph, Weight


def names(graph: Graph, weights: Mapping[str, Tensor], varying: Collection[str]) -> frozenset[str]:
    """The tensors that the file of a pruned model may hold: all but those that the source writes
    out, whatever becomes of the tensors ``varying``.

    A buffer that is written out only if its kin in modules of its class are the same counts where
    one of them varies. Tensors on the meta device have no values to write out: they count.
    """
    real = {name: tensor for name, tensor in weights.items() if not tensor.is_meta}
    homes = {constants.home(graph, graph.weight[name]) for name in varying}
    shown = {
        name
        for name in constants.literals(graph, real)
        if constants.home(graph, graph.weight[name]) not in homes
    }
    return frozenset(w.name for w in graph.weights if w.name not in shown)


def header(graph: Graph, stored: Collection[str]) -> int:
    """The most bytes that are no tensor's, whichever tensors are shortened or left out.

    A number in the header is never longer than it can be here: each offset counts as long as the
    sum of all sizes.
    """
    found = [w for w in graph.weights if w.name in stored]
    end = sum(prod(w.type.shape) * getattr(torch, w.type.dtype).itemsize for w in found)
    entries: dict[str, object] = {w.name: _entry(w, end) for w in found}
    entries["__metadata__"] = {"format": "pt"}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False)
    length = len(text.encode())
    return 8 + -(-length // 8) * 8


def _entry(weight: Weight, end: int) -> dict[str, object]:
    shape = list(weight.type.shape)
    return {"dtype": _dtype(weight.type.dtype), "shape": shape, "data_offsets": [end, end]}


@cache
def _dtype(name: str) -> str:
    """What the format calls a dtype."""
    empty = safetensors.torch.save({"t": torch.empty(0, dtype=getattr(torch, name))})
    found = json.loads(empty[8:])["t"]["dtype"]
    assert isinstance(found, str)
    return found
