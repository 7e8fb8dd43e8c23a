"""Write the equations of a node from its signature."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from prunec.grammar.axes import Dim, Ellipsis_, Factors, Fixed, Run, Signature, Window
from prunec.ir.axis import ONE, Axis, size
from prunec.ir.graph import WeightRef
from prunec.ir.group import Role
from prunec.passes.axes.site import Dims, Items, Site, Unsupported, Value
from prunec.passes.axes.solver import product

_REST = "..."


def apply(site: Site, signature: Signature) -> Value:
    """Unify the operands of a node with its signature; give the axes of the results.

    Raises:
        Unsupported: where the operands do not have the form that the signature says.
    """
    operands = [(name, dims) for name, dims in signature.operands if site.is_tensor(name)]
    lengths = _run_lengths(site, signature)
    expanded = [(name, _expand(dims, len(site.dims(name)), lengths)) for name, dims in operands]
    scope = _Scope(site, _sizes(site, signature, expanded))
    for name, dims in expanded:
        for dim, axis in zip(dims, site.dims(name), strict=True):
            scope.meet(dim, axis)
    _note(site, signature, expanded, scope)
    shapes = _shapes(site)[: len(signature.results)]
    results = [
        scope.result(_expand(r, len(s), lengths), s)
        for r, s in zip(signature.results, shapes, strict=True)
    ]
    return results[0] if len(results) == 1 else Items(results)


class _Scope:
    """The axes that the names of one signature stand for at one site."""

    def __init__(self, site: Site, sizes: dict[str, int]) -> None:
        self.site = site
        self.sizes = sizes
        self.axes: dict[str, Axis] = {}

    def __getitem__(self, name: str) -> Axis:
        if name not in self.axes:
            self.axes[name] = self.site.solver.fresh(self.sizes[name])
        return self.axes[name]

    def meet(self, dim: Dim, axis: Axis) -> None:
        """Say that an operand's axis is what its dimension in the signature says."""
        match dim:
            case Fixed():
                self.site.freeze(axis, "the kernel's extent")
            case Factors(names=(name,)) if name not in self.axes and self.sizes[name] == size(axis):
                self.axes[name] = axis
            case Factors(names=names):
                whole = product([self[name] for name in names])
                # An operand of size one against a longer axis is broadcast, as PReLU's only slope
                # is.
                if size(axis) == size(whole):
                    self.site.unify(axis, whole)
                elif size(axis) != 1:
                    raise Unsupported(f"an axis of {size(axis)} does not fit {'*'.join(names)}")

    def result(self, dims: Iterable[Dim], shape: tuple[int, ...]) -> Dims:
        return tuple(self._result(dim, n) for dim, n in zip(dims, shape, strict=True))

    def _result(self, dim: Dim, length: int) -> Axis:
        match dim:
            case Factors(names=names):
                return product([self[name] for name in names])
            case Window(name=name):
                self.site.freeze(self[name], "a window slides over this axis")
                return self.site.fixed(length, "a window slides over this axis")
        return ONE


def _run_lengths(site: Site, signature: Signature) -> dict[str, int]:
    """How many axes every named run stands for."""
    return {axis: len(site.integers(arg)) for arg, axis in signature.counts if axis.endswith("..")}


def _expand(dims: tuple[Dim, ...], rank: int, runs: dict[str, int]) -> list[Dim]:
    """Replace runs by numbered axes and the ellipsis by as many as the rank leaves, numbered from
    the right.
    """
    plain: list[Dim] = []
    for dim in dims:
        if isinstance(dim, Run):
            plain += [Factors((f"{dim.name}{i}",)) for i in range(runs[dim.name])]
        else:
            plain.append(dim)
    rest = rank - len(plain) + (Ellipsis_() in plain)
    if rest < 0 or (Ellipsis_() not in plain and rest != 0):
        raise Unsupported(f"a tensor of rank {rank} does not fit its signature")
    return [
        each
        for dim in plain
        for each in (
            [Factors((f"{_REST}{rest - i}",)) for i in range(rest)] if dim == Ellipsis_() else [dim]
        )
    ]


def _sizes(
    site: Site, signature: Signature, operands: list[tuple[str, list[Dim]]]
) -> dict[str, int]:
    """The size of every name: from the arguments that count it, from plain axes, then by dividing
    products.
    """
    sizes = {axis: site.integer(arg) for arg, axis in signature.counts if not axis.endswith("..")}
    pairs = [
        (dim.names, size(axis))
        for name, dims in operands
        for dim, axis in zip(dims, site.dims(name), strict=True)
        if isinstance(dim, Factors)
    ]
    for names, length in pairs:
        if len(names) == 1:
            sizes[names[0]] = max(length, sizes.get(names[0], 1))
    for names, length in pairs:
        unknown = [n for n in names if n not in sizes]
        known = prod(sizes[n] for n in names if n in sizes)
        if len(unknown) == 1 and length % known == 0:
            sizes[unknown[0]] = length // known
        elif unknown:
            raise Unsupported(f"an axis of {length} is no multiple of {known}")
    return sizes


def _note(
    site: Site, signature: Signature, operands: list[tuple[str, list[Dim]]], scope: _Scope
) -> None:
    """Record what else the signature says: counts, mixing, freezing, and the roles of weights."""
    for argument, axis in signature.counts:
        if axis.endswith(".."):
            for i in range(len(site.integers(argument))):
                site.counts(site.path(argument, i), scope[f"{axis}{i}"])
        else:
            site.counts(site.path(argument), scope[axis])
            _note_groups(site, axis, operands[0][1], scope)
    for name in scope.sizes:
        if any(name == m or (m.endswith("..") and name.startswith(m)) for m in signature.mixes):
            site.mixes(scope[name])
    for name in signature.freezes:
        site.freeze(scope[name], "it is looked up by index")
    _note_roles(site, signature, operands, scope.sizes)


def _note_groups(site: Site, counted: str, dims: list[Dim], scope: _Scope) -> None:
    """A counted factor of the input's axis is groups, unless each has one channel only."""
    for dim in dims:
        if isinstance(dim, Factors) and counted in dim.names:
            within = prod(scope.sizes[n] for n in dim.names if n != counted)
            if within > 1:
                site.kind(scope[counted], "groups")


def _note_roles(
    site: Site, signature: Signature, operands: list[tuple[str, list[Dim]]], sizes: dict[str, int]
) -> None:
    """An axis that reaches no result is consumed; one that only weights have is produced."""
    returned = {
        n for dims in signature.results for d in dims if isinstance(d, Factors) for n in d.names
    }
    for name, dims in operands:
        others = {
            n
            for other, theirs in operands
            if other != name and not _is_parameter(site, other)
            for d in theirs
            if isinstance(d, Factors)
            for n in d.names
        }
        for position, dim in enumerate(dims):
            if isinstance(dim, Factors):
                last = next((n for n in reversed(dim.names) if sizes[n] > 1), dim.names[-1])
                role: Role = (
                    "consume" if last not in returned else "scale" if last in others else "produce"
                )
                site.role(site.arg(name), position, role)


def _is_parameter(site: Site, name: str) -> bool:
    return isinstance(site.arg(name), WeightRef)


def _shapes(site: Site) -> tuple[tuple[int, ...], ...]:
    kinds = site.node.type
    if not isinstance(kinds, tuple):
        return (site.shape(),)
    return tuple(getattr(k, "shape", ()) for k in kinds)
