"""Operators: what torch's schemas say, and the few that a graph does not keep."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch._ops import HigherOrderOperator, OpOverload

from prunec.trace.faults import refuse

DROPPED = frozenset(
    {
        "aten._assert_async.default",
        "aten._assert_async.msg",
        "aten._assert_scalar.default",
        "aten._assert_tensor_metadata.default",
        "aten.sym_constrain_range.default",
        "aten.sym_constrain_range_for_size.default",
        "aten._functional_assert_async.msg",
        "aten._functional_assert_scalar.default",
    }
)
"""Checks of what tracing assumed; they compute nothing."""

SAME_TENSOR = frozenset(
    {
        "aten.alias.default",
        "aten.detach.default",
        "aten.detach_.default",
        "aten.lift.default",
        "aten.lift_fresh.default",
        "aten.requires_grad_.default",
    }
)
"""Bookkeeping: the result is the argument, and shares its memory."""

COPIED = frozenset({"aten.lift_fresh_copy.default"})
"""Bookkeeping: the result is a constant's value in memory of its own."""

EVAL_IDENTITY = frozenset(
    f"aten.{name}.default"
    for name in ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")
)
"""In eval mode these return their argument itself, in train mode a new tensor."""

SCALARS: Mapping[Callable[..., Any], str] = {
    operator.add: "add",
    operator.sub: "sub",
    operator.mul: "mul",
    operator.truediv: "truediv",
    operator.floordiv: "floordiv",
    operator.mod: "mod",
    operator.neg: "neg",
    operator.pos: "pos",
    operator.pow: "pow",
    operator.abs: "abs",
    operator.eq: "eq",
    operator.ne: "ne",
    operator.lt: "lt",
    operator.le: "le",
    operator.gt: "gt",
    operator.ge: "ge",
    operator.and_: "and",
    operator.or_: "or",
    operator.not_: "not",
    math.ceil: "ceil",
    math.floor: "floor",
    math.trunc: "trunc",
    torch.sym_max: "max",
    torch.sym_min: "min",
    torch.sym_float: "float",
    torch.sym_int: "int",
    torch.sym_not: "not",
    torch.sym_ite: "ite",
}
"""Functions on run-time numbers, by the name that they have behind ``scalar.``."""


def name(op: OpOverload) -> str:
    """``aten.conv2d.default``."""
    return str(op)


def is_mutable(op: OpOverload) -> bool:
    """Whether the operator writes into an argument."""
    return bool(op._schema.is_mutable)


def check_hidden_writes(op: OpOverload, args: Sequence[Any], line: str | None) -> None:
    """Refuse normalisation that updates running statistics, a write that its schema does not say.

    Raises:
        PruneError: P0312 if it does.
    """
    if name(op) not in {"aten.batch_norm.default", "aten.instance_norm.default"}:
        return
    running_mean, train = args[3], args[5]
    if train and running_mean is not None:
        raise refuse(
            "P0312",
            f"`{name(op)}` updates its running statistics although the model is in eval mode",
            line,
            "pass `training=self.training`",
        )


def functional(op: OpOverload, line: str | None) -> OpOverload:
    """The twin of an in-place operator that returns a tensor (``add.Tensor`` of ``add_.Tensor``).

    Raises:
        PruneError: P0312 if none takes the same arguments, or if more than the first is written.
    """
    schema = op._schema
    writes = [a.alias_info is not None and a.alias_info.is_write for a in schema.arguments]
    namespace, base = schema.name.split("::")
    twin_name = IRREGULAR.get(base, base.removesuffix("_"))
    packet = getattr(getattr(torch.ops, namespace), twin_name, None)
    twin = _overload(packet, op) if twin_name != base else None
    if writes != [True] + [False] * (len(writes) - 1) or twin is None or base in RESHAPING:
        raise refuse(
            "P0312",
            f"`{name(op)}` changes a tensor in place in a way that prunec cannot rewrite",
            line,
            "write the result into a new tensor instead",
        )
    return twin


def _overload(packet: Any, op: OpOverload) -> OpOverload | None:
    """The overload that takes what ``op`` takes; the one of the same name, if there are several."""
    overloads = [getattr(packet, name) for name in packet.overloads()] if packet else []
    alike = [o for o in overloads if _takes(o) == _takes(op)]
    alike.sort(key=lambda o: bool(o._overloadname != op._overloadname))
    return alike[0] if alike else None


def _takes(op: OpOverload) -> list[tuple[str, str]]:
    first, *others = op._schema.arguments
    return [("", str(first.type)), *((a.name, str(a.type)) for a in others)]


IRREGULAR: Mapping[str, str] = {
    f"__{i}__": f"__{i[1:]}__" for i in ("iand", "ior", "ixor", "ilshift", "irshift")
}

RESHAPING = frozenset(
    f"{name}_"
    for name in (
        *("resize", "resize_as", "set", "as_strided", "t", "transpose"),
        *("swapaxes", "swapdims", "squeeze", "unsqueeze"),
    )
)
"""In-place operators that change a tensor's shape, and not what it holds."""


def inlined(
    op: HigherOrderOperator, args: tuple[Any, ...], device: str
) -> tuple[Any, tuple[Any, ...]] | None:
    """Of a higher-order operator that only sets a mode, the sub-graph and its arguments; else None.

    An autocast region computes the same only where it is switched off or is for another device.
    """
    match str(op):
        case "wrap_with_set_grad_enabled":
            return args[1], tuple(args[2:])
        case "wrap_with_autocast" if not args[2] or args[0] != device:
            return args[4], tuple(args[5:])
        case "tag_activation_checkpoint":
            return args[0], tuple(args[1:])
        case _:
            return None
