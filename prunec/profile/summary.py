"""What a profile says of itself: how much was measured, and how surely."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prunec.diagnostics import Diagnostic
from prunec.profile.store import Model, Profile

NOISY = 0.1
"""Interquartile ranges above this share of the times are worth a warning."""


@dataclass(frozen=True)
class Summary:
    """A profile in a few figures; ``noise`` is the interquartile range of whole forwards relative
    to their time, in the middle; ``dense`` the nanoseconds of a dense one.
    """

    path: Path
    device: str
    operators: int
    points: int
    noise: float
    dense: int

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """A warning where the machine was busy."""
        if self.noise <= NOISY:
            return ()
        return (
            Diagnostic(
                "P0626",
                f"the machine was busy: half of the forwards differ by {self.noise:.0%} or more",
                severity="warning",
                help="measure on a quiet machine: `prunec profile FILE --again`",
            ),
        )

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        return {
            "path": str(self.path),
            "device": self.device,
            "operators": self.operators,
            "points": self.points,
            "noise": round(self.noise, 4),
            "dense_ns": self.dense,
        }


def of(profile: Profile, key: str, path: Path) -> Summary:
    """The figures of a profile, for one of its models."""
    known: Model = profile.models[key]
    machine = profile.machine
    threads = f", threads={machine.threads}" if machine.kind == "cpu" else ""
    return Summary(
        path=path,
        device=f"{machine.name}{threads}, batch={machine.batch}, torch {machine.torch}",
        operators=len(profile.units),
        points=sum(len(u.points) for u in profile.units.values()),
        noise=float(np.median([w.spread / max(1, w.ns) for w in known.whole])),
        dense=known.whole[0].ns,
    )
