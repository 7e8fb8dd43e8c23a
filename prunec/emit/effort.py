"""Effort: how much of a computation fits on one line.

One idea a line: a whole expression where it is short; otherwise a line begins at a layer or a block
and takes in the norms, activations and reshapes around it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prunec.emit import schema, stores
from prunec.emit.hierarchy import Kind
from prunec.emit.recurrent import Recurrence
from prunec.emit.spellings import HEAVY
from prunec.emit.steps import Model, Step, Term
from prunec.emit.tree import Maybe, Region
from prunec.ir.graph import Dict_, Node, Ref, Sequence_, Tree

MOST = 4.5
"""How much one expression may ask of its reader; a plain call is 1."""

LENGTH = 72
"""How long an expression may become by taking in another."""


def inlined(model: Model, row: Sequence[Step], output: Tree) -> frozenset[str]:
    """Values of a forward that stand where they are read, if only the line is long enough.

    Depends on what reads what alone, not on the order of the steps: ``row`` may come in any order
    in which values are made before they are read.
    """
    return _Cuts(model, row, output).run()


class _Cuts:
    """``totals`` are what each step's whole expression comes to, if nothing in it has a name."""

    def __init__(self, model: Model, row: Sequence[Step], output: Tree) -> None:
        self.model = model
        self.row = row
        self.returned = (
            1 if isinstance(output, Dict_) else 2 if isinstance(output, Sequence_) else MOST
        )
        readers: dict[str, list[Step]] = {}
        for step in row:
            for r in step.reads:
                readers.setdefault(r.name, []).append(step)
        bases = {stores.base_of(s.act) for s in row}
        single = {
            s.results[0]: s
            for s in row
            if len(s.results) == 1 and not _is_statement(s) and s.results[0] not in bases
        }
        self.reader = {name: readers[name][0] for name in single if len(readers.get(name, ())) == 1}
        sums: dict[Step, float] = {}
        roots: dict[Step, Step] = {}
        for step in reversed(row):
            above = self.reader.get(step.results[0]) if len(step.results) == 1 else None
            root = roots[step] = step if above is None else roots[above]
            sums[root] = sums.get(root, 0) + step.effort
        self.totals = {step: sums[root] for step, root in roots.items()}

    def run(self) -> frozenset[str]:
        pending: dict[str, Term] = {}
        found: set[str] = set()
        for step in self.row:
            inner = {
                r.name: pending.pop(r.name)
                for r in step.reads
                if isinstance(r, Ref) and r.name in pending
            }
            cut = self._cut(step, inner)
            found |= cut
            if len(step.results) == 1 and step.results[0] in self.reader:
                kept = {n: t for n, t in inner.items() if n not in cut}
                pending[step.results[0]] = Term(step, kept)
        return frozenset(self.reader.keys() - found)

    def _cut(self, step: Step, inner: Mapping[str, Term]) -> set[str]:
        """The operands that get a name: as few as let the line read well, the largest first."""
        cut = {n for n, t in inner.items() if self._breaks(step, t)}
        while len(cut) < len(inner):
            kept = {n: t for n, t in inner.items() if n not in cut}
            light = len(inner) == 1 and step.effort <= 0.5
            if Term(step, kept).effort <= MOST + light:
                break
            cut |= largest(kept, len(inner))
        return cut

    def _breaks(self, step: Step, operand: Term) -> bool:
        """Whether an operand stands on a line of its own although it would fit."""
        if step.act is None and self.returned < MOST:
            return operand.effort > self.returned
        if isinstance(operand.step.act, Maybe) and step.act is not None:
            return True
        if self._list(step) is not None and self._list(step) == self._list(operand.step):
            return True
        listed = self._list(step) is not None and self._is_block(step)
        if listed and self._has_main(operand):
            return True
        if self.totals[step] <= MOST:
            return False
        if self._is_main(step) and self._has_main(operand):
            return True
        block = self._is_block(step) or self._is_block(operand.step)
        return isinstance(step.act, Region) and block and operand.effort > 1

    def _has_main(self, term: Term) -> bool:
        return self._is_main(term.step) or any(map(self._has_main, term.inner.values()))

    def _is_main(self, step: Step) -> bool:
        """Whether a step is a layer with a matrix, a block of such, or joins several values."""
        match step.act:
            case Region():
                return self._matrices(step.act) > 0
            case Node():
                return schema.base(step.act.op) in HEAVY
            case None:
                return False
            case _:
                return True

    def _is_block(self, step: Step) -> bool:
        return isinstance(step.act, Region) and self._matrices(step.act) > 1

    def _matrices(self, region: Region) -> int:
        weights = {w.name for n in region.nodes() for w in n.weight_refs()}
        return sum(self.model.program.graph.weight[w].type.rank > 1 for w in weights)

    def _list(self, step: Step) -> str | None:
        """The ``nn.ModuleList`` of which a step calls a member."""
        act = step.act
        if not isinstance(act, Region):
            return None
        above, _, name = act.path.rpartition(".")
        listed = name.isdecimal() and self.model.hierarchy.kind(above) is Kind.LIST
        return above if listed else None


def largest(operands: Mapping[str, Term], among: int) -> set[str]:
    """The operands to take out of a line first; those of many that are alike go together."""
    most = max(t.effort for t in operands.values())
    return {n for n, t in operands.items() if t.effort == most or (among > 2 and t.effort > 1)}


def _is_statement(step: Step) -> bool:
    """Whether a step has no expression for its one result."""
    unpacks = isinstance(step.act, Recurrence) and step.act.unpacks
    return unpacks or stores.base_of(step.act) is not None
