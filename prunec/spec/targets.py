"""What a target cannot say: a bound from the wrong side, a device too many or none."""

from __future__ import annotations

from collections.abc import Iterator

from prunec.diagnostics import Diagnostic
from prunec.grammar import tree
from prunec.spec.metrics import METRICS, Metric

ON_DEVICE: tuple[Metric, ...] = ("latency",)
"""Metrics that depend on where the model runs."""


def misfits(target: tree.Target, metric: Metric) -> Iterator[Diagnostic]:
    """What does not fit in a target (P0215 to P0218)."""
    relation = target.relation
    if relation.text != METRICS[metric].relation:
        yield _no_floor(target) if relation.text == ">=" else _no_ceiling(target)
    if metric in ON_DEVICE and target.device is None:
        yield Diagnostic(
            "P0217",
            f"`{metric}` is measured on a device, and this target names none",
            span=target.span,
            help="add it: `on cpu(threads=1)`, or `on cuda`",
        )
    if metric not in ON_DEVICE and target.device is not None:
        yield Diagnostic(
            "P0218",
            f"`{metric}` is the same on every device",
            span=target.device.span,
            help="leave `on` out; `latency` is the metric that depends on the device",
        )


def needs_profile(keep: tree.Auto) -> Diagnostic:
    """``multiple of auto`` where no latency is bounded."""
    return Diagnostic(
        "P0219",
        "`multiple of auto` needs a device, and no target names one",
        span=keep.span,
        help="add a target such as `target latency <= 80% on cpu(threads=1)`, or write the number: "
        "`multiple of 8`",
    )


def _no_floor(target: tree.Target) -> Diagnostic:
    name = target.metric.text
    return Diagnostic(
        "P0215",
        f"`{name}` is a cost, which a target bounds from above",
        span=target.relation.span,
        help=f"write `{name} <= ...`; what must stay of each group is said by `keep >= 25%`, what "
        "must go by `target sparsity >= 40%`",
    )


def _no_ceiling(target: tree.Target) -> Diagnostic:
    return Diagnostic(
        "P0216",
        "`sparsity` is what goes, which a target bounds from below",
        span=target.relation.span,
        help="write `sparsity >= 40%`, or bound what stays: `params <= 60%`; no more goes than the "
        "targets ask for",
    )
