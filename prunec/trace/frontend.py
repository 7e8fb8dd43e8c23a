"""The front end: `run` captures a module and gives its `Graph` and weights.

The ways to capture are tried in a fixed order, the most general first; what had to be given up
becomes a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir import verify
from prunec.ir.graph import Graph, TensorType
from prunec.trace import capture, conditions, inputs, modes, program, symbolic
from prunec.trace.faults import reason, source_line
from prunec.trace.inputs import Dims, Example
from prunec.trace.program import Captured

Frontend: TypeAlias = Literal["export", "symbolic_trace"]


@dataclass(frozen=True)
class Traced:
    """A traced model: its graph, its tensors by canonical name, and what the user should know.

    The tensors are the module's own, detached and not copied.
    """

    graph: Graph
    weights: dict[str, torch.Tensor]
    notes: tuple[Diagnostic, ...] = ()


def run(
    module: nn.Module,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic: Mapping[str, Dims] | None = None,
    name: str | None = None,
) -> Traced:
    """Trace a module as it computes in eval mode; the module itself is left as it was.

    Args:
        args, kwargs: an example of what ``module.forward`` takes; only shapes, dtypes and structure
            matter.
        dynamic: per input (by its name, or by the parameter of forward that it is part of), which
            dimensions may change from call to call, and their names. By default dim 0 of what
            shares the first input's dim 0 is ``N``, and dim 1 of integer matrices is ``T``.
        name: the graph's name; by default the class name.

    Raises:
        PruneError: P0331 to P0333 for inputs that do not fit, P0310 where neither front end can
            capture the model, P0311 to P0313 where a functional graph cannot say what it does.
    """
    given = inputs.bind(module, args, kwargs or {}, dynamic)
    captured, notes = _capture(module, given)
    graph, weights = program.run(module, captured, name or type(module).__name__)
    graph, more = modes.run(module, captured, graph)
    return Traced(verify.run(graph), weights, (*notes, *more))


def again(
    module: nn.Module,
    graph: Graph,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Captured:
    """Capture a module that takes what a graph takes, with the graph's dynamic sizes.

    Raises:
        PruneError: P0310 where neither front end can capture the module with these sizes.
    """
    bound = inputs.bind(module, args, kwargs or {}, None)
    leaves = tuple(
        replace(leaf, dims=_dynamic(given.type))
        for leaf, given in zip(bound.leaves, graph.inputs, strict=True)
    )
    captured, notes = _capture(module, replace(bound, leaves=leaves))
    fixed = tuple(note.message for note in notes if note.code == "P0320")
    if fixed:
        message = "torch cannot capture the slim model with all of its dynamic sizes"
        raise PruneError(Diagnostic("P0310", message, notes=fixed))
    return captured


def _dynamic(kind: TensorType) -> dict[int, str]:
    """The dimensions of an input that may change, with the names of their sizes."""
    return {d: s for d, s in enumerate(kind.symbols) if s is not None and s.isidentifier()}


def _capture(module: nn.Module, given: Example) -> tuple[Captured, tuple[Diagnostic, ...]]:
    """The first capture that succeeds and holds for the sizes that the user gave."""
    failures: list[Exception] = []
    gone: dict[str, str] = {}
    for frontend, example in _attempts(module, given):
        if gone.keys() & set(example.symbols):
            continue
        try:
            captured = _once(module, example, frontend)
        except PruneError:
            raise
        except Exception as error:  # torch.export raises what the model or any of its layers raises
            failures.append(error)
            continue
        lost = conditions.lost(captured, given)
        gone.update(lost)
        if not lost:
            return captured, tuple(_notes(captured, given, gone, failures))
    raise _neither(failures)


def _attempts(module: nn.Module, given: Example) -> Iterator[tuple[Frontend, Example]]:
    """All dims dynamic, at prime sizes; then each one alone; then none; per front end."""
    taken = frozenset(size for tensor in module.parameters() for size in tensor.shape)
    frontends: tuple[Frontend, ...] = ("export", "symbolic_trace")
    for frontend in frontends:
        wanted = [given.symbols, *((s,) for s in given.symbols if len(given.symbols) > 1)]
        for symbols in wanted:
            if symbols:
                chosen = given.only(symbols)
                for sizes in inputs.primes(chosen, taken):
                    yield frontend, inputs.resized(chosen, sizes)
        yield frontend, given.only(())


def _once(module: nn.Module, example: Example, frontend: Frontend) -> Captured:
    if frontend == "export":
        exported, assigned = capture.run(module, example)
        return Captured(exported, example, assigned)
    drawn = symbolic.run(module, example)
    exported, assigned = capture.run(drawn.module, example)
    return Captured(exported, example, assigned, frontend, drawn.place)


def _notes(
    captured: Captured, given: Example, gone: Mapping[str, str], failures: list[Exception]
) -> Iterator[Diagnostic]:
    for symbol in given.symbols:
        if symbol not in captured.example.symbols:
            because = gone.get(symbol) or reason(failures[0])
            yield Diagnostic(
                "P0320",
                f"dimension `{symbol}` is fixed at {given.size(symbol)}, as in the example inputs",
                severity="note",
                notes=(because,),
            )
    held = conditions.texts(captured)
    if held:
        yield Diagnostic(
            "P0321",
            "the model computes differently for some sizes; what was traced holds where "
            + " and ".join(f"`{text}`" for text in held),
            severity="note",
        )
    if captured.assigned:
        names = ", ".join(f"`{name}`" for name in captured.assigned)
        yield Diagnostic(
            "P0323",
            f"the model sets its attributes {names} while it runs; what is compiled does not",
            severity="note",
        )
    if captured.frontend == "symbolic_trace":
        yield Diagnostic(
            "P0322",
            "torch.export could not capture the model; torch.fx.symbolic_trace did",
            severity="note",
            notes=(reason(failures[0]),),
        )


def _neither(failures: list[Exception]) -> PruneError:
    exported, drawn = failures[0], failures[-1]
    if "not a known type" in str(exported):
        return PruneError(
            Diagnostic(
                "P0313",
                "the model takes or returns a class that torch cannot take apart",
                notes=(reason(exported),),
                help="for a dataclass, call `torch.export.register_dataclass` with it",
            )
        )
    line = source_line(exported)
    return PruneError(
        Diagnostic(
            "P0310",
            "torch cannot capture the model" + (f" (at {line})" if line else ""),
            notes=(f"torch.export: {reason(exported)}", f"symbolic_trace: {reason(drawn)}"),
            help="make control flow depend on shapes only, or give prunec a part of the model that "
            "does (of a detector, the backbone)",
        )
    )
