"""Twin: the original with the removed channels masked is equal to the slim module.

The original graph is evaluated in float64 by an interpreter of its own, every consumer of a pruned
axis seeing the kept channels only: a contraction finds zeros, an operator that mixes the axis (a
norm, a softmax, a mean) works on the kept slice. The slim module, with the dense model's weights at
the kept indices, must return the same, at several batch sizes, in eval and in train mode (batch
norms on the batch's statistics, dropout the identity). Nothing of this knows how the compiler came
to what it removed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from prunec.check import (
    compare,
    double,
    interpreter,
    renumbered,
    rounding,
    samples,
    state,
    stress,
    structure,
)
from prunec.check.compare import TOLERANCE
from prunec.check.removed import Removed
from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.graph import Graph, WeightRef

Mode: TypeAlias = Literal["eval", "train"]
BATCHES = (1, 2, 5)
MODES: tuple[Mode, ...] = ("eval", "train")


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison: ``"train, N=2"``, and the largest error over all outputs, relative to their
    scales; ``allowed`` is how large it may be.
    """

    name: str
    error: float
    allowed: float = TOLERANCE


@dataclass(frozen=True)
class Result:
    """What was compared and how it came out; ``diagnostics`` are empty where all is equal.

    ``skipped`` are cases that torch itself refuses: a batch norm in train mode with one value per
    channel.
    """

    cases: tuple[Case, ...] = ()
    skipped: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def max_error(self) -> float:
        return max((case.error for case in self.cases), default=torch.inf)

    @property
    def equal(self) -> bool:
        return not self.diagnostics and bool(self.cases)

    def __str__(self) -> str:
        cases = ", ".join(f"{c.name}: {c.error:.1e}" for c in self.cases)
        return f"{'equal' if self.equal else 'different'} ({cases})"


@dataclass(frozen=True, slots=True)
class Wording:
    """How a difference is reported."""

    code: str
    message: str
    help: str


SLIM = Wording(
    "P0801",
    "the slim module is not the original without the removed channels",
    renumbered.HELP,
)
FIDELITY = Wording(
    "P0802",
    "the traced graph does not compute what the model computes",
    "the model may depend on values or sizes in a way that tracing cannot see, or be random",
)


@dataclass(frozen=True)
class Question:
    """A graph with weights, what is removed of them, and the module to be equal to it."""

    graph: Graph
    weights: Mapping[str, Tensor]
    removed: Removed
    module: nn.Module
    example: Sequence[Tensor]
    tolerance: float = TOLERANCE
    wording: Wording = SLIM
    seed: int = 0


def run(
    graph: Graph,
    weights: Mapping[str, Tensor],
    removed: Removed,
    slim: nn.Module,
    example: Sequence[Tensor],
    *,
    batches: Sequence[int] = BATCHES,
    modes: Sequence[Mode] = MODES,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> Result:
    """Compare a slim module with the masked original: with its own weights, then with generic ones
    (`stress`).

    Args:
        graph, weights: the original, as traced.
        removed: what the compiler says is kept of every value and weight.
        slim: the emitted module with unrepaired weights; left as it is.
        example: the tensors of the user's example, in the order of ``graph.inputs``.

    Faults become diagnostics: P0801 the outputs differ, P0803 an operator that cannot be checked,
    P0804 an input or output is claimed to be pruned otherwise than by renumbering, P0805 the slim
    module raises, P0806 the outputs say nothing, P0807 the state dict is not the original's at the
    kept indices.
    """
    claimed = renumbered.fault(graph, removed)
    if claimed is not None:
        return Result(diagnostics=(claimed,))
    faults = state.run(graph, weights, removed, slim)
    if faults:
        return Result(diagnostics=faults)
    question = Question(graph, weights, removed, slim, example, tolerance, SLIM, seed)
    own = compared(question, batches, modes)
    return own if own.diagnostics else _joined(own, _stressed(question, modes))


def compared(
    question: Question, batches: Sequence[int], modes: Sequence[Mode], label: str = ""
) -> Result:
    """Every case of a question: each mode at each size; it ends at the first that cannot be
    compared.
    """
    wide = {name: double.tensor(tensor) for name, tensor in question.weights.items()}
    cases: list[Case] = []
    skipped: list[str] = []
    module = double.module(question.module, train=False)
    for mode in modes:
        module.train(mode == "train")
        for sizes in samples.sizes(question.graph, question.example, batches):
            name = ", ".join(
                [*filter(None, [label]), mode, *(f"{s}={n}" for s, n in sizes.items())]
            )
            inputs = samples.draw(question.graph, question.example, sizes, question.seed)
            try:
                cases.append(
                    _case(name, replace(question, weights=wide, module=module), inputs, mode)
                )
            except _OneValue:
                skipped.append(name)
            except PruneError as fault:
                return Result(tuple(cases), tuple(skipped), fault.diagnostics)
    return Result(tuple(cases), tuple(skipped), tuple(_verdict(question, cases)))


class _OneValue(Exception):
    """A batch norm in train mode has one value per channel: torch refuses, the original as the
    slim.
    """


def _stressed(question: Question, modes: Sequence[Mode]) -> Result:
    """The same with generic weights in both, at one size."""
    weights = stress.run(question.graph, question.weights, question.seed)
    module = copy.deepcopy(question.module)
    stress.place(module, question.graph, weights, question.removed)
    generic = replace(question, weights=weights, module=module)
    return compared(generic, BATCHES[1:2], modes, label="generic weights")


def _joined(first: Result, second: Result) -> Result:
    return Result(
        first.cases + second.cases,
        first.skipped + second.skipped,
        first.diagnostics + second.diagnostics,
    )


def _case(name: str, question: Question, inputs: Sequence[Tensor], mode: Mode) -> Case:
    """One comparison; where it fails, rounding is measured before it is called a difference."""
    inputs = renumbered.originals(question.graph, question.removed, inputs)
    error, allowed = _error(name, question, inputs, mode), question.tolerance
    if allowed < error < rounding.MOST:
        allowed = rounding.allowed(
            question.graph,
            question.weights,
            question.removed,
            inputs,
            train=mode == "train",
            tolerance=question.tolerance,
        )
    return Case(name, error, allowed)


def _error(name: str, question: Question, inputs: Sequence[Tensor], mode: Mode) -> float:
    """The largest error over all outputs in one case."""
    graph, weights, train = question.graph, question.weights, mode == "train"
    removed = question.removed
    with double.world():
        want = interpreter.run(graph, weights, removed, inputs, train=train)
        got = _call(name, question, renumbered.ranks(graph, removed, inputs), train)
    try:
        leaves = list(structure.leaves(graph.output, got))
    except structure.Mismatch as fault:
        raise PruneError(_different(question, name, str(fault))) from None
    errors = [0.0]
    for place, ref, value in leaves:
        if isinstance(ref, WeightRef):
            expected = weights[ref.name]
        else:
            expected = renumbered.returned(removed, ref.name, want[ref.name])
        if not compare.says_something(expected):
            raise PruneError(_nothing(name, place))
        errors.append(compare.error(expected, value))
    return max(errors)


def _call(name: str, question: Question, inputs: Sequence[Tensor], train: bool) -> Any:
    try:
        return structure.call(question.module, question.graph, inputs)
    except Exception as error:  # the module's code may raise anything
        if train and "more than 1 value per channel" in str(error):
            raise _OneValue from None
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        wording = question.wording
        raise PruneError(
            Diagnostic(
                "P0805" if wording is SLIM else wording.code,
                f"the {'slim ' if wording is SLIM else ''}module raises ({name})",
                notes=(text,),
                help=wording.help,
            )
        ) from error


def _verdict(question: Question, cases: Sequence[Case]) -> list[Diagnostic]:
    bad = [case for case in cases if not case.error <= case.allowed]
    if not bad:
        return []
    worst = ", ".join(f"{case.name} by {case.error:.1e}" for case in bad)
    note = f"relative error, {bad[0].allowed:.0e} is allowed: {worst}"
    return [_different(question, bad[0].name, note)]


def _different(question: Question, name: str, note: str) -> Diagnostic:
    wording = question.wording
    return Diagnostic(wording.code, f"{wording.message} ({name})", notes=(note,), help=wording.help)


def _nothing(name: str, place: str) -> Diagnostic:
    return Diagnostic(
        "P0806",
        f"no element of the model's {place} is finite ({name}), so nothing can be compared",
        help="check the weights for NaN and Inf, and that the model takes standard normal inputs",
    )
