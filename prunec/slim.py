"""Slimming: what a plan describes as a smaller graph, as source and as the module built from it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from prunec import artifact, emit
from prunec.formats import Slim
from prunec.ir import verify
from prunec.passes import shrink
from prunec.passes.shrink import Shrunk
from prunec.planning import Planned


def shrunk(planned: Planned) -> Shrunk:
    """The smaller graph, verified, with the kept values of the dense weights."""
    model = planned.model
    groups = (*model.groups, *model.blocks, *model.layers)
    found = shrink.run(model.traced.graph, model.traced.weights, model.axes, groups, planned.plan)
    verify.run(found.graph)
    return found


def run(planned: Planned, found: Shrunk, weights: Mapping[str, Tensor]) -> Slim:
    """The smaller graph as source, and as a module in eval mode that holds ``weights``."""
    subject = planned.model.subject
    name = artifact.class_name(planned.job, subject)
    header = artifact.header(planned.job, planned.renumbered)
    source = emit.run(found.graph, class_name=name, header=header, weights=weights)
    module = emit.load(source, weights, name)
    given = (subject.module, subject.args, subject.kwargs)
    return Slim(name, source, module, found.graph, weights, *given, planned.renumbered)
