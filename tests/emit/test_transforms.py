"""The emitted module under what torch does to modules: compile, export, func, DDP, nn.utils."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.parametrize import remove_parametrizations
from torch.utils import _pytree as pytree

from tests.emit.networks import NETWORKS, Pair, pair, tensors

REPO = Path(__file__).parents[2]
each = pytest.mark.parametrize("name", NETWORKS)
SINGLE = ("convolutional", "transformer", "nested", "buffered", "shared", "recurrent")
single = pytest.mark.parametrize("name", SINGLE)


@single
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compile_without_graph_breaks(name: str, backend: str) -> None:
    both = pair(name)
    torch._dynamo.reset()
    whole = name != "recurrent"  # torch.compile leaves nn.LSTM to eager execution
    compiled = torch.compile(both.emitted, backend=backend, fullgraph=whole)
    for count in (2, 3, 5):
        args, kwargs = both.given(count)
        torch.testing.assert_close(compiled(*args, **kwargs), both.original(*args, **kwargs))


def test_compile_is_made_once_for_dynamic_sizes() -> None:
    both = pair("transformer")
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(both.emitted, backend=counter, fullgraph=True, dynamic=True)
    for count in (2, 3, 5):
        args, kwargs = both.given(count)
        torch.testing.assert_close(compiled(*args, **kwargs), both.original(*args, **kwargs))
    assert counter.frame_count == 1


@pytest.mark.skipif(not os.environ.get("PRUNEC_SLOW"), reason="slow: set PRUNEC_SLOW=1")
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a compiler")
@pytest.mark.parametrize("name", ["convolutional", "transformer"])
def test_compile_by_inductor(name: str) -> None:
    both = pair(name)
    torch._dynamo.reset()
    args, kwargs = both.given(3)
    compiled = torch.compile(both.emitted, fullgraph=True)
    torch.testing.assert_close(compiled(*args, **kwargs), both.original(*args, **kwargs))


@pytest.mark.parametrize("name", ["convolutional", "transformer"])
def test_compile_in_train(name: str) -> None:
    both = pair(name)
    torch._dynamo.reset()
    for model in _models(both):
        model.train()
        if name == "convolutional":  # a cumulative average is more than torch.compile takes
            model.stem[1].momentum = 0.2
    compiled = torch.compile(both.emitted, backend="aot_eager", fullgraph=True)
    args, kwargs = both.given(3)
    for model in (both.original, compiled):
        torch.manual_seed(0)
        sum(t.pow(2).mean() for t in tensors(model(*args, **kwargs))).backward()
    expected = dict(both.original.named_parameters())
    for key, parameter in both.emitted.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[key].grad)
    both.original.eval()
    both.emitted.eval()
    both.same()


@single
@pytest.mark.parametrize("strict", [False, True])
def test_export_with_dynamic_sizes(name: str, strict: bool) -> None:
    both = pair(name)
    args, kwargs = both.given(3)
    shapes = pytree.tree_map(lambda v: _dynamic(name, v), (args, kwargs))
    shapes = (*shapes[0], *shapes[1].values())
    program = torch.export.export(
        both.emitted, args, kwargs, dynamic_shapes=shapes, strict=strict
    ).module()
    for count in (2, 3, 5):
        args, kwargs = both.given(count)
        torch.testing.assert_close(program(*args, **kwargs), both.original(*args, **kwargs))


def _dynamic(name: str, value: Any) -> dict[int, Any] | None:
    if not isinstance(value, Tensor):
        return None
    dims = (0, 1) if name == "transformer" else (0,)
    return dict.fromkeys(dims, torch.export.Dim.DYNAMIC)


@each
def test_functional_call(name: str) -> None:
    both = pair(name)
    named = [*both.original.named_parameters(), *both.original.named_buffers()]
    doubled = {key: t.detach() * 2 if t.is_floating_point() else t for key, t in named}
    args, kwargs = both.given()
    results = [torch.func.functional_call(m, doubled, args, kwargs) for m in _models(both)]
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize("name", ["transformer", "buffered", "shared"])
def test_gradients_of_every_sample(name: str) -> None:
    both = pair(name)
    args, _ = both.given(4)
    expected, found = (per_sample(m, args[0]) for m in _models(both))
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient)


def test_gradients_of_every_sample_with_fixed_statistics() -> None:
    both = pair("convolutional")
    for model in _models(both):
        model.norm = nn.Identity()
    args, _ = both.given(4)
    expected, found = (per_sample(m, args[0]) for m in _models(both))
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient)


def per_sample(model: nn.Module, x: Tensor) -> Mapping[str, Tensor]:
    """Gradients by parameter for each sample; dim 0 is the samples."""
    parameters = {key: p.detach() for key, p in model.named_parameters()}

    def loss(given: dict[str, Tensor], sample: Tensor) -> Tensor:
        return torch.func.functional_call(model, given, (sample[None],)).pow(2).mean()

    found: Mapping[str, Tensor] = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    return found


def test_an_ensemble_by_vmap() -> None:
    both, other = pair("transformer"), pair("transformer").emitted
    with torch.no_grad():
        other.head.weight.mul_(2)
    parameters, buffers = torch.func.stack_module_state([both.emitted, other])
    args, _ = both.given(4)

    def run(given: Any, held: Any, x: Tensor) -> Any:
        return torch.func.functional_call(both.emitted, (given, held), (x,))

    results = torch.func.vmap(run, (0, 0, None))(parameters, buffers, args[0])
    torch.testing.assert_close(results, torch.stack([both.original(*args), other(*args)]))


@each
def test_weights_through_a_file(name: str, tmp_path: Path) -> None:
    both = pair(name)
    safetensors.torch.save_model(both.emitted, str(tmp_path / "emitted.safetensors"))
    torch.save(both.original.state_dict(), tmp_path / "original.pt")
    with torch.no_grad():
        for parameter in both.emitted.parameters():
            parameter.add_(1)
    both.emitted.load_state_dict(torch.load(tmp_path / "original.pt", weights_only=True))
    both.same()
    safetensors.torch.load_model(both.original, str(tmp_path / "emitted.safetensors"))
    both.same()


@pytest.mark.parametrize("name", ["convolutional", "transformer"])
@pytest.mark.parametrize("how", ["weight_norm", "spectral_norm", "orthogonal"])
def test_parametrisations_of_its_layers(name: str, how: str) -> None:
    both = pair(name)
    for model in _models(both):
        for module in _weighted(model):
            torch.manual_seed(0)
            getattr(parametrizations, how)(module)
    both.same()
    assert list(both.emitted.state_dict()) == list(both.original.state_dict())
    for model in _models(both):
        for module in _weighted(model):
            remove_parametrizations(module, "weight")
    both.same()


@pytest.mark.parametrize(
    "how",
    [
        lambda m: prune.l1_unstructured(m, "weight", 0.5),
        lambda m: prune.ln_structured(m, "weight", 0.5, n=2, dim=0),
    ],
    ids=["l1_unstructured", "ln_structured"],
)
@pytest.mark.parametrize("name", ["convolutional", "transformer"])
def test_masks_on_its_layers(name: str, how: Callable[[nn.Module], Any]) -> None:
    both = pair(name)
    for model in _models(both):
        for module in _weighted(model):
            how(module)
    both.same()
    assert list(both.emitted.state_dict()) == list(both.original.state_dict())
    for model in _models(both):
        for module in _weighted(model):
            prune.remove(module, "weight")
    both.same()


def _models(both: Pair) -> tuple[nn.Module, nn.Module]:
    return both.original, both.emitted


def _weighted(model: nn.Module) -> list[nn.Module]:
    """The convolutions and linear layers but for a head that shares its weight."""
    found = (m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    return [m for m in found if m.bias is not None]


DISTRIBUTED = """
import sys
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from tests.emit.networks import pair, tensors

store = distributed.FileStore(sys.argv[1], 1)
distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
for name in sys.argv[2:]:
    both = pair(name)
    args, kwargs = both.given(3)
    wrapped = DistributedDataParallel(both.emitted.train())
    for model in (both.original.train(), wrapped):
        torch.manual_seed(0)
        sum(t.pow(2).mean() for t in tensors(model(*args, **kwargs))).backward()
    expected = dict(both.original.named_parameters())
    for key, parameter in wrapped.module.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[key].grad)
    print(name, "done")
distributed.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_distributed_data_parallel(tmp_path: Path) -> None:
    names = ("convolutional", "partly_frozen", "transformer", "shared", "recurrent")
    done = subprocess.run(
        [sys.executable, "-c", DISTRIBUTED, str(tmp_path / "store"), *names],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done") == len(names)
