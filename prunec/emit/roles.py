"""Roles: what a value is for, told by the operators that it comes from and goes to.

Modules do not matter here, so a value has one role wherever it is passed: ``q``, ``k``, ``v``,
``attn``, ``mask`` and ``bias`` of attention, ``cos`` and ``sin`` of rotary angles, ``positions``.
"""

from __future__ import annotations

from collections.abc import Iterator

from prunec.emit import hints, schema
from prunec.emit.simplify import Program
from prunec.ir.graph import Node, Ref, TensorType, WeightRef

FAR = 12
"""How many operators away a role is looked for."""

COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})
MASKING = frozenset({"masked_fill", "where", "dropout", "to", "_to_copy", "type_as", "tanh"})


class Roles:
    """The roles of the values of one program."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._readers: dict[str, list[Node]] = {}
        for node in program.nodes:
            for r in program.reads(node):
                self._readers.setdefault(r.name, []).append(node)
        self._found: dict[str, str | None] = {}

    def __call__(self, value: str) -> str | None:
        """The role of a value, if any."""
        if value not in self._found:
            self._found[value] = self._in_attention(value) or self._plain(value)
        return self._found[value]

    def _plain(self, value: str) -> str | None:
        """The name of a value that is no feature map: a mask, positions, rotary angles."""
        type_ = self._program.types[value]
        if not isinstance(type_, TensorType):
            return "n"
        if type_.dtype == "bool":
            return "mask"
        known = ("cos", "sin") if "float" in type_.dtype else ("positions",)
        for made in self._sources(value):
            found = hints.OPERATORS.get(schema.base(made.op))
            if found in known:
                return self._side(value, made) if found == "positions" else found
        return None if "float" in type_.dtype else self._index(value)

    def _index(self, value: str) -> str:
        made = self._program.node.get(value)
        if made is not None and schema.base(made.op) == "sub":
            roles = {self(r.name) for r in self._program.reads(made) if isinstance(r, Ref)}
            if roles <= {"positions", "rows", "columns"} and len(roles) > 0:
                return "distance"
        return "index"

    def _side(self, value: str, start: Node) -> str:
        """Positions that are compared with each other go along rows and columns."""
        if self._counts_batch(start):
            return "batch"
        made = self._program.node[value]
        readers = self._readers.get(value, ())
        if schema.base(made.op) == "unsqueeze" and any(
            schema.base(n.op) in COMPARISONS for n in readers
        ):
            type_ = self._program.types[value]
            assert isinstance(type_, TensorType)
            last = made.args[1] in (-1, type_.rank - 1)
            return "rows" if last else "columns"
        return "positions"

    def _counts_batch(self, node: Node) -> bool:
        """Whether an ``arange`` is as long as the model's inputs are many."""
        inputs = self._program.graph.inputs
        sizes = self._program.sizes(node)
        if not inputs or len(sizes) != 1 or not inputs[0].type.symbols:
            return False
        return self._program.symbols(sizes[0]) == (inputs[0].type.symbols[0],)

    def _sources(self, value: str) -> Iterator[Node]:
        """The operators that a value comes from, through those that only move or scale it."""
        made = self._program.node.get(value)
        while made is not None:
            yield made
            source = made.args[0] if made.args else None
            known = schema.base(made.op) in hints.TRANSPARENT and isinstance(source, Ref)
            made = self._program.node.get(source.name) if known and source else None  # type: ignore[union-attr]

    def _in_attention(self, value: str) -> str | None:
        """What attention calls a value, also before it is moved around."""
        for _ in range(FAR):
            readers = self._readers.get(value, ())
            if not readers:
                return None
            node = readers[0]
            base = schema.base(node.op)
            if base == "scaled_dot_product_attention":
                return self._in_fused(value, node)
            if base in ("matmul", "bmm"):
                return self._in_product(value, node)
            if base == "softmax":
                return "attn" if self._is_scores(value) else None
            if base == "where":
                return self._chosen(value, node)
            if base == "add" and self._is_beside_scores(value, node):
                return self._bias(value)
            moved = base in hints.TRANSPARENT or (base in MASKING and self._is_scores(value))
            if not moved or self._program.parts.get(node.name) is not None:
                return None
            if node.args[0] != Ref(value):
                return None
            value = node.name
        return None

    def _in_fused(self, value: str, node: Node) -> str | None:
        roles = dict(zip(node.args, ("q", "k", "v", "mask"), strict=False))
        bound = schema.bind(node)
        role = "mask" if bound.get("attn_mask") == Ref(value) else roles.get(Ref(value))
        return self._bias(value) if role == "mask" else role

    def _in_product(self, value: str, node: Node) -> str | None:
        """Attention written out: ``softmax(q @ k) @ v``."""
        left, right = node.args
        if self._comes_from_softmax(left):
            return "v" if right == Ref(value) else "attn"
        if not self._reaches_softmax(node.name):
            return None
        return "q" if left == Ref(value) else "k"

    def _bias(self, value: str) -> str:
        """A mask that is learnt is a bias."""
        type_ = self._program.types[value]
        floating = isinstance(type_, TensorType) and "float" in type_.dtype
        return "bias" if floating and self._is_learnt(value) else "mask"

    def _is_learnt(self, value: str) -> bool:
        for _ in range(FAR):
            made = self._program.node.get(value)
            reads = () if made is None else self._program.reads(made)
            for r in reads:
                if isinstance(r, WeightRef):
                    return self._program.graph.weight[r.name].kind == "parameter"
            refs = [r for r in reads if isinstance(r, Ref)]
            if not refs or (made is not None and schema.base(made.op) == "where"):
                return False
            value = refs[0].name
        return False

    def _chosen(self, value: str, node: Node) -> str | None:
        """A bias that a mask lets through, or scores that it does."""
        role = self._in_attention(node.name)
        if role == "attn":
            return role if self._is_scores(value) else None
        type_ = self._program.types[value]
        whole = isinstance(type_, TensorType) and "float" in type_.dtype and type_.rank > 0
        return "bias" if whole and role in ("mask", "bias") else None

    def _is_beside_scores(self, value: str, node: Node) -> bool:
        """Whether a value is added to scores."""
        others = [r.name for r in self._program.reads(node) if r != Ref(value)]
        return any(map(self._is_scores, others)) and self._reaches_softmax(node.name)

    def _is_scores(self, value: str) -> bool:
        """Whether a value is a product of matrices, scaled and masked."""
        for _ in range(FAR):
            made = self._program.node.get(value)
            if made is None:
                return False
            base = schema.base(made.op)
            if base in ("matmul", "bmm"):
                return True
            known = hints.TRANSPARENT | hints.ARITHMETIC | MASKING
            reads = [r for r in self._program.reads(made) if isinstance(r, Ref)]
            if base not in known or not reads:
                return False
            value = reads[1 if base == "where" and len(reads) > 1 else 0].name
        return False

    def _reaches_softmax(self, value: str) -> bool:
        for _ in range(FAR):
            readers = self._readers.get(value, ())
            if len(readers) != 1 or self._program.parts.get(readers[0].name) is not None:
                return False
            base = schema.base(readers[0].op)
            if base == "softmax":
                return True
            if base not in hints.TRANSPARENT | hints.ARITHMETIC | MASKING:
                return False
            value = readers[0].name
        return False

    def _comes_from_softmax(self, argument: object) -> bool:
        while isinstance(argument, Ref):
            made = self._program.node.get(argument.name)
            if made is None:
                return False
            if schema.base(made.op) == "softmax":
                return True
            if schema.base(made.op) not in hints.TRANSPARENT | {"to", "_to_copy", "type_as"}:
                return False
            argument = made.args[0]
        return False
