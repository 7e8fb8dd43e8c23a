"""Probe: the equations of an operator that nobody has written a signature for, by experiment.

The operator is evaluated on small random tensors. An input axis along which every output slice
depends on the input slice of its own index and on no other is the output's axis; every other axis
is frozen. What is concluded is then tried: with indices removed from the inputs, all other
arguments as they are, the operator must return its outputs without those indices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from prunec.check import taint
from prunec.ir.axis import size
from prunec.ir.graph import Argument, Device, Ref, ScalarType, TensorType, TorchName, WeightRef
from prunec.passes.axes.site import Items, Site, Unsupported, Value, overload

LARGEST = 2**16  # elements of a tensor
EVALUATIONS = 4000  # of the operator, over all slices
_COMPLEX = {"complex64", "complex128", "complex32"}

# Input (number, dimension) and output (number, dimension).
Place: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Experiment:
    """An operator as a function of its tensors, with values for them and what it returns."""

    function: Callable[..., list[Tensor]]
    refs: tuple[Ref | WeightRef, ...]
    tensors: tuple[Tensor, ...]
    results: tuple[Tensor, ...]
    numbers: frozenset[int]


def probe(site: Site) -> Value:
    """Unify what the experiment shows to be one axis, freeze the rest.

    Raises:
        Unsupported: where the operator cannot be evaluated, is random, or has no small tensors.
    """
    experiment = _experiment(site)
    links = _confirmed(experiment, _links(experiment))
    site.facts.probed.append(site.node.name)
    return _equate(site, experiment, links)


def _experiment(site: Site) -> Experiment:
    op = overload(site.node.op)
    if op is None or op._schema.is_mutable or torch.Tag.nondeterministic_seeded in op.tags:
        raise Unsupported("no signature for this operator, and it cannot be probed")
    read: list[Ref | WeightRef] = [*site.node.refs(), *site.node.weight_refs()]
    refs = tuple(dict.fromkeys(read))
    kinds = {ref: _kind(site, ref) for ref in refs}
    tensors = {ref: k for ref, k in kinds.items() if isinstance(k, TensorType)}
    generator = torch.Generator().manual_seed(0)
    values = tuple(_random(kind, generator) for kind in tensors.values())
    numbers = {ref: k.example for ref, k in kinds.items() if isinstance(k, ScalarType)}
    function = _function(site, op, tuple(tensors), numbers)
    try:
        with torch.no_grad():
            results, again = function(*values), function(*values)
    except Exception as error:  # any operator may raise anything
        text = " ".join(f"{error}".split())[:80]
        raise Unsupported(f"no signature for this operator, and a probe raises: {text}") from None
    if not _expected(site, results) or any(map(_differ, results, again)):
        raise Unsupported("no signature for this operator, and a probe is not conclusive")
    return Experiment(function, tuple(tensors), values, tuple(results), frozenset(_integers(site)))


def _kind(site: Site, ref: Ref | WeightRef) -> Any:
    graph = site.facts.graph
    kind = graph.weight[ref.name].type if isinstance(ref, WeightRef) else graph.types[ref.name]
    if isinstance(kind, tuple) or kind is None:
        raise Unsupported("no signature for this operator, and it takes a tuple")
    return kind


def _random(kind: TensorType, generator: torch.Generator) -> Tensor:
    """Floating-point numbers in float64; of integers 0 and 1 only, which index anything."""
    if torch.Size(kind.shape).numel() > LARGEST:
        raise Unsupported("no signature for this operator, and its tensors are too large to probe")
    if kind.dtype.startswith(("float", "bfloat")):
        return torch.randn(kind.shape, generator=generator, dtype=torch.float64)
    if kind.dtype in _COMPLEX:
        return torch.randn(kind.shape, generator=generator, dtype=torch.complex128)
    drawn = torch.randint(0, 2, kind.shape, generator=generator)
    return drawn.to(getattr(torch, kind.dtype))


def _function(
    site: Site, op: Any, refs: Sequence[Ref | WeightRef], numbers: Mapping[Any, object]
) -> Callable[..., list[Tensor]]:
    def call(*tensors: Tensor) -> list[Tensor]:
        given = {**numbers, **dict(zip(refs, tensors, strict=True))}

        def value(argument: Argument) -> Any:
            match argument:
                case Ref() | WeightRef():
                    return given[argument]
                case tuple():
                    return [value(item) for item in argument]
                case TorchName(name=name):
                    return getattr(torch, name)
                case Device():
                    return torch.device("cpu")
            return argument

        node = site.node
        return taint.outputs(op(*map(value, node.args), **{k: value(v) for k, v in node.kwargs}))

    return call


def _integers(site: Site) -> Iterator[int]:
    """Every number in the arguments that may be a size."""

    def inside(argument: Argument) -> Iterator[int]:
        if isinstance(argument, tuple):
            for item in argument:
                yield from inside(item)
        elif isinstance(argument, int) and not isinstance(argument, bool):
            yield argument

    yield from inside(site.node.args)
    yield from inside(tuple(v for _, v in site.node.kwargs))


def _expected(site: Site, results: Sequence[Tensor]) -> bool:
    kinds = site.node.type if isinstance(site.node.type, tuple) else (site.node.type,)
    shapes = [k.shape for k in kinds if isinstance(k, TensorType)]
    return len(shapes) == len(kinds) and shapes == [tuple(r.shape) for r in results]


def _links(experiment: Experiment) -> dict[Place, Place]:
    """Input place -> the one output place that goes index by index with it."""
    if 3 * sum(sum(t.shape) for t in experiment.tensors) > EVALUATIONS:
        raise Unsupported("no signature for this operator, and it has too many slices to probe")
    found: dict[Place, Place] = {}
    for which, tensor in enumerate(experiment.tensors):
        for dim, length in enumerate(tensor.shape):
            if length == 1 or length in experiment.numbers:
                continue
            try:
                with torch.no_grad():
                    seen = taint.dependence(experiment.function, experiment.tensors, which, dim)
            except Exception:  # an operator may refuse some values
                continue
            same = [place for place, depends in seen.items() if _is_identity(depends)]
            others = {k for k, _ in seen} - {k for k, _ in same}
            if len(same) == len({k for k, _ in same}) == 1 and not any(
                seen[place].any() for place in seen if place[0] in others
            ):
                found[which, dim] = same[0]
    return found


def _is_identity(depends: Tensor) -> bool:
    return depends.shape[0] == depends.shape[1] and bool(
        torch.equal(depends, torch.eye(len(depends), dtype=torch.bool))
    )


def _confirmed(experiment: Experiment, links: dict[Place, Place]) -> dict[Place, Place]:
    """Those links along which the operator on fewer indices gives the same on fewer indices."""
    return {
        place: target
        for place, target in links.items()
        if all(
            _commutes(experiment, [p for p, t in links.items() if t == target], target, kept)
            for kept in _subsets(experiment.tensors[place[0]].shape[place[1]])
        )
    }


def _subsets(length: int) -> list[Tensor]:
    """Without the first, without the last, and every second from the second on."""
    every = torch.arange(length)
    return [every[1:], every[:-1], every[1::2]]


def _commutes(experiment: Experiment, places: Sequence[Place], target: Place, kept: Tensor) -> bool:
    given = list(experiment.tensors)
    for which, dim in places:
        given[which] = given[which].index_select(dim, kept)
    try:
        with torch.no_grad():
            results = experiment.function(*given)
    except Exception:  # a size among its arguments
        return False
    for number, (got, full) in enumerate(zip(results, experiment.results, strict=True)):
        want = full.index_select(target[1], kept) if number == target[0] else full
        if got.shape != want.shape or not torch.allclose(
            got.to(want.dtype), want, rtol=1e-9, atol=1e-12, equal_nan=True
        ):
            return False
    return True


def _differ(old: Tensor, new: Tensor) -> bool:
    return not torch.allclose(old, new, rtol=0, atol=0, equal_nan=True)


def _equate(site: Site, experiment: Experiment, links: Mapping[Place, Place]) -> Value:
    reason = "no signature: by a probe it is not index by index"
    found: dict[Place, Any] = {}
    for which, ref in enumerate(experiment.refs):
        for dim, axis in enumerate(site.dims_of(ref) or ()):
            target = links.get((which, dim))
            if target is None:
                site.freeze(axis, reason)
            elif target in found:
                site.unify(found[target], axis)
            else:
                found[target] = axis
    results = [
        tuple(
            found[number, dim] if (number, dim) in found else site.fixed(length, reason)
            for dim, length in enumerate(result.shape)
        )
        for number, result in enumerate(experiment.results)
    ]
    if any(size(a) != n for (k, d), a in found.items() for n in [experiment.results[k].shape[d]]):
        raise Unsupported("no signature for this operator, and a probe is not conclusive")
    return Items(results) if isinstance(site.node.type, tuple) else results[0]
