"""Trees: the nested structure of a model's arguments and outputs, from torch's pytree specs."""

from __future__ import annotations

import dataclasses
import inspect
from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from typing import Any

import torch.utils._pytree as pytree
from torch import nn

from prunec.ir.graph import Dict_, Parameter, Sequence_, Tree
from prunec.trace.faults import refuse


def output(spec: pytree.TreeSpec, values: Iterator[Tree]) -> Tree:
    """The structure that a spec describes, with its leaves taken in order from ``values``."""
    if spec.is_leaf():
        return next(values)
    items = tuple(output(child, values) for child in spec.children())
    kind = spec.type
    if kind in (tuple, list):
        return Sequence_("tuple" if kind is tuple else "list", items)
    return Dict_(tuple(zip(_keys(spec), items, strict=True)), _class(spec))


def parameters(
    module: nn.Module, spec: pytree.TreeSpec, values: Iterator[Tree]
) -> tuple[Parameter, ...]:
    """The parameters of ``module.forward`` that the example passed, with what it passed for each.

    A parameter that gathers positional arguments is named with its star, ``"*xs"``; what another
    gathers by keyword becomes parameters of their own.
    """
    args_spec, kwargs_spec = spec.children()
    args = [output(child, values) for child in args_spec.children()]
    kwargs = dict(
        zip(kwargs_spec.context, (output(c, values) for c in kwargs_spec.children()), strict=True)
    )
    signature = inspect.signature(module.forward)
    bound = signature.bind(*args, **kwargs).arguments
    found: list[Parameter] = []
    for name, tree in bound.items():
        match signature.parameters[name].kind:
            case inspect.Parameter.VAR_POSITIONAL:
                found.append(Parameter(f"*{name}", Sequence_("tuple", tuple(tree))))
            case inspect.Parameter.VAR_KEYWORD:
                found += [Parameter(key, value, keyword_only=True) for key, value in tree.items()]
            case kind:
                found.append(Parameter(name, tree, kind is inspect.Parameter.KEYWORD_ONLY))
    return tuple(found)


def _keys(spec: pytree.TreeSpec) -> tuple[str, ...]:
    """The field names of a dict, named tuple or dataclass, which must be text."""
    kind, context = spec.type, spec.context
    keys: Any = None
    if pytree.is_namedtuple_class(kind) or kind is namedtuple:
        keys = _namedtuple(spec)._fields
    elif isinstance(kind, type) and issubclass(kind, dict):
        keys = context[0] if _is_pair(context) else context
    elif dataclasses.is_dataclass(kind):
        keys = context[0] if _is_pair(context) else [f.name for f in dataclasses.fields(kind)]
    if keys is None or not all(isinstance(key, str) for key in keys):
        shown = f"{kind.__module__}.{kind.__qualname__}" if isinstance(kind, type) else str(kind)
        raise refuse(
            "P0313",
            f"the model takes or returns a `{shown}`, whose fields prunec cannot name",
            help="return tensors in tuples, lists, named tuples, dataclasses, or dicts by text "
            "(a Hugging Face model: with `config.use_cache = False`)",
        )
    return tuple(keys)


def _class(spec: pytree.TreeSpec) -> str | None:
    kind = spec.type
    if kind is dict:
        return None
    if kind is OrderedDict:
        return "collections.OrderedDict"
    if pytree.is_namedtuple_class(kind) or kind is namedtuple:
        kind = _namedtuple(spec)
    return f"{kind.__module__}.{kind.__qualname__}"


def _namedtuple(spec: pytree.TreeSpec) -> Any:
    return spec.context if isinstance(spec.context, type) else spec.type


def _is_pair(context: object) -> bool:
    return (
        isinstance(context, list | tuple)
        and len(context) > 0
        and isinstance(context[0], list | tuple)
    )
