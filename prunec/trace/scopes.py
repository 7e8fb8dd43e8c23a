"""Scopes: which module calls, and which source line, each node belongs to.

A scope is the stack of open calls, root first. Calls are intervals of the node order: they nest,
and a call that is closed never opens again (a module called twice makes two, index 0 and 1).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch import fx

from prunec.ir.graph import Call, Node

Frame: TypeAlias = "tuple[str, str, str]"
"""One open call as torch tells it: a key that the next call does not share, path, class name."""

Stack: TypeAlias = "tuple[Frame, ...]"


Place: TypeAlias = "tuple[Stack | None, str | None]"
"""Where a node comes from: its open calls and its source line, as far as they are known."""


def place(node: fx.Node) -> Place:
    """Where torch.export says that a node comes from."""
    return stack(node.meta), line(node.meta.get("stack_trace"))


def stack(meta: Mapping[str, object]) -> Stack | None:
    """The open calls of an fx node (``nn_module_stack``), or None where torch recorded none."""
    recorded = meta.get("nn_module_stack")
    if not isinstance(recorded, dict):
        return None
    frames = tuple((key, path, class_text(cls)) for key, (path, cls) in recorded.items())
    return frames if frames and frames[0][1] == "" else None


def run(
    nodes: Sequence[Node], stacks: Sequence[Stack | None], paths: Mapping[str, str]
) -> list[Node]:
    """Give each node its scope.

    Args:
        stacks: one per node; None takes what the nodes before and after have in common.
        paths: every module path to the canonical path of that module.
    """
    filled = _fill(stacks)
    calls: list[Call] = []
    open_: Stack = ()
    counts: dict[str, int] = {}
    scoped: list[Node] = []
    for node, frames in zip(nodes, filled, strict=True):
        shared = _common(open_, frames)
        del calls[len(shared) :]
        for _, path, cls in frames[len(shared) :]:
            canonical = paths.get(path, path)
            index = counts.get(canonical, 0)
            counts[canonical] = index + 1
            calls.append(Call(canonical, cls, index))
        open_ = frames
        scoped.append(replace(node, scope=tuple(calls)))
    return scoped


def line(stack_trace: object) -> str | None:
    """``"model.py:12"``: the innermost frame of a stack trace that is not torch's own."""
    if not isinstance(stack_trace, str):
        return None
    found = re.findall(r'File "([^"]+)", line (\d+)', stack_trace)
    return innermost([(file, int(number)) for file, number in found])


def innermost(frames: Sequence[tuple[str, int]]) -> str | None:
    """The last of some (file, line) frames that is not torch's own, as ``"model.py:12"``."""
    for file, number in reversed(frames):
        if not _is_torch(file):
            return f"{_short(file)}:{number}"
    return None


def _fill(stacks: Sequence[Stack | None]) -> list[Stack]:
    following: list[Stack | None] = [None] * len(stacks)
    upcoming: Stack | None = None
    for i in range(len(stacks) - 1, -1, -1):
        upcoming = stacks[i] or upcoming
        following[i] = upcoming
    filled: list[Stack] = []
    for own, after in zip(stacks, following, strict=True):
        before = filled[-1] if filled else (after or ())[:1]
        filled.append(own or _common(before, after or before[:1]))
    return filled


def _common(a: Stack, b: Stack) -> Stack:
    length = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        length += 1
    return a[:length]


def class_text(cls: object) -> str:
    """A class as torch records it, an object or its name, as ``module.Class``."""
    return f"{cls.__module__}.{cls.__qualname__}" if isinstance(cls, type) else str(cls)


_TORCH = str(Path(torch.__file__).parent) + os.sep


def _is_torch(file: str) -> bool:
    return file.startswith((_TORCH, "torch" + os.sep, "<")) or not file.endswith(".py")


def _short(file: str) -> str:
    """A path as every machine has it: below the working folder, or else its last two parts."""
    path = Path(file)
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return "/".join(path.parts[-2:])
