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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
TAIL = 12  # lines of the traceback that are shown
INPUTS, OUTPUTS, ERRORS = "inputs.safetensors", "outputs.safetensors", "errors.txt"


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
    with start(folder, graph, example, source=source, weights=weights, timeout=timeout) as room:
        return room.compare(module)


@dataclass(frozen=True, eq=False)
class Room:
    """A process at work; ``process`` is None where the source was refused, for ``faults``."""

    graph: Graph
    example: Sequence[Tensor]
    source: str
    outputs: Path
    timeout: float
    process: subprocess.Popen[str] | None
    faults: tuple[Diagnostic, ...] = ()
    started: float = field(default_factory=time.monotonic)

    def compare(self, module: nn.Module) -> Result:
        """Wait for the process, and compare what it returned with the module in this one."""
        if self.process is None:
            return Result(diagnostics=self.faults)
        errors = self.outputs.with_name(ERRORS)
        said = wait(self.process, errors, self.timeout)
        seconds = time.monotonic() - self.started
        if said:
            return Result(seconds=seconds, diagnostics=(_broken(self.source, *said),))
        error = distance(self.graph, module, self.example, self.outputs)
        return Result(error, seconds, _verdict(self.source, error))


@contextmanager
def start(
    folder: Path,
    graph: Graph,
    example: Sequence[Tensor],
    *,
    source: str = "slim.py",
    weights: str = "slim.safetensors",
    timeout: float = TIMEOUT,
) -> Iterator[Room]:
    """As `run`, but the process works while the caller does something else; leaving ends it."""
    faults: tuple[Diagnostic, ...]
    try:
        text = (folder / source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        faults = (_broken(source, str(error)),)
    else:
        faults = imports.run(text, source)
    with tempfile.TemporaryDirectory(prefix="prunec-room-") as scratch:
        outputs = Path(scratch) / OUTPUTS
        if faults:
            yield Room(graph, example, source, outputs, timeout, None, faults)
            return
        files = {"source": folder.resolve() / source, "weights": folder.resolve() / weights}
        process = spawn(prepare(Path(scratch), files, graph, example))
        try:
            yield Room(graph, example, source, outputs, timeout, process)
        finally:
            process.kill()
            process.wait()


def prepare(scratch: Path, files: dict[str, Path], graph: Graph, example: Sequence[Tensor]) -> Path:
    """Write the job and its inputs into a folder; the job's path."""
    named = zip(graph.inputs, example, strict=True)
    tensors = {given.name: tensor.detach().clone().contiguous() for given, tensor in named}
    save_file(tensors, scratch / INPUTS)
    args, kwargs = _arguments(graph)
    job = {
        **{name: str(path) for name, path in files.items()},
        "inputs": str(scratch / INPUTS),
        "outputs": str(scratch / OUTPUTS),
        "threads": torch.get_num_threads(),
        "args": args,
        "kwargs": kwargs,
    }
    path = scratch / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


def spawn(job: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Do the job in a process of its own; what it says goes to files, which never fill up.

    ``env`` is added to the environment of this process.
    """
    command = [sys.executable, "-I", "-B", str(Path(room.__file__).resolve()), str(job)]
    with (job.parent / ERRORS).open("w", encoding="utf-8") as errors:
        return subprocess.Popen(
            command,
            cwd=job.parent,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            text=True,
            env={**os.environ, **(env or {})},
        )


def wait(process: subprocess.Popen[str], errors: Path, timeout: float) -> tuple[str, ...]:
    """Wait for the end of a process; the end of its traceback if it failed."""
    try:
        failed = process.wait(timeout)
    except subprocess.TimeoutExpired:
        return (f"it did not end within {timeout:g} s",)
    if not failed:
        return ()
    said = errors.read_text(encoding="utf-8", errors="replace").strip()
    return tuple(said.splitlines()[-TAIL:]) or (f"it ended with status {failed}",)


def distance(graph: Graph, module: nn.Module, example: Sequence[Tensor], outputs: Path) -> float:
    """How far outputs that a process wrote are from those of the module in this one."""
    written = load_file(outputs)
    got = [written[str(k)] for k in range(len(written))]
    with torch.no_grad():
        want = list(room.tensors(structure.call(module, graph, example)))
    if len(want) != len(got):
        return torch.inf
    return max(map(compare.error, want, got), default=0.0)


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
