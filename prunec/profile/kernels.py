"""Where torch changes kernels: the sizes from which a convolution runs by another one."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from string import ascii_lowercase
from typing import Any

import torch

from prunec.diagnostics import InternalError

CONVOLUTIONS = re.compile(r"aten\.conv[123]d\.default\((.*)\)$")
STEPS = 32
"""Sizes that are looked at first, per letter; then every change is bisected."""


def breaks(signature: str, largest: Sequence[int]) -> list[list[int]]:
    """For every letter of a signature the sizes, up to the ``largest``, from which torch runs
    another kernel; the other letters are at their largest.

    Torch decides on the CPU by sizes alone: a small input of a convolution goes to a matrix product
    of its own, a large one to oneDNN. Empty where torch does not say.
    """
    found = CONVOLUTIONS.match(signature)
    select = getattr(torch._C, "_select_conv_backend", None)
    if found is None or select is None:
        return [[] for _ in largest]
    result = []
    for at, most in enumerate(largest):

        def kernel(size: int, at: int = at) -> str:
            sizes = {ascii_lowercase[k]: n for k, n in enumerate(largest)}
            sizes[ascii_lowercase[at]] = size
            return _kernel(select, found[1], sizes)

        result.append(_changes(kernel, most))
    return result


def _changes(kernel: Callable[[int], str], most: int) -> list[int]:
    """The sizes at which the value is another than at the one before."""
    grid = sorted({1 + round(k * (most - 1) / STEPS) for k in range(STEPS + 1)})
    found = []
    for left, right in pairwise(grid):
        low, high = left, right
        before, after = kernel(low), kernel(high)
        if before == after:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if kernel(middle) == before else (low, middle)
        found.append(high)
    return found


def _kernel(select: Callable[..., Any], arguments: str, sizes: Mapping[str, int]) -> str:
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given = dict(zip(names, _values(arguments, sizes), strict=False))
    weight = given["weight"]
    rank = weight.dim() - 2

    def spread(name: str, default: int) -> list[int]:
        value = given.get(name, default)
        values = list(value) if isinstance(value, tuple) else [value]
        return values * rank if len(values) == 1 else values

    if isinstance(given.get("padding"), str):
        return ""
    return str(
        select(
            given["input"],
            weight,
            given.get("bias"),
            spread("stride", 1),
            spread("padding", 0),
            spread("dilation", 1),
            False,
            [0] * rank,
            given.get("groups", 1),
            None,
        )
    )


def _values(arguments: str, sizes: Mapping[str, int]) -> list[Any]:
    """The arguments of a signature, with tensors of the right sizes."""

    def value(found: ast.expr) -> Any:
        match found:
            case ast.Constant(value=number):
                return number
            case ast.Name(id=name):
                return sizes[name]
            case ast.Tuple(elts=items):
                return tuple(map(value, items))
            case ast.Subscript(value=ast.Name(id=dtype), slice=ast.Tuple(elts=items)):
                return torch.empty([value(i) for i in items], dtype=getattr(torch, dtype))
            case ast.Subscript(value=ast.Name(id=dtype), slice=item):
                return torch.empty([value(item)], dtype=getattr(torch, dtype))
            case _:
                raise InternalError(f"unexpected in a signature: {ast.dump(found)}")

    call = ast.parse(f"f({arguments})", mode="eval").body
    assert isinstance(call, ast.Call)
    return [value(a) for a in call.args]
