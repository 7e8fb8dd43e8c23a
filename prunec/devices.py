"""Devices: what their profiles predict that the model takes, at any widths.

A profile is what the caller gives, or the file beside the spec that `prunec profile` writes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from prunec import hashing, profile
from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.graph import Graph
from prunec.ir.group import Group
from prunec.passes import latency
from prunec.passes.timed import Timed
from prunec.prepare import Job
from prunec.profile import Profile, machine
from prunec.selection import Selection
from prunec.spec import Cuda, Device, Target
from prunec.understand import Understood


@dataclass(frozen=True, eq=False)
class Devices:
    """What the model takes, by device as it is written. ``digest`` is the hash of all profiles,
    None where there are none.
    """

    timed: Mapping[str, Timed] = field(default_factory=dict)
    digest: str | None = None
    warnings: tuple[Diagnostic, ...] = ()

    def good_widths(self, groups: Collection[Group]) -> dict[str, tuple[int, ...]]:
        """By group, the widths that every device likes; groups that no time depends on are left
        out.
        """
        liked: dict[str, set[int]] = {}
        for timed in self.timed.values():
            for name, widths in timed.good_widths(groups).items():
                liked[name] = liked.get(name, set(widths)) & set(widths)
        return {name: tuple(sorted(widths)) for name, widths in liked.items()}


def run(job: Job, model: Understood, chosen: Selection) -> Devices:
    """The devices that the spec's targets name, each with its profile.

    Raises:
        PruneError: P0620 for a profile that is missing or is none, P0621 if it lacks operators of
            the model, P0622 if it is of something else.
    """
    named = {str(t.device): t for t in job.spec.targets if t.device is not None}
    if not named:
        return Devices()
    job.stage("reading device profiles")
    graph, axes = model.traced.graph, model.axes
    blocks = tuple(g for g in chosen.claimed if g.branches)
    units = latency.run(graph, axes, blocks)
    branches = {b.atom.id: b.branches for b in blocks}
    timed: dict[str, Timed] = {}
    texts, warnings = [], list[Diagnostic]()
    for name, target in named.items():
        assert target.device is not None
        found = _profile(job, target)
        warnings += _differences(found, target.device, graph)
        timed[name] = profile.timed(found, graph, units, target.device, branches)
        texts.append(found.model_dump_json())
    return Devices(timed, hashing.digest("\n".join(texts).encode()), tuple(warnings))


def _profile(job: Job, target: Target) -> Profile:
    """The profile that the caller gave, or that of the spec's own file for the device."""
    device = target.device
    assert device is not None
    if isinstance(job.profile, Profile):
        return job.profile
    path = job.profile or profile.default_path(job.folder, job.spec.source.name, device)
    if not path.exists():
        raise PruneError(_absent(job, path, target))
    return profile.read(path)


def _differences(found: Profile, device: Device, graph: Graph) -> tuple[Diagnostic, ...]:
    """P0622 for a profile of another question; warnings where it was measured on another machine.

    Where there is no such device, a profile may still say what a model takes on one.
    """
    if not isinstance(device, Cuda) or torch.cuda.is_available():
        return machine.differences(found.machine, machine.this(device, graph))
    asked = {"kind": "cuda", "threads": 1, "batch": device.batch}
    return machine.differences(found.machine, found.machine.model_copy(update=asked))


def _absent(job: Job, path: Path, target: Target) -> Diagnostic:
    file = job.spec.source.name if job.memory is None else "FILE"
    return Diagnostic(
        "P0620",
        f"there is no device profile: `{path}` does not exist",
        span=target.span,
        label="the latency is predicted from one",
        help=f'measure the model on this machine: `prunec profile {file} --on "{target.device}"`, '
        "or pass `profile=`",
    )
