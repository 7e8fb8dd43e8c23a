"""Recording: what a submodule is called with while the whole model runs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from prunec.trace.capture import evaluating

Shapes: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Call:
    """The arguments of one call; its tensors are copies."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors among the arguments."""
        leaves = pytree.tree_leaves((self.args, dict(self.kwargs)))
        return tuple(leaf for leaf in leaves if isinstance(leaf, Tensor))

    @property
    def shapes(self) -> Shapes:
        return tuple(tuple(t.shape) for t in self.tensors)


@dataclass(eq=False)
class Recorded:
    """The first call (None: there was none) and the structure of what it returned, the shapes of
    all calls, the ids of the part's weights that were read from outside of it, and what the model
    raised.
    """

    call: Call | None = None
    output: pytree.TreeSpec | None = None
    shapes: list[Shapes] = field(default_factory=list)
    outside: set[int] = field(default_factory=set)
    error: Exception | None = None


class _Stop(BaseException):
    """Enough is recorded. No `Exception`: the model must not catch it."""


def run(
    whole: nn.Module,
    part: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    stop: bool = True,
) -> Recorded:
    """Run the whole model in eval mode without gradients and record the calls of a part of it.

    With ``stop`` the run ends at the part's first call; without, it goes on as far as the model
    gets.
    """
    found = Recorded()
    watch = _Watch(part, found.outside)

    def before(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        watch.inside += 1
        call = Call(given, named)
        found.shapes.append(call.shapes)
        if found.call is None:
            found.call = Call(*pytree.tree_map(_copy, (given, named)))
        if stop:
            raise _Stop

    def after(_: nn.Module, given: object, returned: Any) -> None:
        watch.inside -= 1
        if found.output is None:
            found.output = pytree.tree_structure(returned)

    hooks = (
        part.register_forward_pre_hook(before, with_kwargs=True),
        part.register_forward_hook(after, always_call=True),
    )
    try:
        with evaluating(whole), torch.no_grad(), watch:
            whole(*args, **kwargs)
    except _Stop:
        pass
    except Exception as error:  # the model's code may raise anything
        found.error = error
    finally:
        for hook in hooks:
            hook.remove()
    return found


def ordered(part: nn.Module, call: Call) -> Call:
    """The call with its keywords in the order of forward's parameters; gathered ones stand last."""
    known = [n for n in inspect.signature(part.forward).parameters if n in call.kwargs]
    names = (*known, *(k for k in call.kwargs if k not in known))
    return Call(call.args, {n: call.kwargs[n] for n in names})


class _Watch(TorchFunctionMode):
    """Notes which weights of a part are computed with while none of its calls is running."""

    def __init__(self, part: nn.Module, outside: set[int]) -> None:
        super().__init__()
        self.inside = 0
        self.outside = outside
        self.own = frozenset(map(id, part.state_dict(keep_vars=True).values()))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.inside == 0 and any(isinstance(r, Tensor) for r in pytree.tree_leaves(result)):
            given = pytree.tree_leaves((args, kwargs))
            self.outside.update(self.own & set(map(id, given)))
        return result


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
