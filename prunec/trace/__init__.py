"""Trace: from a torch module and example inputs to a functional `Graph` and its weights.

This package is the only one that imports `torch.export` and `torch.fx`.
"""

from __future__ import annotations

from prunec.trace.frontend import Traced as Traced
from prunec.trace.frontend import again as again
from prunec.trace.frontend import run as run
from prunec.trace.inputs import tensors as tensors
