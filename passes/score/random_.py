"""A random order: the baseline that every other score must beat."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import torch

from prunec.ir.plan import Ranking
from prunec.passes.score.context import Context


def run(context: Context, seed: int) -> dict[str, Ranking]:
    """A random permutation of each group, drawn from ``seed`` and the group's name alone; k
    channels cost k.
    """
    found = {}
    for group in context.groups:
        digest = sha256(f"{seed}:{group.name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        order = torch.randperm(group.size, generator=generator).numpy()
        found[group.name] = Ranking(order, np.arange(group.size + 1, dtype=np.float64))
    return found
