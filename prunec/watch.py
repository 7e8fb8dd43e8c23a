"""Watches: the time that one forward spends inside chosen modules, by hooks on them."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(eq=False)
class Watch:
    """Sums the time between entering a watched module and leaving it again, on the CPU.

    What is inside a watched module is not counted twice. ``entered`` are the paths of the outermost
    modules, in the order of their first call.
    """

    entered: dict[str, None] = field(default_factory=dict)
    _depth: int = 0
    _start: int = 0
    _spent: int = 0

    def enter(self, path: str) -> None:
        """A watched module is called."""
        self._depth += 1
        if self._depth == 1:
            self.entered[path] = None
            self._start = time.perf_counter_ns()

    def leave(self) -> None:
        """A watched module returns."""
        self._depth -= 1
        if self._depth == 0:
            self._spent += time.perf_counter_ns() - self._start

    def take(self) -> int:
        """The nanoseconds since the last take, or since the watch began."""
        spent, self._spent, self._depth = self._spent, 0, 0
        return spent


@contextmanager
def watch(module: nn.Module, paths: Collection[str]) -> Iterator[Watch]:
    """Watch the submodules at some paths; those that the module has not are left out."""
    found = Watch()
    handles = []

    def hook(path: str, watched: nn.Module) -> None:
        def before(*given: Any) -> None:
            found.enter(path)

        def after(*given: Any) -> None:
            found.leave()

        handles.append(watched.register_forward_pre_hook(before, prepend=True))
        handles.append(watched.register_forward_hook(after))

    try:
        for path, submodule in module.named_modules(remove_duplicate=False):
            if path in paths:
                hook(path, submodule)
        yield found
    finally:
        for handle in handles:
            handle.remove()
