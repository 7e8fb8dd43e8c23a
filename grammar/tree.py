"""The syntax tree of a `.prune` file, as it was written: nothing is looked up, nothing has a
default yet.

Every node knows its span. Spans do not count in comparisons: two texts with equal trees say the
same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from prunec.diagnostics import Span


@dataclass(frozen=True, slots=True)
class _Node:
    span: Span = field(compare=False, repr=False)


# --- Words and values ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Name(_Node):
    """A word."""

    text: str


@dataclass(frozen=True, slots=True)
class Number(_Node):
    """A number with its unit (``""`` without); ``whole`` if written without point and exponent."""

    value: Decimal
    whole: bool
    unit: str


@dataclass(frozen=True, slots=True)
class String(_Node):
    """A string, escapes resolved."""

    value: str


@dataclass(frozen=True, slots=True)
class Constant(_Node):
    """``true``, ``false`` or ``none``."""

    value: bool | None


@dataclass(frozen=True, slots=True)
class Array(_Node):
    """``[a, b]``."""

    items: tuple[Value, ...]


Value: TypeAlias = Number | String | Constant | Array


@dataclass(frozen=True, slots=True)
class Argument(_Node):
    """``name=value``, or a bare value."""

    name: Name | None
    value: Value


@dataclass(frozen=True, slots=True)
class Call(_Node):
    """A method of prunec, ``dp(bins=10_000)``; the parentheses may be left out."""

    name: Name
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Factory(_Node):
    """What the user's own code makes: ``target`` is ``zoo.cifar:resnet56``."""

    target: str
    arguments: tuple[Argument, ...] = ()


# --- Selectors -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Glob(_Node):
    """Modules by path."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Kind(_Node):
    """Modules by the name of their class."""

    name: str


@dataclass(frozen=True, slots=True)
class Not(_Node):
    """Modules that a selector does not choose."""

    operand: Selector


@dataclass(frozen=True, slots=True)
class And(_Node):
    """Modules that all of the selectors choose."""

    operands: tuple[Selector, ...]


@dataclass(frozen=True, slots=True)
class Or(_Node):
    """Modules that any of the selectors chooses; ``a or b``, and also the list ``a, b``."""

    operands: tuple[Selector, ...]


Selector: TypeAlias = Glob | Kind | Not | And | Or


# --- Statements ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Weights(_Node):
    """``weights "resnet56.safetensors"``."""

    path: String


@dataclass(frozen=True, slots=True)
class Input(_Node):
    """``input x: float32[N, 3, 32, 32]``."""

    name: Name
    dtype: Name
    dims: tuple[Number | Name, ...]


@dataclass(frozen=True, slots=True)
class Part(_Node):
    """``part "backbone"``."""

    path: String


@dataclass(frozen=True, slots=True)
class Model(_Node):
    """``model zoo.cifar:resnet56 { ... }``; ``factory`` None: ``model { ... }``, the caller's
    own.
    """

    factory: Factory | None
    entries: tuple[Weights | Input | Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Data(_Node):
    """``data calibrate = zoo.cifar:batches(split="train")``."""

    name: Name
    factory: Factory


@dataclass(frozen=True, slots=True)
class Within(_Node):
    """``in "layer3.*", type Conv2d``: a list is an `Or`."""

    selector: Selector


@dataclass(frozen=True, slots=True)
class Relation(_Node):
    """``<=`` or ``>=``."""

    text: str


@dataclass(frozen=True, slots=True)
class Device(_Node):
    """``on cpu(threads=1)``."""

    call: Call


@dataclass(frozen=True, slots=True)
class Target(_Node):
    """``target latency <= 5ms in "layer3.*" on cpu``; `in` and `on` in any order."""

    metric: Name
    relation: Relation
    bound: Number
    within: Within | None = None
    device: Device | None = None


@dataclass(frozen=True, slots=True)
class Score(_Node):
    """``score taylor(batches=8)``."""

    call: Call


@dataclass(frozen=True, slots=True)
class Auto(_Node):
    """``auto``: the device profile says."""


@dataclass(frozen=True, slots=True)
class Keep(_Node):
    """``keep >= 25%, multiple of 8``; at least one of the two is there."""

    least: Number | None
    multiple: Number | Auto | None


@dataclass(frozen=True, slots=True)
class Prune(_Node):
    """``prune channels { ... }``."""

    kind: Name
    entries: tuple[Within | Score | Keep, ...] = ()


Entry: TypeAlias = Weights | Input | Part | Within | Score | Keep


@dataclass(frozen=True, slots=True)
class Freeze(_Node):
    """``freeze "conv1"``, ``freeze inputs of "linear"``."""

    inputs: bool
    selector: Selector


@dataclass(frozen=True, slots=True)
class Solve(_Node):
    """``solve dp``."""

    call: Call


@dataclass(frozen=True, slots=True)
class Repair(_Node):
    """``repair least_squares, batchnorm``."""

    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Emit(_Node):
    """``emit SlimResNet56 to "build/" with onnx``."""

    name: Name
    folder: String | None = None
    formats: tuple[Call, ...] = ()


Statement: TypeAlias = Model | Data | Target | Prune | Freeze | Solve | Repair | Emit


@dataclass(frozen=True, slots=True)
class File(_Node):
    """All statements, in order."""

    statements: tuple[Statement, ...]
