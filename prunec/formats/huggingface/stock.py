"""Stock: is the slim model one of transformers' own classes in other sizes? By experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prunec import trace
from prunec.check import compare, double, samples, stress, structure
from prunec.formats.huggingface import config, fields, modeling
from prunec.formats.huggingface.config import Config
from prunec.formats.huggingface.fields import Fitted, Unfit
from prunec.formats.slim import Slim

BATCHES = (1, 3)


@dataclass(frozen=True, eq=False)
class Stock:
    """The class in other sizes: its configuration's fields, and the new names of weights."""

    fields: Config
    names: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Other:
    """Why it is not, and the original's fields as far as the slim model has them."""

    why: str
    fields: Config


def run(slim: Slim, tolerance: float) -> Stock | Other:
    """Compare the slim model with the class of its original in the slim model's sizes.

    Names, shapes and ties of weights must be the same, and the outputs in float64, with the slim
    model's weights and with noisy ones; and in the model's own dtype, where ``tolerance`` is the
    largest error, relative to an output's scale.
    """
    original, cls = config.of(slim.original), type(slim.original)
    if original is None:
        return Other("the original is none of its models", {})
    own = config.renumbered(config.fields(original), slim.renumbered)
    try:
        found = list(fields.candidates(cls, type(original), own, _shapes(slim.module)))
    except Unfit as error:
        return Other(f"{cls.__name__} cannot be built without values: {error}", own)
    known = _known(own, found)
    if not cls.__module__.startswith("transformers.") or not config.auto_classes(cls.__name__):
        return Other(f"transformers does not find a class {cls.__name__} by its name", known)
    if found[0].uneven:
        return Other(f"{cls.__name__} has one {_several(found[0])}", known)
    if len({p.dtype for p in slim.module.parameters()}) > 1:
        return Other("its parameters are of several dtypes", known)
    reasons = []
    for fitted in found:
        reason = _unlike(slim, cls, type(original), fitted, tolerance)
        if reason is None:
            return Stock(_written(slim, cls, type(original), fitted), fitted.names)
        reasons.append(reason)
    return Other(reasons[0], known)


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def _several(fitted: Fitted) -> str:
    path, sizes = next(iter(fitted.uneven.items()))
    shown = " and ".join(map(str, sizes))
    return f"{'.'.join(path)}, not {shown}" if sizes else f"{'.'.join(path)} for all attention"


def _known(own: Config, found: Sequence[Fitted]) -> Config:
    """The fields without those that need several values, or that others could stand in for."""
    first = found[0]
    given = [dict(fields.leaves(own)), *(dict(fields.leaves(f.fields)) for f in found)]
    levels = {path[:-1] for path in first.uneven}

    def holds(path: fields.Path) -> bool:
        if path in first.uneven or path[-1] in fields.LISTS:
            return False
        if any(path in fitted.guessed for fitted in found):
            return len({values.get(path) for values in given}) == 1
        return path[-1] not in fields.HEADS or path[:-1] not in levels

    def walk(found: Config, at: fields.Path) -> Config:
        return {
            name: walk(value, (*at, name)) if isinstance(value, dict) else value
            for name, value in found.items()
            if isinstance(value, dict) or holds((*at, name))
        }

    return walk(first.fields, ())


def _written(slim: Slim, cls: Any, kind: Any, fitted: Fitted) -> Config:
    """What the class itself would save."""
    with config.quiet():
        found = kind.from_dict(fitted.fields)
    found.architectures = [cls.__name__]
    found.dtype = config.dtype(slim.module.parameters())
    written: Config = config.clean(json.loads(found.to_json_string()))
    return written


def _unlike(slim: Slim, cls: Any, kind: Any, fitted: Fitted, tolerance: float) -> str | None:
    """How the class with these fields differs from the slim model; None if it does not."""
    name = cls.__name__
    wanted = {fitted.names.get(n, n): shape for n, shape in _shapes(slim.module).items()}
    try:
        given = fields.shapes(cls, kind, fitted.fields)
    except Unfit as error:
        return f"{name} does not take these sizes: {error}"
    for weight in sorted(wanted.keys() ^ given.keys()):
        return f"only one of it and {name} has a weight `{weight}`"
    for weight, shape in wanted.items():
        if given[weight] != shape:
            return f"`{weight}` is {list(shape)}, and {list(given[weight])} in {name}"
    stock = _built(slim, cls, kind, fitted)
    own = dict(stock.named_parameters(remove_duplicate=False))
    for one, two in modeling.ties(slim.graph, slim.module).items():
        if own[fitted.names.get(one, one)] is not own[fitted.names.get(two, two)]:
            return f"`{one}` and `{two}` are one weight, and two in {name}"
    try:
        exact, own_dtype = _distances(slim, stock, fitted.names)
    except Exception as raised:  # the class may raise anything
        return f"{name} does not run in these sizes: {fields.last_line(raised)}"
    if not (exact <= compare.TOLERANCE and own_dtype <= tolerance):
        distance = max(exact, own_dtype)
        return f"{name} in these sizes returns something else (relative error {distance:.0e})"
    return None


def _built(slim: Slim, cls: Any, kind: Any, fitted: Fitted) -> nn.Module:
    """The class in these sizes, in the slim model's dtype, in eval mode."""
    default = torch.get_default_dtype()
    own = next(slim.module.parameters(), torch.empty(())).dtype
    try:
        torch.set_default_dtype(own)
        with config.quiet(), torch.random.fork_rng(devices=[]):
            made: nn.Module = cls(kind.from_dict(fitted.fields))
    finally:
        torch.set_default_dtype(default)
    return made.eval()


def _distances(slim: Slim, stock: nn.Module, names: Mapping[str, str]) -> tuple[float, float]:
    """How far apart the outputs are, in float64 and in the model's own dtype."""
    graph = slim.graph
    example = trace.tensors(slim.original, slim.args, slim.kwargs)
    drawn = [samples.draw(graph, example, s) for s in samples.sizes(graph, example, BATCHES)]
    ours, theirs = double.module(slim.module, False), double.module(stock, False)
    weights = {name: slim.weights[name] for name in graph.weight}
    wide = {name: double.tensor(value) for name, value in weights.items()}
    errors = [0.0]
    for given in (wide, stress.run(graph, wide)):
        _fill(ours, given, slim, {})
        _fill(theirs, given, slim, names)
        with double.world():
            errors += [_error(slim, ours, theirs, inputs) for inputs in drawn]
    _fill(stock, weights, slim, names)
    own = [value.to(given.dtype) for value, given in zip(drawn[-1], example, strict=True)]
    with torch.no_grad():
        return max(errors), _error(slim, slim.module, stock, own)


def _fill(
    module: nn.Module, weights: Mapping[str, Tensor], slim: Slim, names: Mapping[str, str]
) -> None:
    """Write weights into a module's state, by name; buffers outside of it stay the module's own."""
    state = module.state_dict()
    for weight in slim.graph.weights:
        for name in (weight.name, *weight.ties):
            held = state.get(names.get(name, name))
            if held is not None:
                held.copy_(weights[weight.name])


def _error(slim: Slim, ours: nn.Module, theirs: nn.Module, inputs: Sequence[Tensor]) -> float:
    tree = slim.graph.output
    want, got = (
        {where: value for where, _, value in structure.leaves(tree, found)}
        for found in (structure.call(m, slim.graph, inputs) for m in (ours, theirs))
    )
    return max((compare.error(want[where], got[where]) for where in want), default=0.0)
