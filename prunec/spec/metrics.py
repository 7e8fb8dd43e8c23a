"""The metrics that a target bounds: what each counts, in which units, and from which side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from prunec.spec.values import BYTES, COUNTS, TIMES

Metric: TypeAlias = Literal[
    "macs", "params", "weights", "activations", "memory", "channels", "sparsity", "latency"
]
Relation: TypeAlias = Literal["<=", ">="]
Quantity: TypeAlias = Literal["count", "bytes", "time", "share"]

QUANTITIES: Mapping[Quantity, Mapping[str, int]] = {
    "count": COUNTS,
    "bytes": BYTES,
    "time": TIMES,
    "share": {},
}
"""The units of an absolute amount, and how much one of each is: ones, bytes or nanoseconds. A
share, in percent, is always possible.
"""


@dataclass(frozen=True, slots=True)
class About:
    """What a metric counts, and the side from which a target bounds it."""

    quantity: Quantity
    meaning: str
    relation: Relation = "<="

    @property
    def units(self) -> tuple[str, ...]:
        """The units that an amount may have, ``""`` for none."""
        return (*QUANTITIES[self.quantity], "%")


METRICS: Mapping[Metric, About] = {
    "macs": About("count", "multiply-adds of one sample"),
    "params": About("count", "parameters"),
    "weights": About("bytes", "bytes of the weights file"),
    "activations": About("bytes", "most bytes of values alive at once in one forward"),
    "memory": About("bytes", "`weights` and `activations` together"),
    "channels": About("count", "channels that stay, over all groups that may lose some"),
    "sparsity": About("share", "share of the parameters that goes", ">="),
    "latency": About("time", "time of one forward on a device"),
}
