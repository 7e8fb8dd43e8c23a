"""Modules: the hierarchy of the original, with what each torch.nn class was constructed with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from prunec.ir.graph import Argument, Module


def run(module: nn.Module) -> tuple[Module, ...]:
    """Every module once, under its first path, the root first."""
    return tuple(_module(path, m) for path, m in module.named_modules())


def class_name(module: nn.Module) -> str:
    """``torch.nn.modules.conv.Conv2d``."""
    return f"{type(module).__module__}.{type(module).__qualname__}"


def canonical_paths(module: nn.Module) -> dict[str, str]:
    """Every path of every module, to the first path of that module."""
    first: dict[int, str] = {}
    return {
        path: first.setdefault(id(m), path)
        for path, m in module.named_modules(remove_duplicate=False)
    }


def config(module: nn.Module) -> tuple[tuple[str, Argument], ...]:
    """The constructor's settings of a torch.nn module, read from its attributes; others have none.

    A setting that cannot be read back, or that is not a plain value, is left out.
    """
    cls = type(module)
    if not cls.__module__.startswith("torch.nn.modules."):
        return ()
    known = {**GIVEN_BY, **DERIVED.get(cls, {})}
    found: list[tuple[str, Argument]] = []
    for name in dict.fromkeys((*_constructor(cls), *DERIVED.get(cls, {}))):
        value = known[name](module) if name in known else getattr(module, name, _MISSING)
        plain = _plain(value)
        if plain is not _MISSING:
            found.append((name, plain))
    return tuple(found)


_MISSING: Any = object()


def _module(path: str, module: nn.Module) -> Module:
    tensors = (*module._parameters.items(), *module._buffers.items())
    return Module(
        path=path,
        cls=class_name(module),
        config=config(module),
        children=tuple(name for name, child in module._modules.items() if child is not None),
        weights=tuple(name for name, tensor in tensors if tensor is not None),
    )


def _constructor(cls: type) -> tuple[str, ...]:
    """The names of a constructor's parameters; with ``*args`` they are those of the base class."""
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters.values()):
        return () if cls.__base__ in (nn.Module, None) else _constructor(cls.__base__)
    return tuple(parameters)


def _plain(value: Any) -> Any:
    """A setting as an `Argument`; anything else is missing."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case tuple() | list():
            items = tuple(map(_plain, value))
            return _MISSING if any(item is _MISSING for item in items) else items
        case _:
            return _MISSING


def _skip(_: Any) -> Any:
    return _MISSING


def _bias(module: Any) -> Any:
    """Whether there is a bias, however the class says it: a flag, a tensor or None."""
    if isinstance(module, nn.MultiheadAttention):
        return module.in_proj_bias is not None
    value = getattr(module, "bias", _MISSING)
    return value if isinstance(value, bool) or value is _MISSING else value is not None


def _first_attention(module: Any) -> Any:
    return module.self_attn


GIVEN_BY: Mapping[str, Callable[[Any], Any]] = {
    "self": _skip,
    "device": _skip,
    "dtype": _skip,
    "mode": lambda m: _MISSING if isinstance(m, nn.RNNBase) else getattr(m, "mode", _MISSING),
    "bias": _bias,
}
"""Constructor parameters whose value is not the attribute of the same name."""

_TRANSFORMER_LAYER: Mapping[str, Callable[[Any], Any]] = {
    "d_model": lambda m: _first_attention(m).embed_dim,
    "nhead": lambda m: _first_attention(m).num_heads,
    "dim_feedforward": lambda m: m.linear1.out_features,
    "dropout": lambda m: m.dropout.p,
    "activation": lambda m: getattr(m.activation, "__name__", _MISSING),
    "layer_norm_eps": lambda m: m.norm1.eps,
    "batch_first": lambda m: _first_attention(m).batch_first,
    "bias": lambda m: m.linear1.bias is not None,
}

DERIVED: Mapping[type[nn.Module], Mapping[str, Callable[[Any], Any]]] = {
    nn.MultiheadAttention: {
        "add_bias_kv": lambda m: m.bias_k is not None,
    },
    nn.TransformerEncoderLayer: _TRANSFORMER_LAYER,
    nn.TransformerDecoderLayer: _TRANSFORMER_LAYER,
    nn.RNN: {"proj_size": _skip, "nonlinearity": lambda m: m.nonlinearity},
    nn.GRU: {"proj_size": _skip},
    nn.AdaptiveLogSoftmaxWithLoss: {"cutoffs": lambda m: list(m.cutoffs[:-1])},
    nn.Upsample: {"size": lambda m: m.size if m.scale_factor is None else None},
}
"""Classes that keep a setting elsewhere than in the attribute of its name."""
