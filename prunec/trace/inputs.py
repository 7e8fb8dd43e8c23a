"""Inputs: the example that is traced, with dynamic dimensions at distinct prime sizes.

Primes keep two dimensions from agreeing by accident: what then agrees, agrees for a reason.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import nn

from prunec.diagnostics import nearest
from prunec.trace.faults import refuse

Dims = Mapping[int, str]


@dataclass(frozen=True)
class Leaf:
    """One tensor of the example: the parameter it came in, its own name, its dynamic dims."""

    parameter: str
    name: str
    tensor: torch.Tensor
    dims: Dims


@dataclass(frozen=True)
class Example:
    """What the model is traced with. ``leaves`` lists the tensors among the flattened arguments."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    leaves: tuple[Leaf, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The names of the dynamic sizes, in order of first use."""
        return tuple(dict.fromkeys(name for leaf in self.leaves for name in leaf.dims.values()))

    def only(self, symbols: Collection[str]) -> Example:
        """The same example with no other dimension dynamic."""
        leaves = [
            replace(leaf, dims={d: s for d, s in leaf.dims.items() if s in symbols})
            for leaf in self.leaves
        ]
        return replace(self, leaves=tuple(leaves))

    def size(self, symbol: str) -> int:
        """The size that a symbol has in the example."""
        return next(
            leaf.tensor.shape[d]
            for leaf in self.leaves
            for d, s in leaf.dims.items()
            if s == symbol
        )


def bind(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    dynamic: Mapping[str, Dims] | None,
) -> Example:
    """The user's example, checked against ``module.forward``, with its dynamic dims decided.

    Raises:
        PruneError: P0331 if the arguments do not fit the signature, P0332 for a tensor of zero
            size, P0333 if ``dynamic`` names no input or no dimension of it.
    """
    signature = inspect.signature(module.forward)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        takes = ", ".join(f"`{name}`" for name in signature.parameters) or "nothing"
        raise refuse(
            "P0331",
            f"the example inputs do not fit forward(): {error}",
            help=f"forward() takes {takes}: name and order the inputs like its parameters",
        ) from None
    ordered = {name: kwargs[name] for name in _names(module, bound) if name in kwargs}
    leaves = tuple(Leaf(p, n, t, {}) for p, n, t in _tensors(module, bound))
    for leaf in leaves:
        if leaf.tensor.numel() == 0:
            raise refuse(
                "P0332", f"input `{leaf.name}` has zero elements: {tuple(leaf.tensor.shape)}"
            )
    dims = _default(leaves) if dynamic is None else _chosen(leaves, dynamic)
    marked = tuple(replace(leaf, dims=d) for leaf, d in zip(leaves, dims, strict=True))
    return Example(tuple(args), ordered, marked)


def tensors(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[torch.Tensor, ...]:
    """The tensors among a forward's arguments, in the order of ``Graph.inputs``.

    Raises:
        PruneError: as `bind`.
    """
    return tuple(leaf.tensor for leaf in bind(module, args, kwargs, None).leaves)


def resized(example: Example, sizes: Mapping[str, int]) -> Example:
    """The example with every dynamic size changed: rows are repeated, or cut, by index modulo."""
    leaves = iter(example.leaves)
    grown: list[Leaf] = []

    def grow(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        leaf = next(leaves)
        for dim, symbol in leaf.dims.items():
            index = torch.arange(sizes[symbol], device=value.device) % value.shape[dim]
            value = value.index_select(dim, index)
        grown.append(replace(leaf, tensor=value))
        return value

    args, kwargs = pytree.tree_map(grow, (example.args, example.kwargs))
    return Example(args, kwargs, tuple(grown))


def primes(example: Example, taken: frozenset[int]) -> Iterator[dict[str, int]]:
    """Sizes to try for the dynamic symbols: distinct primes that no fixed dimension has.

    The first symbol (the batch) takes a prime from 11 up (7 is what 224 pixels come down to); the
    others the next prime from their given size up, and, as a second try (a table of positions may
    end there), the next one down.
    """
    fixed = {
        n for leaf in example.leaves for d, n in enumerate(leaf.tensor.shape) if d not in leaf.dims
    }
    for downwards in (False, True):
        used = set(taken | fixed)
        sizes: dict[str, int] = {}
        for position, symbol in enumerate(example.symbols):
            given = 11 if position == 0 else max(example.size(symbol), 13)
            size = _prime(given, used, downwards and position > 0)
            used.add(size)
            sizes[symbol] = size
        yield sizes
        if len(sizes) < 2:
            return


def _tensors(
    module: nn.Module, bound: inspect.BoundArguments
) -> Iterator[tuple[str, str, torch.Tensor]]:
    """Parameter, leaf name and value of each tensor, in the order of the flattened arguments."""
    for name, value in _names(module, bound).items():
        flat, _ = pytree.tree_flatten_with_path(value)
        for path, leaf in flat:
            if isinstance(leaf, torch.Tensor):
                yield name, "_".join([name, *map(_key, path)]), leaf


def _names(module: nn.Module, bound: inspect.BoundArguments) -> dict[str, Any]:
    """What was passed, by parameter, in signature order; gathered keywords by their own names."""
    parameters = inspect.signature(module.forward).parameters
    given: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        gathered = parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        given.update(value if gathered else {name: value})
    return given


def _key(key: Any) -> str:
    for attribute in ("idx", "key", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _default(leaves: tuple[Leaf, ...]) -> list[Dims]:
    """Dim 0 of what shares the first input's dim 0 is ``N``; dim 1 of integer matrices is ``T``.

    Matrices of another length (a decoder's tokens) have ``T2``, ``T3`` and so on.
    """
    ranked = [leaf.tensor for leaf in leaves if leaf.tensor.dim() > 0]
    batch = ranked[0].shape[0] if ranked else 0
    lengths: dict[int, str] = {}
    found: list[Dims] = []
    for leaf in leaves:
        tensor = leaf.tensor
        dims = {0: "N"} if tensor.dim() > 0 and tensor.shape[0] == batch else {}
        whole = not tensor.is_floating_point() and not tensor.is_complex()
        if whole and tensor.dim() == 2:
            dims[1] = lengths.setdefault(tensor.shape[1], f"T{len(lengths) + 1}".removesuffix("1"))
        found.append(dims)
    return found


def _chosen(leaves: tuple[Leaf, ...], dynamic: Mapping[str, Dims]) -> list[Dims]:
    known = {leaf.name for leaf in leaves} | {leaf.parameter for leaf in leaves}
    for name, dims in dynamic.items():
        if name not in known:
            hint = nearest(name, known) or f"inputs here: {', '.join(sorted(known))}"
            raise refuse("P0333", f"`dynamic` names no input: `{name}`", help=hint)
        for leaf in leaves:
            bad = [d for d in dims if not 0 <= d < leaf.tensor.dim()]
            if name == leaf.name and bad:
                raise refuse("P0333", f"input `{name}` has no dimension {bad[0]}")
    chosen = [dynamic.get(leaf.name, dynamic.get(leaf.parameter, {})) for leaf in leaves]
    return [
        {d: s for d, s in dims.items() if d < leaf.tensor.dim()}
        for leaf, dims in zip(leaves, chosen, strict=True)
    ]


def _prime(start: int, used: set[int], downwards: bool) -> int:
    candidates = range(start, 6, -1) if downwards else count(start)
    return next((n for n in candidates if _is_prime(n) and n not in used), start)


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))
