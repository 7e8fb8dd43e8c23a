"""Constructions: what a constructor's lines assign, with settings still as values.

Settings stay values (not text) until the end, so that classes that differ in settings alone can be
made one class whose constructor takes what differs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from prunec.emit.expr import Expr
from prunec.emit.schema import MISSING
from prunec.ir.graph import Argument, TorchName


@dataclass(frozen=True, slots=True)
class Text:
    """A fixed piece of source among settings."""

    source: Expr


@dataclass(frozen=True, slots=True)
class Hole:
    """What a constructor's parameter brings, by number; ``called``: a class, to be constructed."""

    number: int
    called: bool = False


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument: positional when ``name`` is None, left out when it is the ``default``.

    ``noun`` is what a constructor's parameter is called that passes this value on.
    """

    value: Construct | Hole | Text | Argument
    name: str | None = None
    default: Any = MISSING
    noun: str = ""


@dataclass(frozen=True, slots=True)
class Construct:
    """A call (``nn.Linear(3, 4)``), a list or dict (with ``keys``) of constructions, or a value."""

    callee: str
    args: tuple[Arg, ...] = ()
    form: Literal["call", "list", "dict", "value"] = "call"
    keys: tuple[str, ...] = field(default=())

    @property
    def is_bare(self) -> bool:
        """Whether it is a class of torch without any argument to be written (``nn.ReLU()``)."""
        plain = self.form == "call" and self.callee.startswith("nn.")
        return plain and all(same(a.value, a.default) for a in self.args)


def same(a: object, b: object) -> bool:
    """Equality that tells ``1`` from ``True`` and ``1.0``."""
    return type(a) is type(b) and a == b


def skeleton(value: object) -> object:
    """A construction without its settings."""
    match value:
        case Construct():
            args = tuple((a.name, skeleton(a.value)) for a in value.args)
            return value.callee, value.form, value.keys, args
        case Text(source=source):
            return source.text
        case _:
            return None


def token(value: object) -> object:
    """A value such that ``1``, ``True`` and ``1.0`` differ, at any depth."""
    match value:
        case Construct():
            args = tuple((a.name, token(a.value)) for a in value.args)
            return value.callee, value.form, value.keys, args
        case Text(source=source):
            return source.text
        case tuple():
            return tuple(map(token, value))
        case _:
            return type(value).__name__, value


def dtype(name: str) -> Arg:
    """The ``dtype=`` of a construction, left out where it is torch's default."""
    return Arg(TorchName(name), "dtype", TorchName("float32"), "dtype")
