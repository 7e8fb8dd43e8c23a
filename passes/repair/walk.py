"""The walk that repairs share: dense and slim model side by side, node by node, over the whole
calibration set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor

from prunec.ir.axis import Mask
from prunec.ir.graph import Graph, Node, Ref
from prunec.passes.batches import Batch
from prunec.passes.execute import Steps, Tape, schedule
from prunec.passes.repair.norm import BatchNorm, along, batch_norm
from prunec.passes.shrink import Shrunk, select

PASSIVE = ("aten.dropout", "aten.dropout_", "aten.alias", "aten.clone", "aten.contiguous")
SUMS = ("aten.add.Tensor", "aten.add_.Tensor")
ROUNDING = 1e-10
"""Relative squared error below which two values are the same but for rounding in float32."""
TINY = 1e-6
"""A batch-norm factor below which nothing is corrected through it."""


class Walk:
    """Both models at one point of the graph. A repair reads values and targets and changes
    ``slim.weights``. ``dense`` are the dense model's values where they are known already.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[str, Tensor],
        shrunk: Shrunk,
        batches: Sequence[Batch],
        dense: Steps | None = None,
    ) -> None:
        self.nodes = schedule(graph)
        self.shrunk = shrunk
        self.dense: Steps = Tape(graph, weights, batches, self.nodes) if dense is None else dense
        left = [found for n in self.nodes if (found := shrunk.graph.node.get(n.name)) is not None]
        self.slim = Tape(shrunk.graph, shrunk.weights, batches, left)
        self.original = self.slim.weights | {}
        self.batches = range(len(batches))
        self.fitted: set[str] = set()
        self._readers = Counter(r.name for n in shrunk.graph.nodes for r in n.weight_refs())

    def node(self, name: str) -> Node:
        """The slim node of this name."""
        return self.shrunk.graph.node[name]

    def free(self, name: str) -> None:
        """Forget what nothing reads after this node."""
        self.dense.free(name)
        if name in self.shrunk.graph.node:
            self.slim.free(name)

    def result(self) -> dict[str, Tensor]:
        """The slim model's weights as they now stand, in their own types; the same tensors where
        unchanged.
        """
        return {
            name: old
            if (new := self.slim.weights[name]) is self.original[name]
            else new.to(old.dtype)
            for name, old in self.shrunk.weights.items()
        }

    def target(self, name: str, batch: int) -> Tensor:
        """What a slim value should be: the dense one on the kept channels, such that sums come out
        as in the dense model.

        Where the value is on its way into a residual sum whose other operand is already computed
        and already off, it has that error to make up for: the target is corrected through the
        (per-channel, linear) way there.
        """
        dense = self.select(name, batch)
        correction = self._correction(name, batch)
        return dense if correction is None else dense + correction

    def select(self, name: str, batch: int) -> Tensor:
        """The dense value on the kept channels."""
        dense: Tensor = self.dense.values[name][batch]
        kept = cast("tuple[Mask | None, ...]", self.shrunk.values[name])
        return select(dense, kept)

    def owned(self, *weights: str) -> bool:
        """Whether one node alone reads each of these weights."""
        return all(self._readers[w] == 1 for w in weights)

    def norm(self, name: str) -> BatchNorm | None:
        """The batch norm, in evaluation, that alone reads a value, with statistics of its own."""
        users = self.shrunk.graph.users[name]
        found = batch_norm(users[0]) if len(users) == 1 else None
        mine = found is not None and found.x == name and self.owned(found.mean, found.var)
        return found if mine else None

    def settled(self, name: str) -> bool:
        """Whether a slim value, as the weights now stand, meets its target but for rounding.

        Computes the value if it is not there yet.
        """
        if name not in self.slim.values:
            self.slim.compute(name)
        return all(self._close(name, k) for k in self.batches)

    def _close(self, name: str, batch: int) -> bool:
        given, wanted = self.slim.values[name][batch], self.target(name, batch)
        return bool((given - wanted).square().sum() <= ROUNDING * wanted.square().sum())

    def _correction(self, name: str, batch: int) -> Tensor | None:
        users = self.shrunk.graph.users[name]
        if len(users) != 1 or Ref(name) in self.shrunk.graph.outputs:
            return None
        user = users[0]
        if user.op in SUMS and not user.kwargs and len(user.args) == 2:
            return self._missing(user, name, batch)
        if user.op.rpartition(".")[0] in PASSIVE:
            return self._correction(user.name, batch)
        norm = self.norm(name)
        beyond = None if norm is None else self._correction(norm.node, batch)
        if norm is None or beyond is None:
            return None
        factor = norm.factor(self.original)
        return None if bool((factor.abs() < TINY).any()) else beyond / along(factor, beyond)

    def _missing(self, user: Node, name: str, batch: int) -> Tensor | None:
        """What the other operand of a sum lacks, a branch that is gone from it included."""
        dense = self.dense.graph.node[user.name].args
        pairs = [
            (slim.name, was.name)
            for slim, was in zip(user.args, dense, strict=True)
            if isinstance(slim, Ref) and isinstance(was, Ref) and slim.name != name
        ]
        if len(pairs) != 1:
            return None
        ((other, was),) = pairs
        if other not in self.slim.values or was not in self.dense.values:
            return None
        types = self.shrunk.graph.types
        if types[other] != types[name]:
            return None
        given: Tensor = self.slim.values[other][batch]
        return self.select(was, batch) - given
