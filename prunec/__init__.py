"""prunec: a declarative pruning compiler for PyTorch.

    plan = prunec.plan("resnet56.prune")                    # nothing written
    compiled = prunec.compile("resnet56.prune", out="build/")

Names are loaded when first used: importing prunec alone does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunec.diagnostics import Diagnostic as Diagnostic
from prunec.diagnostics import InternalError as InternalError
from prunec.diagnostics import PruneError as PruneError

if TYPE_CHECKING:
    from prunec.api import analyze as analyze
    from prunec.api import compile as compile
    from prunec.api import plan as plan
    from prunec.api import sweep as sweep
    from prunec.api import verify as verify
    from prunec.driver import Compiled as Compiled
    from prunec.ir.plan import Plan as Plan
    from prunec.report.analysis import Analysis as Analysis
    from prunec.report.data import Report as Report

__version__ = "0.1.0"
__all__ = [
    "Analysis",
    "Compiled",
    "Diagnostic",
    "InternalError",
    "Plan",
    "PruneError",
    "Report",
    "analyze",
    "compile",
    "plan",
    "sweep",
    "verify",
]

_HOME = {
    "Analysis": "prunec.report.analysis",
    "Compiled": "prunec.driver",
    "Plan": "prunec.ir.plan",
    "Report": "prunec.report.data",
    "analyze": "prunec.api",
    "compile": "prunec.api",
    "plan": "prunec.api",
    "sweep": "prunec.api",
    "verify": "prunec.api",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'prunec' has no attribute '{name}'")
    found = getattr(import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
