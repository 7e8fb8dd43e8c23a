"""Understanding: a model's graph, axes and groups, without data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from prunec import trace
from prunec.diagnostics import Diagnostic
from prunec.ir.group import Axes, Group
from prunec.passes import axes, blocks, group, layers
from prunec.prepare import Stage, Subject, quiet
from prunec.report import analysis
from prunec.report.analysis import Analysis
from prunec.trace import Traced


@dataclass(frozen=True, eq=False)
class Understood:
    """A model and all that is known of it: ``groups`` of channels, and ``blocks`` and
    ``layers`` that can go whole.
    """

    subject: Subject
    traced: Traced
    axes: Axes
    groups: tuple[Group, ...]
    blocks: tuple[Group, ...] = ()
    layers: tuple[Group, ...] = ()

    @property
    def notes(self) -> tuple[Diagnostic, ...]:
        """What the user should know of how the model was taken and traced."""
        return (*self.subject.notes, *self.traced.notes)

    @cached_property
    def analysis(self) -> Analysis:
        return analysis.run(self.traced.graph, self.axes, self.groups, self.blocks, self.layers)


def run(subject: Subject, stage: Stage = quiet, *, renumber: bool = False) -> Understood:
    """Trace a model, solve its axes and find its groups; with ``renumber`` also its vocabulary."""
    stage("tracing")
    traced = trace.run(subject.module, subject.args, subject.kwargs, dynamic=subject.dynamic)
    stage("solving axes")
    solved = axes.run(traced.graph, renumber=renumber)
    found = group.run(traced.graph, solved)
    branches = blocks.run(traced.graph, solved)
    repeated = layers.run(traced.graph, solved, branches)
    return Understood(subject, traced, solved, found, branches, repeated)
