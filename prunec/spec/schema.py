"""The spec: what a `.prune` file says, checked, with every default in its place."""

from __future__ import annotations

from decimal import Decimal
from math import ceil, floor
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from prunec.diagnostics import Source
from prunec.grammar.tree import Selector
from prunec.ir.group import ASKED_FOR, Kind
from prunec.spec.methods import (
    DEFAULT_REPAIR,
    DEFAULT_SCORE,
    DEFAULT_SOLVER,
    Format,
    Random,
    Repair,
    Score,
    Solver,
)
from prunec.spec.node import Node
from prunec.spec.selector import text
from prunec.spec.values import Plain

Metric: TypeAlias = Literal["macs", "params"]
Side: TypeAlias = Literal["outputs", "inputs"]
DataName: TypeAlias = Literal["calibrate", "evaluate"]


class Count(Node):
    """An absolute amount."""

    value: int = Field(ge=0)

    def at_most(self, whole: int) -> int:
        """The amount, whatever the whole is."""
        return self.value

    def at_least(self, whole: int) -> int:
        """The amount, but not more than the whole."""
        return min(self.value, whole)

    def as_json(self) -> int:
        return self.value

    def __str__(self) -> str:
        for unit, scale in (("G", 10**9), ("M", 10**6), ("K", 10**3)):
            if self.value >= scale and self.value % scale == 0:
                return f"{self.value // scale}{unit}"
        return f"{self.value:_}"


class Share(Node):
    """A share of a whole, in exact percent."""

    percent: Decimal = Field(gt=0, le=100)

    def at_most(self, whole: int) -> int:
        """The largest integer that is no more than the share."""
        return floor(self.percent * whole / 100)

    def at_least(self, whole: int) -> int:
        """The smallest integer that is no less than the share."""
        return ceil(self.percent * whole / 100)

    def as_json(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{self.percent.normalize():f}%"


Amount: TypeAlias = Count | Share


class Factory(Node):
    """What the user's own code makes: ``target`` is ``module:name``, called with ``kwargs``."""

    target: str
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments as Python values."""
        return {name: _thaw(value) for name, value in self.arguments}

    def as_dict(self) -> dict[str, Any]:
        return {"factory": self.target, "arguments": self.kwargs}


class WeightsFile(Node):
    """A safetensors file, its path relative to the folder of the spec."""

    path: str


class Input(Node):
    """One input of the model; a dimension that is a name may change from call to call."""

    name: str
    dtype: str
    dims: tuple[Annotated[int, Field(ge=1)] | str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "dims": list(self.dims)}


class Model(Node):
    """The model that is pruned."""

    factory: Factory
    weights: WeightsFile | None = None
    inputs: tuple[Input, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.factory.as_dict(),
            "weights": self.weights and self.weights.path,
            "inputs": [i.as_dict() for i in self.inputs],
        }


class Part(Node):
    """The submodule that is compiled in place of the whole model, by its path."""

    path: str


class Data(Node):
    """Batches to calibrate with, or to evaluate on."""

    name: DataName
    factory: Factory


class Target(Node):
    """A hard upper bound on a cost, of the whole model or (``selector``) of some modules."""

    metric: Metric
    amount: Amount
    selector: Selector | None = None

    def bound(self, dense: int) -> int:
        """The bound in units of the metric, given what the dense model costs."""
        return self.amount.at_most(dense)

    def as_dict(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "bound": self.amount.as_json(),
            "in": _text(self.selector),
        }

    def __str__(self) -> str:
        where = "" if self.selector is None else f" in {text(self.selector)}"
        return f"{self.metric} <= {self.amount}{where}"


class Prune(Node):
    """What may be removed, and how little of it may stay. ``kind`` "channels" is every width,
    ``selector`` None is everywhere, ``score`` None the default.
    """

    kind: Kind = "channels"
    selector: Selector | None = None
    score: Score | None = None
    keep_at_least: Amount | None = None
    multiple_of: int = Field(default=1, ge=1)

    @property
    def chosen_score(self) -> Score:
        """The score, given or default."""
        return DEFAULT_SCORE if self.score is None else self.score

    def covers(self, kind: Kind) -> bool:
        """Whether the rule is about groups of a kind."""
        return kind not in ASKED_FOR if self.kind == "channels" else kind == self.kind

    def least(self, size: int) -> int:
        """The smallest width that ``keep`` allows a group of a size; at least one."""
        return 1 if self.keep_at_least is None else max(1, self.keep_at_least.at_least(size))

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "in": _text(self.selector),
            "score": self.chosen_score.as_dict(),
            "keep": self.keep_at_least and self.keep_at_least.as_json(),
            "multiple_of": self.multiple_of,
        }


class Freeze(Node):
    """Modules whose output channels, or input channels, stay as they are."""

    selector: Selector
    side: Side = "outputs"

    def as_dict(self) -> dict[str, Any]:
        return {"side": self.side, "in": text(self.selector)}


class Emit(Node):
    """The class that is written, the folder, and the formats beside the source; ``out`` None:
    nothing is written.
    """

    name: str
    out: str | None = None
    formats: tuple[Format, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "out": self.out,
            "formats": [f.as_dict() for f in self.formats],
        }


class Spec(Node):
    """A whole spec. ``model`` None: the caller brings one; ``part`` None: all of it is compiled."""

    source: Source = Field(exclude=True, repr=False)
    model: Model | None = None
    part: Part | None = None
    data: tuple[Data, ...] = ()
    targets: tuple[Target, ...] = Field(min_length=1)
    prunes: tuple[Prune, ...] = Field(default=(Prune(),), min_length=1)
    freezes: tuple[Freeze, ...] = ()
    solve: Solver = DEFAULT_SOLVER
    repair: tuple[Repair, ...] = DEFAULT_REPAIR
    emit: Emit | None = None

    @property
    def calibrate(self) -> Data | None:
        """The data to calibrate with."""
        return next((d for d in self.data if d.name == "calibrate"), None)

    @property
    def evaluate(self) -> Data | None:
        """The data to evaluate on."""
        return next((d for d in self.data if d.name == "evaluate"), None)

    @property
    def formats(self) -> tuple[Format, ...]:
        """What is written beside the source."""
        return self.emit.formats if self.emit else ()

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """Every selector: of targets, of prune rules, of freezes."""
        parts = (
            *(t.selector for t in self.targets),
            *(p.selector for p in self.prunes),
            *(f.selector for f in self.freezes),
        )
        return tuple(s for s in parts if s is not None)

    @property
    def needs_data(self) -> bool:
        """Whether a score or a repair looks at calibration data."""
        return bool(self.repair) or any(p.chosen_score.needs_data for p in self.prunes)

    @property
    def reads_weights(self) -> bool:
        """Whether a score looks at the weights."""
        return any(not isinstance(p.chosen_score, Random) for p in self.prunes)

    @property
    def needs_labels(self) -> bool:
        """Whether a score looks at the labels of calibration data."""
        return any(p.chosen_score.needs_labels for p in self.prunes)

    @property
    def renumbers(self) -> bool:
        """Whether a rule lets tokens go, which renumbers their ids."""
        return any(p.kind == "vocabulary" for p in self.prunes)

    def as_dict(self) -> dict[str, Any]:
        """Stable JSON values: all that decides the outcome, every default spelled out."""
        return {
            "model": self.model and self.model.as_dict(),
            "part": self.part and self.part.path,
            "data": {d.name: d.factory.as_dict() for d in self.data},
            "targets": [t.as_dict() for t in self.targets],
            "prune": [p.as_dict() for p in self.prunes],
            "freeze": [f.as_dict() for f in self.freezes],
            "solve": self.solve.as_dict(),
            "repair": [r.as_dict() for r in self.repair],
            "emit": self.emit and self.emit.as_dict(),
        }

    def _said(self) -> tuple[object, ...]:
        return tuple(getattr(self, n) for n in type(self).model_fields if n not in HIDDEN)


HIDDEN = ("span", "source")


def _thaw(value: Plain) -> Any:
    return [_thaw(item) for item in value] if isinstance(value, tuple) else value


def _text(selector: Selector | None) -> str | None:
    return None if selector is None else text(selector)
