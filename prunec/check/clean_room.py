"""Clean room: the emitted file, in a fresh process that has torch and no prunec.

The process is started isolated (``python -I``: no environment variables, no user site, not this
folder), and an import hook denies it prunec. It loads the weights through the file's own ``load``,
which is strict, runs the model on the example, and writes what it returns for comparison.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from prunec.check import compare, imports, room, structure
from prunec.diagnostics import Diagnostic
from prunec.ir.graph import Dict_, Graph, Ref, Sequence_, Tree

TOLERANCE = 1e-6
TIMEOUT = 300.0
TAIL = 12


@dataclass(frozen=True)
class Result:
    """How it came out: the largest error relative to an output's scale, seconds, and the faults."""

    max_error: float = torch.inf
    seconds: float = 0.0
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.diagnostics


def run(
    folder: Path,
    graph: Graph,
    module: nn.Module,
    example: Sequence[Tensor],
    *,
    source: str = "slim.py",
    weights: str = "slim.safetensors",
    timeout: float = TIMEOUT,
) -> Result:
    """Run an artefact on its own and compare it with the module in this process.

    Args:
        folder: holds the ``source`` and ``weights`` files.
        graph: of the original; says where the inputs stand among the arguments.
        module: what the same source and weights are in this process, in eval mode.
        example: tensors in the order of ``graph.inputs``.

    P0810 it does not run, P0811 it returns something else, P0812 and P0822 the source is not Python
    that imports torch alone.
    """
    try:
        text = (folder / source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Result(diagnostics=(_broken(source, str(error)),))
    faults = imports.run(text, source)
    if faults:
        return Result(diagnostics=faults)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="prunec-room-") as scratch:
        got = _in_room(Path(scratch), folder.resolve(), graph, example, (source, weights), timeout)
    seconds = time.monotonic() - started
    if isinstance(got, Diagnostic):
        return Result(seconds=seconds, diagnostics=(got,))
    with torch.no_grad():
        want = list(room.tensors(structure.call(module, graph, example)))
    error = max(map(compare.error, want, got), default=0.0) if len(want) == len(got) else torch.inf
    return Result(error, seconds, _verdict(source, error))


def _in_room(
    scratch: Path,
    folder: Path,
    graph: Graph,
    example: Sequence[Tensor],
    names: tuple[str, str],
    timeout: float,
) -> list[Tensor] | Diagnostic:
    """The tensors that the artefact returns, or why there are none."""
    source, weights = names
    inputs = {
        i.name: t.detach().clone().contiguous() for i, t in zip(graph.inputs, example, strict=True)
    }
    save_file(inputs, scratch / "inputs.safetensors")
    args, kwargs = _arguments(graph)
    job = {
        "source": str(folder / source),
        "weights": str(folder / weights),
        "inputs": str(scratch / "inputs.safetensors"),
        "outputs": str(scratch / "outputs.safetensors"),
        "threads": torch.get_num_threads(),
        "args": args,
        "kwargs": kwargs,
    }
    (scratch / "job.json").write_text(json.dumps(job), encoding="utf-8")
    command = [
        sys.executable,
        "-I",
        "-B",
        str(Path(room.__file__).resolve()),
        str(scratch / "job.json"),
    ]
    try:
        done = subprocess.run(
            command,
            cwd=scratch,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _broken(source, f"it did not end within {timeout:g} s")
    if done.returncode:
        return _broken(source, *done.stderr.strip().splitlines()[-TAIL:])
    found = load_file(scratch / "outputs.safetensors")
    return [found[str(k)] for k in range(len(found))]


def _arguments(graph: Graph) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments of the model, as JSON."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    variadic = any(p.name.startswith("*") for p in graph.parameters)
    for parameter in graph.parameters:
        if isinstance(parameter.tree, Sequence_) and parameter.name.startswith("*"):
            args += [_json(item) for item in parameter.tree.items]
        elif variadic and not parameter.keyword_only:
            args.append(_json(parameter.tree))
        else:
            kwargs[parameter.name] = _json(parameter.tree)
    return args, kwargs


def _json(tree: Tree) -> tuple[str, Any]:
    match tree:
        case Ref(name):
            return "tensor", name
        case Sequence_(kind=kind, items=items):
            return kind, [_json(item) for item in items]
        case Dict_(items=pairs):
            return "dict", {key: _json(item) for key, item in pairs}
        case _:
            return "value", tree


def _verdict(source: str, error: float) -> tuple[Diagnostic, ...]:
    if error <= TOLERANCE:
        return ()
    note = f"relative error {error:.1e}, {TOLERANCE:.0e} is allowed"
    message = f"`{source}`, on its own, returns something else than the compiled module"
    return (Diagnostic("P0811", message, notes=(note,), help="compile again to write it anew"),)


def _broken(source: str, *lines: str) -> Diagnostic:
    return Diagnostic(
        "P0810",
        f"`{source}` does not run on its own, with torch alone",
        notes=lines,
        help="this is a defect of prunec; please report it with the model",
    )
