"""Building a module from emitted source, and the source's own ``load(path)``."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from prunec import emit, trace
from prunec.diagnostics import InternalError
from prunec.emit import files
from prunec.trace import Traced
from tests.emit import goldens

CLEAN = """
import pickle, sys, torch
import slim

assert not any(name.split(".")[0] == "prunec" for name in sys.modules)
model = slim.load("slim.safetensors")
assert not model.training
torch.save({"state": dict(model.state_dict())}, "state.pt")
torch.save(model(*torch.load("args.pt", weights_only=True)), "result.pt")
"""


@pytest.fixture(scope="module")
def tied() -> tuple[Traced, str]:
    case = goldens.example("tied_embedding")
    found = goldens.traced(case.model, case)
    return found, goldens.source(found)


def test_shows_its_source_to_inspect_and_tracebacks(tied: tuple[Traced, str]) -> None:
    found, source = tied
    model = emit.load(source, found.weights, "Slim")
    assert "def forward(self, tokens, *, kind):" in inspect.getsource(type(model).forward)


def test_is_a_module_that_others_find(tied: tuple[Traced, str]) -> None:
    found, source = tied
    one, two = (emit.load(source, found.weights, "Slim") for _ in range(2))
    assert type(one) is type(two)
    assert sys.modules[type(one).__module__].Slim is type(one)
    assert inspect.getsource(type(one)).startswith("class Slim(nn.Module):")
    other = emit.load(source.replace("tokens", "words"), found.weights, "Slim")
    assert type(other) is not type(one)


def test_leaves_the_random_state_alone(tied: tuple[Traced, str]) -> None:
    before = torch.random.get_rng_state()
    emit.load(tied[1], tied[0].weights, "Slim")
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_tied_weight_may_come_under_any_of_its_names(tied: tuple[Traced, str]) -> None:
    found, source = tied
    weights = dict(found.weights)
    weights["head.weight"] = weights.pop("embed.weight")
    model = emit.load(source, weights, "Slim")
    assert model.head.weight is model.embed.weight
    assert torch.equal(model.embed.weight, weights["head.weight"])


def test_misses_no_weight(tied: tuple[Traced, str]) -> None:
    found, source = tied
    weights = {n: t for n, t in found.weights.items() if n != "norm.bias"}
    with pytest.raises(InternalError, match=r"norm\.bias"):
        emit.load(source, weights, "Slim")


@pytest.mark.parametrize("wrong", [torch.zeros(9), torch.zeros(8, dtype=torch.float64)])
def test_takes_no_weight_of_another_shape_or_dtype(
    tied: tuple[Traced, str], wrong: torch.Tensor
) -> None:
    found, source = tied
    with pytest.raises(InternalError, match=r"norm\.bias"):
        emit.load(source, {**found.weights, "norm.bias": wrong}, "Slim")


@pytest.mark.parametrize("name", ["buffers_and_constants", "shared_module", "layers_of_torch"])
def test_the_file_loads_itself_without_prunec(name: str, tmp_path: Path) -> None:
    case = goldens.example(name)
    found = goldens.traced(case.model, case)
    weights = emit.stored(found.graph, found.weights)
    files.write(
        tmp_path / "build",
        {"slim.py": goldens.source(found), "slim.safetensors": files.weights_bytes(weights)},
    )
    torch.save(tuple(case.args), tmp_path / "build" / "args.pt")
    subprocess.run([sys.executable, "-c", CLEAN], cwd=tmp_path / "build", check=True, env={})
    result = torch.load(tmp_path / "build" / "result.pt", weights_only=True)
    torch.testing.assert_close(result, case.model(*case.args))
    state = torch.load(tmp_path / "build" / "state.pt", weights_only=True)["state"]
    assert list(state) == list(case.model.state_dict())


def test_ties_come_back_from_the_file(tmp_path: Path, tied: tuple[Traced, str]) -> None:
    found, source = tied
    data = files.weights_bytes(emit.stored(found.graph, found.weights))
    (tmp_path / "slim.safetensors").write_bytes(data)
    module: dict[str, object] = {}
    exec(source, module)
    load = module["load"]
    assert callable(load)
    model = load(tmp_path / "slim.safetensors")
    assert model.head.weight is model.embed.weight
    assert torch.equal(model.head.weight, found.weights["embed.weight"])


def test_repeated_modules_stay_one() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.blocks = nn.ModuleList([self.first, nn.Linear(4, 4), self.first])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                x = block(x).relu()
            return x

    net, x = Net().eval(), torch.randn(3, 4)
    found = trace.run(net, (x,))
    source = emit.run(found.graph, class_name="Slim", header="", weights=found.weights)
    model = emit.load(source, found.weights, "Slim")
    assert list(model.state_dict()) == list(net.state_dict())
    assert model.blocks[2] is model.blocks[0] is model.first
    torch.testing.assert_close(model(x), net(x))
