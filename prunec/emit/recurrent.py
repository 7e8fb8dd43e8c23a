"""Recurrent modules: ``x, (h, c) = self.lstm(x, (h, c))``, one operator that gives several values.

The call of a torch.nn module is an operator, and the zeros that the module starts from where it is
given no state. `of` reads such a call; `build` says how the module is constructed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prunec.emit import expr, schema
from prunec.emit.construct import Construct
from prunec.emit.constructors import Seen, setting
from prunec.emit.expr import Expr
from prunec.emit.hierarchy import join
from prunec.emit.tree import Region
from prunec.ir.graph import Argument, Graph, Module, Node, Ref, WeightRef, references

OPERATORS: Mapping[str, tuple[str, ...]] = {
    "LSTM": ("lstm",),
    "GRU": ("gru",),
    "RNN": ("rnn_tanh", "rnn_relu"),
    "LSTMCell": ("lstm_cell",),
    "GRUCell": ("gru_cell",),
    "RNNCell": ("rnn_tanh_cell", "rnn_relu_cell"),
}
"""torch.nn classes of recurrent layers and cells, with the operators that they can be."""

GATES: Mapping[str, int] = {"LSTM": 4, "GRU": 3, "RNN": 1}
PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@dataclass(frozen=True, eq=False)
class Recurrence:
    """A call: its one operator, what it reads, and the state that it is given (none: zeros)."""

    region: Region
    node: Node
    source: Ref | WeightRef
    state: tuple[Ref | WeightRef, ...]

    @property
    def reads(self) -> tuple[Ref | WeightRef, ...]:
        """The arguments of the call, in order, repeats included."""
        return (self.source, *self.state)

    @property
    def nested(self) -> bool:
        """Whether the states of a layer come and go as a pair (LSTM)."""
        return isinstance(schema.bind(self.node)["hx"], tuple)

    @property
    def has_sequence(self) -> bool:
        """Whether there is a sequence beside the states; a cell has none."""
        return not schema.base(self.node.op).endswith("_cell")

    @property
    def unpacks(self) -> bool:
        """Whether the call gives several values."""
        return isinstance(self.node.type, tuple)


def find(cls: str) -> str | None:
    """The name of a recurrent class of torch's own."""
    name = cls.rsplit(".", 1)[-1]
    return name if cls.startswith("torch.nn.modules.rnn.") and name in OPERATORS else None


def of(region: Region) -> Recurrence | None:
    """A region as the call of a recurrent module; None where it is none."""
    name = find(region.call.cls)
    nodes = tuple(region.nodes())
    found = [n for n in nodes if name and schema.base(n.op) in OPERATORS[name]]
    if len(found) != 1 or found[0].op.endswith(".data"):
        return None
    bound = schema.bind(found[0])
    source, state = bound["input"], tuple(_references(bound["hx"]))
    begun = {n.name for n in nodes if schema.base(n.op) == "zeros"}
    if len(begun) + 1 != len(nodes) or not isinstance(source, Ref | WeightRef):
        return None
    own = [s.name in begun for s in state]
    if all(own):
        return Recurrence(region, found[0], source, ())
    return None if any(own) or begun else Recurrence(region, found[0], source, state)


def is_own(graph: Graph, module: Module, region: Region) -> bool:
    """Whether a call does what its module does, with its weights and settings."""
    call = of(region)
    if call is None:
        return False
    bound, config = schema.bind(call.node), dict(module.config)
    names = tuple(_names(module))
    params = bound.get("params", tuple(bound.get(n) for n in ("w_ih", "w_hh", "b_ih", "b_hh")))
    given = tuple(references(params, WeightRef))
    if not _fits(graph, module, names, given):
        return False
    kind = config.get("nonlinearity", "tanh")
    if find(module.cls) in ("RNN", "RNNCell") and f"rnn_{kind}" not in call.node.op:
        return False
    return all(
        bound[key] == config.get(key)
        for key in ("num_layers", "bidirectional", "batch_first", "dropout")
        if key in bound
    ) and isinstance(bound.get("has_biases", True), bool)


def is_whole(module: Module) -> bool:
    """Whether a module holds what its class makes and nothing else."""
    return module.weights == tuple(_names(module)) and not module.children


def build(name: str, seen: Seen) -> Construct:
    """The construction; sizes come from the weights, the rest from the original's settings."""
    suffix = "" if name.endswith("Cell") else "_l0"
    rows, inputs = seen.weights[f"weight_ih{suffix}"].shape
    hidden = rows // GATES[name.removesuffix("Cell")]
    projection = seen.weights.get("weight_hr_l0")
    args = [
        setting(inputs, "input_size"),
        setting(hidden, "hidden_size"),
        *(
            setting(seen.config[key], key, default)
            for key, default in _SETTINGS
            if key in seen.config
        ),
    ]
    if projection is not None:
        args.append(setting(projection.shape[0], "proj_size", 0))
    return Construct(f"nn.{name}", (*args, seen.dtype))


_SETTINGS: Sequence[tuple[str, Argument]] = (
    ("num_layers", 1),
    ("nonlinearity", "tanh"),
    ("bias", True),
    ("batch_first", False),
    ("dropout", 0.0),
    ("bidirectional", False),
)


def arguments(shown: Sequence[Expr]) -> list[Expr]:
    """``x``, ``x, h`` or ``x, (h, c)``."""
    source, *state = shown
    return [source, expr.display(state, "()")] if len(state) > 1 else [source, *state]


def targets(call: Recurrence, names: Sequence[str]) -> str:
    """``x, (h, c)`` of an LSTM's three names; of a layer without a pair, or of a cell, as they are.

    A pair of which nothing is read is ``_``.
    """
    if not call.nested or not call.has_sequence:
        return ", ".join(names)
    out, *state = names
    return f"{out}, _" if set(state) == {"_"} else f"{out}, ({', '.join(state)})"


def wanted(
    call: Recurrence, parts: Sequence[str | None]
) -> Iterator[tuple[str | None, str | None]]:
    """Every result with the name that a state has by custom; None for a sequence."""
    states = ("h", "c")[: len(parts) - call.has_sequence]
    yield from zip(parts, (*([None] * call.has_sequence), *states), strict=True)


def _names(module: Module) -> Iterator[str]:
    """The weights of a module, in the order in which its operator takes them."""
    config = dict(module.config)
    kept = PARAMETERS if config.get("bias", True) else PARAMETERS[:2]
    if str(find(module.cls)).endswith("Cell"):
        yield from kept
        return
    layers = config.get("num_layers", 1)
    assert isinstance(layers, int)
    for layer in range(layers):
        for suffix in ("", "_reverse") if config.get("bidirectional") else ("",):
            projected = ("weight_hr",) if config.get("proj_size") else ()
            yield from (f"{name}_l{layer}{suffix}" for name in (*kept, *projected))


def _fits(graph: Graph, module: Module, names: Sequence[str], given: Sequence[WeightRef]) -> bool:
    if len(names) != len(given):
        return False
    for name, ref in zip(names, given, strict=True):
        weight = graph.weight[ref.name]
        if join(module.path, name) not in (weight.name, *weight.ties):
            return False
    return True


def _references(argument: Argument) -> Iterator[Ref | WeightRef]:
    if isinstance(argument, tuple):
        for item in argument:
            yield from _references(item)
    elif isinstance(argument, Ref | WeightRef):
        yield argument
