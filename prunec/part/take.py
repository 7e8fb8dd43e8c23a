"""Taking: a submodule out of its model, with example inputs and dynamic dimensions of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from torch import nn

from prunec.diagnostics import Diagnostic, PruneError, Span
from prunec.part import record, vary
from prunec.part.record import Call, Recorded
from prunec.part.whole import Whole
from prunec.trace import inputs
from prunec.trace.inputs import Dims


@dataclass(frozen=True, eq=False)
class Taken:
    """A part and what it is called with; ``dynamic`` names the dimensions that may
    change.
    """

    module: nn.Module
    call: Call
    dynamic: Mapping[str, Dims]
    whole: Whole
    notes: tuple[Diagnostic, ...] = ()


def take(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    dynamic: Mapping[str, Dims] | None,
    *,
    path: str,
    span: Span | None = None,
) -> Taken:
    """The submodule at a path, with the inputs of its first call while the whole model runs.

    Raises:
        PruneError: P0341 for an unknown path, P0342 if the part is never called, P0331 to P0333
            for inputs that do not fit the whole model.
    """
    part = _find(module, path, span)
    example = inputs.bind(module, args, kwargs, dynamic)
    found = record.run(module, part, args, kwargs, stop=False)
    call = record.ordered(part, first(found, path, span))
    shared = frozenset(_shared(module, part, found.outside))
    whole = Whole(module, args, kwargs, path, shared, found.output, span)
    return Taken(
        part, call, vary.run(whole, example, call), whole, tuple(_notes(found, path, span))
    )


def first(found: Recorded, path: str, span: Span | None, where: str = "") -> Call:
    """The first call that was recorded.

    Raises:
        PruneError: P0342 if there was none.
    """
    if found.call is not None:
        return found.call
    if found.error is None:
        message = f"the model runs, but never calls its part `{path}`{where}"
        notes: tuple[str, ...] = ()
        hint = "name a part that is called as a module, not through a method of its own"
    else:
        message = f"the model raises before it calls its part `{path}`{where}"
        notes = (" ".join(f"{type(found.error).__name__}: {found.error}".split())[:300],)
        hint = "give inputs that the whole model takes"
    raise PruneError(Diagnostic("P0342", message, span=span, notes=notes, help=hint))


def _find(module: nn.Module, path: str, span: Span | None) -> nn.Module:
    modules: dict[str, nn.Module] = dict(module.named_modules(remove_duplicate=False))
    if path and path in modules:
        return modules[path]
    near = get_close_matches(path, [name for name in modules if name], n=3)
    hint = f"did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else None
    if hint is None:
        hint = f"its parts are {', '.join(f'`{n}`' for n, _ in module.named_children())}"
    raise PruneError(Diagnostic("P0341", f"the model has no part `{path}`", span=span, help=hint))


def _shared(module: nn.Module, part: nn.Module, read: Set[int]) -> Iterator[str]:
    """The part's weights that stand elsewhere in the model too, or were read from there."""
    within = {id(m) for m in part.modules()}
    rest = {
        id(tensor)
        for m in module.modules()
        if id(m) not in within
        for tensor in (*m.parameters(recurse=False), *m.buffers(recurse=False))
    }
    used = rest | read
    yield from (n for n, t in part.state_dict(keep_vars=True).items() if id(t) in used)


def _notes(found: Recorded, path: str, span: Span | None) -> Iterator[Diagnostic]:
    others = [shapes for shapes in found.shapes if shapes != found.shapes[0]]
    if others:
        yield Diagnostic(
            "P0343",
            f"the part `{path}` is called {len(found.shapes)} times, with inputs of other shapes: "
            "the first call counts",
            severity="warning",
            span=span,
            notes=(f"first {_shown(found.shapes[0])}, then {_shown(others[0])}",),
            help="dimensions that do not change with the model's own inputs are fixed",
        )


def _shown(shapes: record.Shapes) -> str:
    return ", ".join(str(list(s)) for s in shapes) or "no tensors"
