"""Groups: the axes that can lose channels, with every place that a channel occupies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from prunec.ir.axis import Atom, Axis
from prunec.ir.graph import Ref

Role = Literal["produce", "consume", "scale"]
# What a group is made of, as `prune KIND` names it; "channels" is a width that is none of the
# others.
Kind = Literal[
    "channels",
    "hidden",
    "heads",
    "kv_heads",
    "head_dim",
    "experts",
    "groups",
    "vocabulary",
    "blocks",
    "layers",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
ASKED_FOR: frozenset[Kind] = frozenset({"vocabulary", "blocks", "layers"})
"""Kinds that go only where a rule names them; `prune channels` takes all others."""
# The axes of a value: one per dimension of a tensor, a tuple of those for a tuple value, None for a
# number.
AxesOfValue: TypeAlias = "tuple[Axis, ...] | tuple[AxesOfValue, ...] | None"


@dataclass(frozen=True, slots=True)
class Frozen:
    """Why an axis cannot change: the reason in words, and the node (with its source line) that says
    so. ``alone`` where no other node or place of the model says so too.
    """

    reason: str
    node: str | None = None
    line: str | None = None
    alone: bool = True


@dataclass(frozen=True, slots=True)
class SizeOf:
    """Where an argument of a node counts channels: it equals what remains of ``axis[start:stop]``,
    plus ``offset``.

    ``path`` leads to the argument: ``(1, 2)`` is ``args[1][2]``, ``("scale",)`` a keyword.
    """

    path: tuple[int | str, ...]
    axis: Axis
    start: int = 0
    stop: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Pinned:
    """A keyword that a node must be given once ``axis`` shrinks: its default was derived from the
    dense size.
    """

    keyword: str
    value: float
    axis: Axis


@dataclass(frozen=True, slots=True)
class Unknown:
    """A node whose operator, or this use of it, is not understood: what it touches freezes."""

    node: str
    op: str
    line: str | None
    reason: str


@dataclass(frozen=True)
class Axes:
    """The solved axes of a graph.

    ``values[name]`` has one axis per dimension, or one tuple of them per item of a tuple value;
    ``None`` stands for what is no tensor. ``weights[name]`` likewise. ``sizes[node]`` are the
    arguments that must be re-computed; ``frozen[atom id]`` says why an atom stays; ``mixing[atom
    id]`` names the nodes that mix its channels (LayerNorm, softmax, mean), whose meaning on a slim
    model is "the same op on the kept slice". ``roles[(weight, dim)]`` says what a weight does with
    an axis: a convolution produces its output channels and consumes its input channels, a norm
    scales. ``pins[node]`` are keywords to make explicit. ``uses`` are axes that an operator uses as
    a structure: attention its heads and their width, a grouped convolution groups. ``unknown`` are
    the nodes that freeze all that they touch, ``probed`` those whose equations were found by
    experiment. ``least[atom id]`` is how many channels must stay. ``renumbered[input]`` is the axis
    that the integers of an input index, where they may be numbered anew.
    """

    values: Mapping[str, AxesOfValue]
    weights: Mapping[str, tuple[Axis, ...]]
    sizes: Mapping[str, tuple[SizeOf, ...]]
    frozen: Mapping[int, Frozen]
    mixing: Mapping[int, tuple[str, ...]]
    roles: Mapping[tuple[str, int], Role]
    pins: Mapping[str, tuple[Pinned, ...]] = field(default_factory=dict)
    uses: tuple[tuple[Axis, Kind], ...] = ()
    unknown: tuple[Unknown, ...] = ()
    probed: tuple[str, ...] = ()
    least: Mapping[int, int] = field(default_factory=dict)
    renumbered: Mapping[str, Axis] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """One dimension of one weight in which a group's channels lie, at the indices that ``axis``
    gives.
    """

    weight: str
    dim: int
    axis: Axis
    role: Role


@dataclass(frozen=True, slots=True)
class Branch:
    """A residual branch, ``node = skip + value``, that can go whole: then ``node`` is ``skip``.

    ``exclusive`` are the nodes that nothing but the branch needs, in order, ``value``'s among them;
    ``weights`` those that only they read. ``modules`` own the weights that the branch reads.
    """

    node: str
    skip: Ref
    value: Ref
    exclusive: tuple[str, ...]
    weights: tuple[str, ...]
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """A free atom with all its places. Removing channel k is `index_select` of every place.

    ``name`` is unique and readable (``layer1.0.conv1``, ``layer2 residual``); ``kind`` says what
    is removed. ``producers`` and ``consumers`` are module paths in graph order. ``mixing`` lists
    nodes that mix the channels: empty means that removing a channel equals zeroing it (the group is
    exact). ``least`` is the fewest channels that may stay: a variance needs two.

    A group of the kind ``blocks`` is a residual branch: of size one, without places, its one
    producer the deepest module that holds all matrices of the branch. One of the kind ``layers`` is
    all ``branches`` of its one producer, a repeated layer; what several of them share, and nothing
    else needs, counts to the first. All other groups have no branches.
    """

    name: str
    atom: Atom
    kind: Kind
    places: tuple[Place, ...]
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    mixing: tuple[str, ...] = ()
    least: int = 1
    branches: tuple[Branch, ...] = ()

    @property
    def size(self) -> int:
        return self.atom.size

    @property
    def exact(self) -> bool:
        return not self.mixing
