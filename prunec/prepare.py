"""Preparation: what the user gave becomes a `Job`, and a job's model becomes a `Subject` that can
be traced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
import torch.utils._pytree as pytree
from torch import nn

from prunec import factory, grammar, part, spec, weights
from prunec.diagnostics import Diagnostic, PruneError, Source, Span
from prunec.ir.plan import Plan
from prunec.part import Whole
from prunec.spec import Data, Input, Model, Spec

if TYPE_CHECKING:
    from prunec.profile import Profile

LENGTH = 16
"""Example size of a dynamic dimension that is not the first of its input."""


Stage: TypeAlias = Callable[[str], None]
"""Called when a stage of the work begins, with its name."""


def quiet(stage: str) -> None:
    """Say nothing when a stage begins."""


@dataclass(frozen=True, eq=False)
class Memory:
    """A model that the caller holds, in place of a `model` statement, with an example of its
    inputs.
    """

    model: nn.Module
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Job:
    """One thing to do: a spec, the folder that its paths are relative to, and what the caller gives
    beside it. ``plan`` is one that was made before, or the file of one; ``profile`` a device
    profile, or its file: None looks beside the spec; ``cache`` is the folder in which scores are
    kept, None to keep none.
    """

    spec: Spec
    folder: Path
    memory: Memory | None = None
    calibrate: Iterable[object] | None = None
    evaluate: Iterable[object] | None = None
    plan: Plan | Path | None = None
    out: Path | None = None
    check: bool = True
    stage: Stage = quiet
    cache: Path | None = None
    profile: Profile | Path | None = None


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with example inputs; ``dynamic`` names, per input, the dimensions that may change
    (None: the default). ``whole`` is the model that it is a part of, ``notes`` what the user should
    know of how it was taken.
    """

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    dynamic: Mapping[str, Mapping[int, str]] | None
    whole: Whole | None = None
    notes: tuple[Diagnostic, ...] = ()


def read(given: str | Path, *, in_memory: bool) -> tuple[Spec, Path]:
    """A spec from a file (a path, or text that ends in ``.prune``) or from text, and the folder of
    its paths.
    """
    if isinstance(given, Path) or ("\n" not in given and given.strip().endswith(".prune")):
        source, folder = grammar.read_source(given), Path(given).parent
    else:
        source, folder = Source("<spec>", given), Path()
    return spec.load(source, in_memory=in_memory), folder


def from_file(file: Path, **given: Any) -> Job:
    """The job of a file from the command line."""
    found, folder = read(file, in_memory=False)
    return Job(found, folder, **given)


def run(job: Job) -> Subject:
    """The job's model, or the part of it that the spec names, and the inputs to trace it with.

    Raises:
        PruneError: P0301 to P0309 for the model, P0341 and P0342 for its part.
    """
    whole, named = _whole(job), job.spec.part
    return whole if named is None else take(whole, named.path, named.span)


def take(whole: Subject, path: str, span: Span | None = None) -> Subject:
    """A part of a model as a subject of its own.

    Raises:
        PruneError: P0341 for an unknown path, P0342 if the part is never called.
    """
    taken = part.take(whole.module, whole.args, whole.kwargs, whole.dynamic, path=path, span=span)
    call = taken.call
    return Subject(taken.module, call.args, call.kwargs, taken.dynamic, taken.whole, taken.notes)


def given(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    dynamic: Mapping[str, Mapping[int, str]] | None = None,
) -> Subject:
    """A model with an example of its inputs, which follow a model without values to meta."""
    if any(p.is_meta for p in module.parameters()):
        args, kwargs = pytree.tree_map_only(torch.Tensor, _shape_only, (args, dict(kwargs)))
    return Subject(module, args, kwargs, dynamic)


def _shape_only(value: torch.Tensor) -> torch.Tensor:
    return value.to("meta")


def _whole(job: Job) -> Subject:
    """The job's model, built and with its weights, and its inputs."""
    if job.memory is not None:
        weights.check_finite(job.memory.model)
        return given(job.memory.model, job.memory.args, job.memory.kwargs)
    statement = job.spec.model
    assert statement is not None, "a spec without a model was loaded for one in memory"
    module = build(statement.factory.target, statement.factory.kwargs, job.folder, statement.span)
    if statement.weights is not None:
        weights.load(module, job.folder / statement.weights.path, statement.weights.span)
    weights.check_finite(module, statement.span)
    return _with_inputs(module, statement)


def build(
    target: str,
    arguments: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    span: Span | None = None,
) -> nn.Module:
    """The module that a factory gives.

    Raises:
        PruneError: P0301 to P0303 (see `factory.call`), P0304 if it is no module.
    """
    module = factory.call(target, arguments, folder=folder, span=span)
    if not isinstance(module, nn.Module):
        given = "a class" if isinstance(module, type) else f"a `{type(module).__name__}`"
        raise PruneError(
            Diagnostic(
                "P0304",
                f"`{target}` returned {given}, not a torch.nn.Module",
                span=span,
                label="called here",
                help="return the model itself",
            )
        )
    return module


def batches(
    job: Job, statement: Data | None, given: Iterable[object] | None
) -> Iterable[object] | None:
    """The batches that the caller gave, or else those of the spec's data statement."""
    if given is not None or statement is None:
        return given
    made = factory.call(
        statement.factory.target, statement.factory.kwargs, folder=job.folder, span=statement.span
    )
    if not isinstance(made, Iterable):
        raise PruneError(
            Diagnostic(
                "P0304",
                f"`{statement.factory.target}` returned a `{type(made).__name__}`, not batches",
                span=statement.span,
                label="called here",
                help="return an iterable of batches: a list, a generator, a DataLoader",
            )
        )
    return made


def _with_inputs(module: nn.Module, statement: Model) -> Subject:
    if not statement.inputs:
        raise PruneError(
            Diagnostic(
                "P0309",
                "the `model` statement declares no input, so the model cannot be traced",
                span=statement.span,
                help="say what it takes: `input x: float32[N, 3, 224, 224]`",
            )
        )
    kwargs = {i.name: _example(i) for i in statement.inputs}
    dynamic = {
        i.name: {dim: size for dim, size in enumerate(i.dims) if isinstance(size, str)}
        for i in statement.inputs
    }
    return given(module, (), kwargs, dynamic)


def _example(declared: Input) -> torch.Tensor:
    """A tensor as declared: standard normal, or zeros where the type is no float (token 0 always
    exists).
    """
    sizes = [
        n if isinstance(n, int) else 2 if d == 0 else LENGTH for d, n in enumerate(declared.dims)
    ]
    dtype: torch.dtype = getattr(torch, declared.dtype)
    if not dtype.is_floating_point:
        return torch.zeros(sizes, dtype=dtype)
    return torch.randn(sizes, generator=torch.Generator().manual_seed(0)).to(dtype)
