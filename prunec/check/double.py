"""Double: a world in which all floating-point arithmetic is done in float64, and nothing is
dropped.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

WIDER: Mapping[torch.dtype, torch.dtype] = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex32: torch.complex128,
    torch.complex64: torch.complex128,
}


@contextmanager
def world() -> Iterator[None]:
    """No gradients; every dtype that is asked for is the widest of its kind; dropout is the
    identity.
    """
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), _no_dropout(), _Widest():  # type: ignore[no-untyped-call]
            yield
    finally:
        torch.set_default_dtype(default)


def tensor(value: Tensor) -> Tensor:
    """A tensor in the widest dtype of its kind."""
    return value.detach().to(WIDER.get(value.dtype, value.dtype))


def module(original: nn.Module, train: bool) -> nn.Module:
    """A copy of a module in float64, in train or eval mode; the module itself is left alone.

    A tensor that an attribute holds with its history (a weight that a hook of
    ``torch.nn.utils.weight_norm`` computes anew at every call) is copied without the history:
    torch refuses to copy it with.
    """
    computed = [
        value
        for layer in original.modules()
        for value in vars(layer).values()
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    memo = {id(value): value.detach().clone() for value in computed}
    wide = copy.deepcopy(original, memo)
    wide._apply(lambda t: t.to(WIDER.get(t.dtype, t.dtype)))  # type: ignore[no-untyped-call]
    return wide.train(train)


class _Widest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Replaces the dtypes in the arguments of every operator."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        wide = tuple(map(_wide, args))
        named = {key: _wide(value) for key, value in (kwargs or {}).items()}
        if func is torch.ops.aten._grouped_mm.default:
            return _grouped_mm(*wide, **named)
        return func(*wide, **named)


def _grouped_mm(x: Tensor, weight: Tensor, offs: Tensor, *rest: Any, **named: Any) -> Tensor:
    """Rows up to ``offs[e]`` times matrix e: torch's own kernel takes no float64."""
    ends = offs.tolist()
    parts = zip([0, *ends], ends, weight, strict=False)
    return torch.cat([x[start:end] @ matrix for start, end, matrix in parts])


def _wide(value: Any) -> Any:
    return WIDER.get(value, value) if isinstance(value, torch.dtype) else value


def _first(value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return value


def _undropped(attention: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def without(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        return attention(query, key, value, attn_mask, 0.0, *args, **kwargs)

    return without


DROPPING = (
    *("dropout", "dropout1d", "dropout2d", "dropout3d"),
    *("alpha_dropout", "feature_dropout", "feature_alpha_dropout"),
)


def _untrained(layers: Callable[..., Any]) -> Callable[..., Any]:
    """A recurrent layer that drops nothing between its layers.

    ``train`` stands third after ``has_biases``, which is the first flag of either overload.
    """

    def without(*args: Any) -> Any:
        train = next(i for i, a in enumerate(args) if isinstance(a, bool)) + 3
        return layers(*args[:train], False, *args[train + 1 :])

    return without


RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


@contextmanager
def _no_dropout() -> Iterator[None]:
    """Put the identity in the place of every function that drops at random."""
    holders: tuple[Any, ...] = (functional, torch)
    found = [(h, name, getattr(h, name)) for h in holders for name in DROPPING if hasattr(h, name)]
    layers = [(h, name, getattr(h, name)) for h in (torch, torch._VF) for name in RECURRENT]
    attention = functional.scaled_dot_product_attention
    try:
        for holder, name, _ in found:
            setattr(holder, name, _first)
        for holder, name, function in layers:
            setattr(holder, name, _untrained(function))
        functional.scaled_dot_product_attention = _undropped(attention)
        yield
    finally:
        for holder, name, function in (*found, *layers):
            setattr(holder, name, function)
        functional.scaled_dot_product_attention = attention
