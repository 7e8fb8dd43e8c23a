"""Equations of recurrent layers and cells (torch.nn.LSTM, GRU, RNN).

One width serves all layers and directions of a layer stack, as its constructor takes one
``hidden_size``: gates are a product, ``weight_ih [4*h, i]``, and what a bidirectional layer returns
is ``h + h``. With a projection the state is ``p`` wide and the cell's ``h`` (h_n and c_n of an
LSTM).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prunec.ir.axis import Axis, size
from prunec.ir.graph import Argument
from prunec.passes.axes.site import Dims, Items, Site, Unsupported, Value
from prunec.passes.axes.solver import concat, product

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
_STEP = "a recurrence runs along it"
_SEQUENCE = "each index of it is a sequence of its own"


@dataclass(frozen=True)
class _Widths:
    """The axes of a cell: what it multiplies by its gates, and the state that it hands on."""

    gates: Axis
    cell: Axis
    state: Axis


def layers(site: Site) -> Value:
    """input[t, n, i] hx[l, n, h] params -> [t, n, h + h], h_n[l, n, h] (and c_n), l being layers
    times directions.
    """
    if not site.node.op.endswith(".input"):
        raise Unsupported("it runs on a packed sequence")
    params = site.arg("params")
    directions = 2 if site.arg("bidirectional") else 1
    count = site.integer("num_layers") * directions
    if not isinstance(params, tuple) or len(params) % count or len(site.dims("input")) != 3:
        raise Unsupported("its weights do not fit its layers")
    each = len(params) // count
    biases = 2 if site.arg("has_biases") else 0
    if each - biases not in (2, 3):
        raise Unsupported("its weights do not fit its layers")
    first, second, reads = site.dims("input")
    time, batch = (second, first) if site.arg("batch_first") else (first, second)
    site.freeze(time, _STEP)
    site.freeze(batch, _SEQUENCE)
    widths = _widths(site, params[1], params[each - 1] if each - biases == 3 else None)
    for at in range(0, len(params), each):
        if at and at % (each * directions) == 0:
            reads = concat([widths.state] * directions)
        _cell(site, params[at : at + 2 + biases], reads, widths)
        if each - biases == 3:
            _projection(site, params[at + each - 1], widths)
    states = [_state(site, hx, count, batch, wide) for hx, wide in _given(site, widths)]
    result = (first, second, concat([widths.state] * directions))
    return Items([result, *states])


def cell(site: Site) -> Value:
    """input[n, i] hx[n, h] -> hx; an LSTM's states are two."""
    batch, reads = _rank(site.dims("input"), 2)
    site.freeze(batch, _SEQUENCE)
    weights = tuple(site.arg(name) for name in ("w_ih", "w_hh", "b_ih", "b_hh"))
    widths = _widths(site, weights[1], None)
    _cell(site, [w for w in weights if w is not None], reads, widths)
    states = [_state(site, hx, None, batch, wide) for hx, wide in _given(site, widths)]
    return Items(states) if len(states) > 1 else states[0]


def _widths(site: Site, recurrent: Argument, projection: Argument) -> _Widths:
    count = GATES[site.base.removesuffix("_cell")]
    rows, columns = _rank(site.dims_of(recurrent), 2)
    wide = site.solver.fresh(size(rows) // count)
    gates = site.fixed(count, "each index of it is a gate")
    if projection is None:
        return _Widths(gates, wide, wide)
    # torch tells a projection by its width: it must stay narrower than the cell.
    site.at_least(wide, size(columns) + 1)
    return _Widths(gates, wide, site.solver.fresh(size(columns)))


def _cell(site: Site, weights: Sequence[Argument], reads: Axis, widths: _Widths) -> None:
    """weight_ih[g*h, i] weight_hh[g*h, s] bias_ih[g*h] bias_hh[g*h]."""
    for weight, columns in zip(weights, ((reads,), (widths.state,), (), ()), strict=False):
        rows, *others = _rank(site.dims_of(weight), 1 + len(columns))
        site.unify(rows, product([widths.gates, widths.cell]))
        site.role(weight, 0, "produce")
        for axis, column in zip(others, columns, strict=True):
            site.unify(axis, column)
            site.role(weight, 1, "consume")


def _projection(site: Site, weight: Argument, widths: _Widths) -> None:
    """weight_hr[s, h]."""
    rows, columns = _rank(site.dims_of(weight), 2)
    site.unify(rows, widths.state)
    site.unify(columns, widths.cell)
    site.role(weight, 0, "produce")
    site.role(weight, 1, "consume")


def _given(site: Site, widths: _Widths) -> list[tuple[Argument, Axis]]:
    """The initial states with their widths."""
    given = site.arg("hx")
    if not isinstance(given, tuple):
        return [(given, widths.state)]
    return list(zip(given, (widths.state, widths.cell), strict=True))


def _state(site: Site, given: Argument, count: int | None, batch: Axis, wide: Axis) -> Dims:
    """A state, initial and final, with one index a layer and direction unless it is a cell's."""
    *stacked, samples, columns = _rank(site.dims_of(given), 2 if count is None else 3)
    for axis in stacked:
        site.freeze(axis, "each index of it is a layer or direction")
    site.unify(samples, batch)
    site.unify(columns, wide)
    return (*stacked, batch, wide)


def _rank(dims: Dims | None, rank: int) -> Dims:
    if dims is None or len(dims) != rank:
        raise Unsupported(f"an operand is no tensor of rank {rank}")
    return dims


RECURRENT: dict[str, Callable[[Site], Value]] = {
    **dict.fromkeys(GATES, layers),
    **{f"{name}_cell": cell for name in GATES},
}
