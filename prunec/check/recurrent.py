"""Recurrence: layers and cells step by step, reading zero wherever a unit is removed.

A removed hidden unit is zero in the state that every step reads, and a removed input channel is
zero in what is multiplied; whatever the gates of a removed unit compute goes nowhere. Results keep
what is computed for removed units: the mask of the result must cover them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import linear

from prunec.check.site import Refused, Rule, Site

States: TypeAlias = tuple[Tensor, ...]
"""The state of a cell: what it hands on, and for an LSTM also its memory."""


@dataclass(frozen=True, eq=False)
class _Weights:
    """The weights of one layer in one direction; biases and a projection where it has them."""

    inputs: Tensor
    hidden: Tensor
    input_bias: Tensor | None = None
    hidden_bias: Tensor | None = None
    projection: Tensor | None = None

    def of_input(self, value: Tensor) -> Tensor:
        return linear(value, self.inputs, self.input_bias)

    def of_hidden(self, value: Tensor) -> Tensor:
        return linear(value, self.hidden, self.hidden_bias)


Masks: TypeAlias = tuple[Tensor | None, ...]
"""Per state what is kept of its last dimension; None where nothing goes."""
Step: TypeAlias = Callable[[_Weights, Masks, Tensor, States], States]


def _lstm(weights: _Weights, masks: Masks, value: Tensor, states: States) -> States:
    """c' = f c + i g, h' = o tanh(c'), projected where there is a projection (Sak et al. 2014)."""
    hidden, memory = states
    into = weights.of_input(value) + weights.of_hidden(_kept(hidden, masks[0]))
    let_in, forget, proposed, let_out = into.chunk(4, -1)
    memory = forget.sigmoid() * memory + let_in.sigmoid() * proposed.tanh()
    hidden = let_out.sigmoid() * memory.tanh()
    if weights.projection is not None:
        hidden = linear(_kept(hidden, masks[1]), weights.projection)
    return hidden, memory


def _gru(weights: _Weights, masks: Masks, value: Tensor, states: States) -> States:
    """h' = (1 - z) n + z h, where the reset gate acts on what the hidden state proposes."""
    (hidden,) = states
    reset_x, update_x, new_x = weights.of_input(value).chunk(3, -1)
    reset_h, update_h, new_h = weights.of_hidden(_kept(hidden, masks[0])).chunk(3, -1)
    update = (update_x + update_h).sigmoid()
    proposed = (new_x + (reset_x + reset_h).sigmoid() * new_h).tanh()
    return ((1 - update) * proposed + update * hidden,)


def _simple(activation: Callable[[Tensor], Tensor]) -> Step:
    """h' = activation(W x + U h)."""

    def step(weights: _Weights, masks: Masks, value: Tensor, states: States) -> States:
        read = _kept(states[0], masks[0])
        return (activation(weights.of_input(value) + weights.of_hidden(read)),)

    return step


STEPS: Mapping[str, Step] = {
    "lstm": _lstm,
    "gru": _gru,
    "rnn_tanh": _simple(torch.tanh),
    "rnn_relu": _simple(torch.relu),
}


def layers(site: Site) -> Any:
    """Layers in turn, each in one direction or both, over a whole sequence."""
    if not site.touched:
        return site.call(train=False)
    if not site.node.op.endswith(".input"):
        raise Refused("a packed sequence has pruned channels")
    _intact(site, "input", (0, 1))
    _intact(site, "hx", (0, 1))
    first = 1 if site.args["batch_first"] else 0
    value = site.filled("input", (-1,)).transpose(0, first)
    directions = 2 if site.args["bidirectional"] else 1
    starts, masks = _states(site)
    parts = _parts(site, directions * site.args["num_layers"])
    outs: list[Tensor] = []
    finals: list[States] = []
    for number in range(0, len(parts), directions):
        if number:
            value = torch.cat([_kept(out, masks[0]) for out in outs], -1)
        outs = []
        for backwards in range(directions):
            start = tuple(s[number + backwards] for s in starts)
            step = partial(STEPS[site.base], parts[number + backwards], masks)
            out, final = _along(step, value, start, backwards == 1)
            outs.append(out)
            finals.append(final)
    value = torch.cat(outs, -1)
    return (value.transpose(0, first), *map(torch.stack, zip(*finals, strict=True)))


def _along(
    step: Callable[[Tensor, States], States], value: Tensor, start: States, backwards: bool
) -> tuple[Tensor, States]:
    """What one direction of a layer gives at every step of ``value[time, samples, channels]``, and
    its last states.
    """
    states, outs = start, list[Tensor]()
    for at in range(len(value))[:: -1 if backwards else 1]:
        states = step(value[at], states)
        outs.append(states[0])
    return torch.stack(outs[:: -1 if backwards else 1]), states


def cell(site: Site) -> Any:
    """One step."""
    if not site.touched:
        return site.call()
    _intact(site, "input", (0,))
    _intact(site, "hx", (0,))
    states, masks = _states(site)
    weights = _Weights(*(site.args[name] for name in ("w_ih", "w_hh", "b_ih", "b_hh")))
    step = STEPS[site.base.removesuffix("_cell")]
    found = step(weights, masks, site.filled("input", (-1,)), states)
    return found if len(found) > 1 else found[0]


def _states(site: Site) -> tuple[States, Masks]:
    """The initial states, and what is kept of their last dimensions."""
    given, keep = site.args["hx"], site.keep.get("hx")
    if isinstance(given, Tensor):
        given, keep = [given], [keep]
    return tuple(given), tuple(k[-1] if k else None for k in keep or [None] * len(given))


def _parts(site: Site, count: int) -> list[_Weights]:
    """The weights of every layer and direction."""
    params: Sequence[Tensor] = site.args["params"]
    each = len(params) // count
    biases = 2 if site.args["has_biases"] else 0
    found = []
    for start in range(0, len(params), each):
        inputs, hidden, *rest = params[start : start + each]
        of_input, of_hidden = rest[:2] if biases else (None, None)
        projection = rest[biases] if len(rest) > biases else None
        found.append(_Weights(inputs, hidden, of_input, of_hidden, projection))
    return found


def _kept(value: Tensor, mask: Tensor | None) -> Tensor:
    return value if mask is None else torch.where(mask, value, 0.0)


def _intact(site: Site, name: str, dims: Sequence[int]) -> None:
    """Refuse if samples, steps, layers or directions are removed."""
    keep = site.keep.get(name)
    for tensor in keep if isinstance(keep, list) else [keep]:
        if tensor and any(tensor[d] is not None and not bool(tensor[d].all()) for d in dims):
            raise Refused(f"`{name}` is pruned along what is no channel")


RECURRENT: Mapping[str, Rule] = {
    **dict.fromkeys(STEPS, layers),
    **{f"{name}_cell": cell for name in STEPS},
}
"""Operator (without namespace and overload) -> its value with channels removed."""
