"""The Python door: what `import prunec` offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from prunec import driver, output, prepare, proof, sweeping, understand
from prunec.diagnostics import Diagnostic
from prunec.driver import Compiled
from prunec.ir.plan import Plan
from prunec.prepare import Job, Memory, Subject
from prunec.profile import Profile
from prunec.report.analysis import Analysis
from prunec.report.data import Report

Given = TypeVar("Given")


def plan(
    spec: str | Path,
    *,
    model: nn.Module | None = None,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    calibrate: Iterable[object] | None = None,
    out: str | Path | None = None,
    profile: Profile | str | Path | None = None,
    cache: str | Path | None = None,
) -> Plan:
    """Decide what to remove.

    Args:
        spec: the path of a `.prune` file, or the text of one (``"target macs <= 50%"``).
        model, args, kwargs: a model in memory and an example of its inputs, in place of the `model`
            statement.
        calibrate: batches, in place of the `data calibrate` statement.
        profile: the device profile that a latency is predicted from, or its file, in place of the
            one beside the spec.
        out: a file to write the plan to, which `compile` takes; None writes nothing.
        cache: a folder in which scores and measured losses are kept, and found again by the hash
            of model, data and method; None keeps none.

    Raises:
        PruneError: whatever the user can mend.
    """
    rest = {"calibrate": calibrate, "profile": _path(profile), "cache": _path(cache)}
    planned = driver.plan(_job(spec, model, args, kwargs, **rest))
    if out is not None:
        output.write(Path(out), planned.file())
    return planned.plan


def compile(
    spec: str | Path,
    *,
    model: nn.Module | None = None,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    calibrate: Iterable[object] | None = None,
    evaluate: Iterable[object] | None = None,
    plan: str | Path | Plan | None = None,
    out: str | Path | None = None,
    check: bool = True,
    profile: Profile | str | Path | None = None,
    cache: str | Path | None = None,
) -> Compiled:
    """Make the smaller model, prove it, and write it if there is a folder to write to.

    Args:
        spec, model, args, kwargs, calibrate, profile, cache: as of `plan`. The model is left as
            it was.
        evaluate: batches with labels, in place of the `data evaluate` statement.
        plan: a plan, or the file of one, that says what goes: nothing is scored or solved. A file
            is refused (P0640) if the spec, the model or the data are others than it was made from;
            a plan in memory does not know what it was made from, and must only fit the model and
            hold the budgets.
        out: the folder, in place of the one after `emit ... to`; a folder of an earlier compile is
            replaced.
        check: prove the output against the original.

    Raises:
        PruneError: whatever the user can mend; nothing is written then.
    """
    rest = {
        "calibrate": calibrate,
        "evaluate": evaluate,
        "plan": _path(plan),
        "out": _path(out),
        "check": check,
        "profile": _path(profile),
        "cache": _path(cache),
    }
    return driver.compile(_job(spec, model, args, kwargs, **rest))


def sweep(
    spec: str | Path,
    *,
    metric: str,
    bounds: Iterable[str | int],
    model: nn.Module | None = None,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    calibrate: Iterable[object] | None = None,
    profile: Profile | str | Path | None = None,
    cache: str | Path | None = None,
) -> tuple[tuple[str, Plan | tuple[Diagnostic, ...]], ...]:
    """Plan for many bounds of one target; the model is traced and scored once.

    Args:
        metric: what the target says beside its amount: ``"macs"``, ``"latency on cpu"``. A target
            of the spec that says this is replaced, all others stay as they are.
        bounds: amounts as in the language: ``"70%"``, ``"4.5ms"``, ``2_000_000``.
        spec, model, args, kwargs, calibrate, profile, cache: as of `plan`.

    Returns:
        Each bound with its plan, or with what says that there is none.

    Raises:
        PruneError: whatever the user can mend, but that a bound cannot be met.
    """
    rest = {"calibrate": calibrate, "profile": _path(profile), "cache": _path(cache)}
    job = _job(spec, model, args, kwargs, **rest)
    asked = [str(bound) for bound in bounds]
    _, found = sweeping.run(job, metric, asked)
    return tuple(zip(asked, (each.found for each in found), strict=True))


def analyze(
    model: nn.Module,
    *,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    part: str | None = None,
) -> Analysis:
    """What can be removed from a model, or from the submodule ``part`` of it, what cannot, and why.

    Raises:
        PruneError: P03xx where the model cannot be traced.
    """
    return understand.run(_subject(model, args, kwargs, part)).analysis


def verify(
    model: nn.Module,
    compiled: Compiled,
    *,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Report:
    """The proof on its own: is ``compiled`` the model, or its part, without the removed channels?

    Checks that fail are in the report (``report.passed``, ``report.diagnostics``), and are not
    raised.
    """
    path = compiled.whole.path if compiled.whole else None
    subject = _subject(model, args, kwargs, path)
    claim = proof.Claim(
        compiled.removed,
        compiled.module,
        compiled.files,
        compiled.formats,
        compiled.plan.costs,
    )
    return proof.verify(subject, claim, compiled.report)


def _subject(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None, part: str | None
) -> Subject:
    whole = prepare.given(model, args, kwargs or {})
    return whole if part is None else prepare.take(whole, part)


def _path(given: Given) -> Given | Path:
    """What is given, a file's name as a path."""
    return Path(given) if isinstance(given, str) else given


def _job(
    spec: str | Path,
    model: nn.Module | None,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    **rest: Any,
) -> Job:
    found, folder = prepare.read(spec, in_memory=model is not None)
    memory = None if model is None else Memory(model, args, kwargs or {})
    return Job(found, folder, memory, **rest)
