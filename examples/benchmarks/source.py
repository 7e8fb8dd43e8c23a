"""Lines and classes of the emitted source beside those of the original, and of `to_folder`.

    python -m examples.benchmarks.source [MODEL ...] [--macs 60] [--layers 32]

Every model is compiled at random widths. Models on the meta device are planned, shrunk and emitted
without a weight: the source is the same. What is counted of an original: see
`counting.of_model`; of ours, the whole file with its imports and `load`. The second table
is the same slim model, traced by torch and written by `GraphModule.to_folder`. Needs torchvision
and transformers for their models.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

import prunec
from examples.benchmarks import counting
from examples.benchmarks.counting import Count
from examples.benchmarks.torchvision_models import register
from prunec import driver, emit, prepare
from prunec.passes import shrink
from prunec.prepare import Job, Memory

MODELS = (
    *("resnet56", "vit_b_16", "mobilenet_v3_small", "mobilenet_v3_large", "densenet121"),
    *("llama", "gpt2"),
)
PATIENCE = 1.3
"""How many times the original's lines a source may have."""

LINES = {"resnet56": 69, "llama": 159}
"""The most lines that some sources may have."""


@dataclass(frozen=True)
class Subject:
    """A model, an example of its input, the functions that build it, and what to know of it."""

    model: nn.Module
    example: Tensor
    builders: Sequence[Callable[..., Any]]
    note: str


@dataclass(frozen=True)
class Folder:
    """What `to_folder` wrote. ``pickles`` are files that torch.load reads with ``weights_only``
    off, ``problem`` says why it does not load, or not so.
    """

    lines: int
    files: int
    pickled: int
    imports: int
    problem: str


def main() -> None:
    """Print both tables; exit 1 where a source is longer than it may be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    parser.add_argument("--macs", type=int, default=60, help="per cent of the MACs to stay under")
    parser.add_argument(
        "--layers", type=int, default=32, help="layers of Llama, on the meta device"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    head = f"{'original':>13} {'slim source':>13}"
    print(
        f"{'':>20} {head}\n{'model':>20} {'lines classes':>13} {'lines classes':>13}  ratio      s"
    )
    made = {name: _line(name, options.macs, options.layers) for name in options.models}
    print(
        f"\n{'to_folder of':>20} {'traced by':>15} {'lines':>6} {'files':>6} {'pickles':>7} imports"
    )
    for name, (_, module, example) in made.items():
        _folders(name, module, example)
    long = [name for name, (fits, _, _) in made.items() if not fits]
    raise SystemExit(f"too long: {', '.join(long)}" if long else 0)


def _line(name: str, share: int, layers: int) -> tuple[bool, nn.Module | None, Tensor]:
    """Compile one model and print its line: whether it is short enough, and the slim module."""
    subject = build(name, layers)
    spec = f"target macs <= {share}%\nprune channels {{ score random(seed=0) }}\nrepair none\n"
    start = time.perf_counter()
    module: nn.Module | None = None
    if any(p.is_meta for p in subject.model.parameters()):
        source = without_weights(spec, subject)
    else:
        found = prunec.compile(spec, model=subject.model, args=(subject.example,), check=False)
        source, module = found.source, found.module
    spent = time.perf_counter() - start
    ours = counting.of_text(source)
    theirs = counting.of_model(subject.model, subject.builders)
    ratio = ours.lines / theirs.lines
    print(
        f"{name:>20} {_both(theirs)} {_both(ours)} {ratio:>6.2f} {spent:>6.1f}  {subject.note}",
        flush=True,
    )
    fits = ratio <= PATIENCE and ours.lines <= LINES.get(name, ours.lines)
    return fits, module, subject.example


def _both(count: Count) -> str:
    return f"{count.lines:>5} {count.classes:>7}"


def without_weights(spec: str, subject: Subject) -> str:
    """The source of a model on the meta device."""
    found, folder = prepare.read(spec, in_memory=True)
    given = Memory(subject.model, (subject.example,))
    planned = driver.plan(Job(found, folder, given, stage=lambda name: None))
    groups = (*planned.model.groups, *planned.model.blocks, *planned.model.layers)
    traced = planned.model.traced
    shrunk = shrink.run(traced.graph, traced.weights, planned.model.axes, groups, planned.plan)
    return emit.run(shrunk.graph, class_name="Slim", header="from memory")


def build(name: str, layers: int) -> Subject:
    """A model of the table, in eval mode."""
    torch.manual_seed(0)
    if name == "resnet56":
        from examples.resnet56 import model as own

        net = own.ResNet(9).eval()
        return Subject(net, torch.randn(2, 3, 32, 32), (own.resnet56, own._stage), "32 px")
    register()
    if name in ("llama", "gpt2"):
        return _transformer(name, layers)
    from torchvision import models
    from torchvision.models import densenet, mobilenetv3, vision_transformer

    builders: tuple[Callable[..., Any], ...] = {
        "v": (vision_transformer._vision_transformer,),
        "m": (mobilenetv3._mobilenet_v3, mobilenetv3._mobilenet_v3_conf),
        "d": (densenet._densenet,),
    }[name[0]]
    function = getattr(models, name)
    net = function(weights=None).eval()
    return Subject(net, torch.randn(2, 3, 224, 224), (function, *builders), "224 px")


def _transformer(name: str, layers: int) -> Subject:
    if name == "llama":
        from examples.benchmarks.scale import llama

        return Subject(*llama(layers), (), f"8B widths, {layers} layers, on the meta device")
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.device("meta"):
        net = GPT2LMHeadModel(GPT2Config(use_cache=False)).eval()
    tokens = torch.zeros(2, 16, dtype=torch.int64)
    return Subject(net, tokens, (), "real widths, 12 layers, on the meta device")


def _folders(name: str, module: nn.Module | None, example: Tensor) -> None:
    """One line for each of torch's tracers."""
    if module is None:
        print(f"{name:>20} {'-':>15}  on the meta device there is nothing to write")
        return
    for tracer, trace in TRACERS.items():
        try:
            found = folder(trace(module, example))
        except Exception as error:  # a tracer raises what it likes
            print(f"{name:>20} {tracer:>15}  {type(error).__name__}: {str(error).splitlines()[0]}")
            continue
        print(
            f"{name:>20} {tracer:>15} {found.lines:>6} {found.files:>6} {found.pickled:>7} "
            f"{found.imports:>7}  {found.problem}",
            flush=True,
        )


TRACERS: dict[str, Callable[[nn.Module, Tensor], fx.GraphModule]] = {
    "symbolic_trace": lambda module, example: fx.symbolic_trace(module),
    "torch.export": lambda module, x: torch.export.export(module, (x,)).module(check_guards=False),
}


def folder(graph: fx.GraphModule) -> Folder:
    """Write a graph module to a temporary folder and look at what is there."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made) / "slim"
        graph.to_folder(place, "Slim")
        files = [p for p in place.rglob("*") if p.is_file()]
        text = (place / "module.py").read_text()
        pickled = [p for p in files if p.suffix == ".pt"]
        return Folder(
            counting.of_text(text).lines,
            len(files),
            len(pickled),
            sum(isinstance(n, ast.Import | ast.ImportFrom) for n in ast.walk(ast.parse(text))),
            "; ".join(_problems(place, pickled)),
        )


def _problems(place: Path, pickled: Sequence[Path]) -> Iterator[str]:
    """What goes wrong with the folder: its files with ``weights_only``, then the module itself."""
    refused = [p for p in pickled if not _is_plain(p)]
    if refused:
        yield f"{len(refused)} of {len(pickled)} pickles refused by weights_only=True"
    spec = importlib.util.spec_from_file_location("slim_folder", place / "module.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        module.Slim()
        yield "loads"
    except Exception as error:  # the folder's code may fail in any way
        yield f"does not load: {type(error).__name__}: {str(error).splitlines()[0]}"
    finally:
        del sys.modules[spec.name]


def _is_plain(path: Path) -> bool:
    try:
        torch.load(path, weights_only=True)
    except Exception:  # refusal is an UnpicklingError, and other errors are no better
        return False
    return True


if __name__ == "__main__":
    main()
