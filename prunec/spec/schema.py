"""The spec: what a `.prune` file says, checked, with every default in its place."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from prunec.diagnostics import Source, Span
from prunec.grammar.tree import Selector
from prunec.ir.group import ASKED_FOR, Kind
from prunec.spec.amounts import Amount, Count, Share
from prunec.spec.formats import Format
from prunec.spec.methods import (
    DEFAULT_REPAIR,
    DEFAULT_SCORE,
    DEFAULT_SOLVER,
    Device,
    Random,
    Repair,
    Score,
    Solver,
)
from prunec.spec.metrics import Metric, Relation
from prunec.spec.node import Node
from prunec.spec.selector import text
from prunec.spec.values import Plain

Side: TypeAlias = Literal["outputs", "inputs"]
DataName: TypeAlias = Literal["calibrate", "evaluate"]


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
    """A hard upper bound on a cost, of the whole model or (``selector``) of some modules; a
    latency is that on ``device``. Sparsity alone is bounded from below.
    """

    metric: Metric
    amount: Amount
    selector: Selector | None = None
    relation: Relation = "<="
    device: Device | None = None

    def bound(self, dense: int) -> int:
        """The most that may stay, given what the dense model costs: in ones, bytes or nanoseconds;
        for sparsity in parameters.
        """
        if self.relation == ">=":
            return dense - self.amount.at_least(dense)
        return self.amount.at_most(dense)

    def as_dict(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "relation": self.relation,
            "bound": self.amount.as_json(),
            "in": _text(self.selector),
            "on": self.device and self.device.as_dict(),
        }

    def __str__(self) -> str:
        where = "" if self.selector is None else f" in {text(self.selector)}"
        device = "" if self.device is None else f" on {self.device}"
        return f"{self.metric} {self.relation} {self.amount}{where}{device}"


class Prune(Node):
    """What may be removed, and how little of it may stay. ``kind`` "channels" is every width,
    ``selector`` None is everywhere, ``score`` None the default, ``multiple_of`` "auto" what the
    device profile says. ``keep_span`` and ``multiple_span`` are where the two limits stand.
    """

    kind: Kind = "channels"
    selector: Selector | None = None
    score: Score | None = None
    keep_at_least: Count | Share | None = None
    multiple_of: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    keep_span: Span | None = Field(default=None, exclude=True, repr=False)
    multiple_span: Span | None = Field(default=None, exclude=True, repr=False)

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
        """Whether a score, the solver or a repair looks at calibration data."""
        return self.plans_by_data or bool(self.repair)

    @property
    def plans_by_data(self) -> bool:
        """Whether calibration data decides what goes."""
        scores = any(p.chosen_score.needs_data for p in self.prunes)
        return scores or self.solve.needs_data

    @property
    def reads_weights(self) -> bool:
        """Whether a score, or what the solver measures, looks at the weights."""
        scores = any(not isinstance(p.chosen_score, Random) for p in self.prunes)
        return scores or self.solve.needs_data

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
