"""Pretrained: what transformers loads from a folder, in a fresh process without prunec.

The process is that of the clean room, offline, and what transformers copies there of the folder's
code is gone with it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from prunec.check import clean_room, renumbered
from prunec.check.removed import Removed
from prunec.diagnostics import Diagnostic
from prunec.ir.graph import Graph

CONFIG = "config.json"


@dataclass(frozen=True)
class Result:
    """How the model is loaded (``call``), the largest error relative to an output's scale, and the
    faults.
    """

    call: str
    max_error: float = torch.inf
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.diagnostics


def run(
    folder: Path,
    graph: Graph,
    removed: Removed,
    slim: nn.Module,
    example: Sequence[Tensor],
    *,
    tolerance: float,
    timeout: float = clean_room.TIMEOUT,
) -> Result:
    """Load a folder with ``from_pretrained`` and compare the model with the slim one.

    Args:
        folder: holds `config.json` and what it needs.
        graph, removed: the original, and what is gone of it; say what the inputs are.
        slim: in eval mode.
        example: tensors in the order of ``graph.inputs``.
        tolerance: the largest error, relative to the scale of an output.

    P0842 the model returns something else, P0843 transformers cannot load or run it.
    """
    call = _call(folder)
    ids = renumbered.ranks(graph, removed, renumbered.originals(graph, removed, example))
    with tempfile.TemporaryDirectory(prefix="prunec-pretrained-") as scratch:
        place = Path(scratch)
        env = {
            "HF_HOME": scratch,
            "HF_MODULES_CACHE": str(place / "modules"),
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        job = clean_room.prepare(place, {"folder": folder.resolve()}, graph, ids)
        process = clean_room.spawn(job, env)
        try:
            said = clean_room.wait(process, place / clean_room.ERRORS, timeout)
        finally:
            process.kill()
            process.wait()
        if said:
            hidden = tuple(line.replace(str(folder.resolve()), ".") for line in said)
            return Result(call, diagnostics=(_broken(hidden),))
        error = clean_room.distance(graph, slim, ids, place / clean_room.OUTPUTS)
    return Result(call, error, () if error <= tolerance else (_differs(error, tolerance),))


def _call(folder: Path) -> str:
    """How the model is loaded."""
    found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if "auto_map" in found:
        return "AutoModel, trust_remote_code=True"
    return f"transformers' own {found['architectures'][0]}"


def _differs(error: float, tolerance: float) -> Diagnostic:
    return Diagnostic(
        "P0842",
        "what transformers loads returns something else than the slim model",
        notes=(f"relative error {error:.1e}, {tolerance:.0e} is allowed",),
        help="if the error is one of rounding, allow more: `huggingface(tolerance=1e-3)`",
    )


def _broken(lines: Sequence[str]) -> Diagnostic:
    return Diagnostic(
        "P0843",
        "transformers cannot load the slim model, or the model does not run there",
        notes=tuple(lines),
        help="leave `huggingface` out; and please report it with the model",
    )
