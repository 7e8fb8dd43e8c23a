"""The methods that a spec can name. A method's fields are its options: type, default, range and
meaning in one line.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from prunec.spec.node import Node
from prunec.spec.values import show


class Method(Node):
    """A method: ``name`` is what the language calls it, ``positional`` an option that needs no
    name.
    """

    name: ClassVar[str]
    positional: ClassVar[str | None] = None

    @classmethod
    def options(cls) -> tuple[str, ...]:
        """The names of the options, in order."""
        return tuple(name for name in cls.model_fields if name != "span")

    def as_dict(self) -> dict[str, Any]:
        """The method with all of its options, as plain JSON values."""
        return {"name": self.name, **{option: getattr(self, option) for option in self.options()}}

    def __str__(self) -> str:
        """The method as it is written, with all of its options."""
        given = ", ".join(f"{option}={show(getattr(self, option))}" for option in self.options())
        return f"{self.name}({given})" if given else self.name


# --- Scores: what a channel is worth -------------------------------------------------------------


class ScoreMethod(Method):
    """A score; what calibration data it needs."""

    @property
    def needs_data(self) -> bool:
        return False

    @property
    def needs_labels(self) -> bool:
        return False


class Random(ScoreMethod):
    """Channels in a random order: the baseline that every score should beat."""

    name = "random"
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of the order")


class L1(ScoreMethod):
    """The l1 norm of the weights that make a channel (Li et al., 2017)."""

    name = "l1"


class L2(ScoreMethod):
    """The l2 norm of the weights that make a channel."""

    name = "l2"


class Taylor(ScoreMethod):
    """The squared first-order change of the loss when a channel's gate closes (Molchanov et al.,
    2019).
    """

    name = "taylor"
    batches: int = Field(default=8, ge=1, description="calibration batches that are used")

    @property
    def needs_data(self) -> bool:
        return True

    @property
    def needs_labels(self) -> bool:
        return True


class Obs(ScoreMethod):
    """Structured optimal brain surgery: the least loss of removing a channel when its readers are
    re-fitted.
    """

    name = "obs"
    damping: float = Field(
        default=1e-2, gt=0, le=1, description="added to the input moments, relative to their mean"
    )
    batches: int | None = Field(
        default=None, ge=1, description="calibration batches that are used; `none` is all"
    )

    @property
    def needs_data(self) -> bool:
        return True


class TorchPruning(ScoreMethod):
    """An importance of the torch-pruning library, with its own defaults."""

    name = "torch_pruning"
    positional = "importance"
    importance: Literal[
        "GroupMagnitudeImportance",
        "BNScaleImportance",
        "GroupTaylorImportance",
        "LAMPImportance",
    ] = Field(default="GroupMagnitudeImportance", description="the class of the importance")

    @property
    def needs_data(self) -> bool:
        return self.importance == "GroupTaylorImportance"

    @property
    def needs_labels(self) -> bool:
        return self.importance == "GroupTaylorImportance"


# --- Solvers: how many channels go where ---------------------------------------------------------


class SolverMethod(Method):
    """A solver; whether it looks at calibration data, and whether at slim models' answers to it."""

    @property
    def needs_data(self) -> bool:
        return self.measures

    @property
    def measures(self) -> bool:
        return False


class Uniform(SolverMethod):
    """The same share of every group."""

    name = "uniform"


class Greedy(SolverMethod):
    """One channel after another, least loss per cost saved first."""

    name = "greedy"


class Dp(SolverMethod):
    """Dynamic programming over the exact costs: the best plan, up to the budget's resolution."""

    name = "dp"
    bins: int = Field(
        default=10_000, ge=10, le=10_000_000, description="steps that a budget is divided into"
    )
    search: int = Field(
        default=0, ge=0, le=100_000, description="plans that are tried by measured loss, 0 for none"
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of the search")
    batches: int | None = Field(
        default=None, ge=1, description="calibration batches to measure on; `none` is all"
    )

    @property
    def measures(self) -> bool:
        return self.search > 0


class Lp(SolverMethod):
    """Linear programming, rounded and refined; takes many budgets at once."""

    name = "lp"
    importance: Literal["hsic", "score"] = Field(
        default="hsic",
        description="what a layer is worth: how little it shares with others, or "
        "the scores of its channels",
    )
    beta: float | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="how sharply `hsic` tells layers apart; `none` is by how much they differ",
    )

    @property
    def needs_data(self) -> bool:
        return self.importance == "hsic"


class Milp(SolverMethod):
    """Mixed-integer programming: many budgets at once, with a proved gap."""

    name = "milp"
    gap: float = Field(
        default=0.005, ge=0, lt=1, description="relative gap to the bound at which it stops"
    )
    nodes: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="most nodes of the search tree, large ones counted as several",
    )


class Evolution(SolverMethod):
    """Evolution of plans that just meet the budgets, by measured loss (Liu et al., 2019)."""

    name = "evolution"
    population: int = Field(default=50, ge=4, le=10_000, description="plans of one generation")
    generations: int = Field(default=20, ge=1, le=10_000, description="generations")
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of the search")
    batches: int | None = Field(
        default=None, ge=1, description="calibration batches to measure on; `none` is all"
    )

    @property
    def measures(self) -> bool:
        return True


class FastNas(SolverMethod):
    """Bisection of one bound on the measured loss of shortening each group alone."""

    name = "fastnas"
    widths: int = Field(
        default=8, ge=2, le=1_000, description="widths of each group that are measured"
    )
    batches: int | None = Field(
        default=None, ge=1, description="calibration batches to measure on; `none` is all"
    )

    @property
    def measures(self) -> bool:
        return True


# --- Devices: where latency is measured -----------------------------------------------------------


class Cpu(Method):
    """The processor of this machine."""

    name = "cpu"
    threads: int = Field(default=1, ge=1, le=1024, description="threads that one forward uses")
    batch: int = Field(default=1, ge=1, le=65_536, description="samples of one forward")


class Cuda(Method):
    """The first CUDA device."""

    name = "cuda"
    batch: int = Field(default=1, ge=1, le=65_536, description="samples of one forward")


# --- Repairs: new values for the weights that stay ------------------------------------------------


class LeastSquares(Method):
    """Each consumer of pruned channels is re-fitted to give what the dense model gave."""

    name = "least_squares"
    ridge: float = Field(
        default=1e-3, gt=0, le=1, description="pull to the old weights, relative to the moments"
    )


class BatchNorm(Method):
    """Batch norms get the statistics of the slim model's own activations."""

    name = "batchnorm"


Score: TypeAlias = Random | L1 | L2 | Taylor | Obs | TorchPruning
Solver: TypeAlias = Uniform | Greedy | Dp | Lp | Milp | Evolution | FastNas
Device: TypeAlias = Cpu | Cuda
Repair: TypeAlias = LeastSquares | BatchNorm

SCORES: dict[str, type[Score]] = {
    "random": Random,
    "l1": L1,
    "l2": L2,
    "taylor": Taylor,
    "obs": Obs,
    "torch_pruning": TorchPruning,
}
SOLVERS: dict[str, type[Solver]] = {
    "uniform": Uniform,
    "greedy": Greedy,
    "dp": Dp,
    "lp": Lp,
    "milp": Milp,
    "evolution": Evolution,
    "fastnas": FastNas,
}
DEVICES: dict[str, type[Device]] = {"cpu": Cpu, "cuda": Cuda}
REPAIRS: dict[str, type[Repair]] = {"least_squares": LeastSquares, "batchnorm": BatchNorm}

DEFAULT_SCORE: Score = Obs()
DEFAULT_SOLVER: Solver = Milp()
DEFAULT_REPAIR: tuple[Repair, ...] = (LeastSquares(), BatchNorm())
