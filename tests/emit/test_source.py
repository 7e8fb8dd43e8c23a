"""What no golden shows: determinism, class names, headers, flags, and odd call structures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

from prunec import emit, trace
from prunec.diagnostics import PruneError
from prunec.emit import names
from tests.emit import goldens

REPO = Path(__file__).parents[2]


def both(net: nn.Module, *args: Tensor) -> tuple[str, nn.Module]:
    """Source and module of a network; the source must be a fixed point, the results equal."""
    found = trace.run(net.eval(), args)
    source = emit.run(found.graph, class_name="Slim", header="test", weights=found.weights)
    model = emit.load(source, found.weights, "Slim")
    torch.testing.assert_close(model(*args), net(*args))
    again = trace.run(model, args)
    assert emit.run(again.graph, class_name="Slim", header="test", weights=again.weights) == source
    return source, model


def test_is_the_same_under_every_hash_seed() -> None:
    script = (
        "from tests.emit import goldens\n"
        "case = goldens.example('captured_values')\n"
        "print(goldens.source(goldens.traced(case.model, case)))\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=REPO,
            env={**os.environ, "PYTHONPATH": str(REPO), "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
        )
        for seed in ("1", "2")
    ]
    texts = {process.communicate()[0] for process in running}
    assert len(texts) == 1
    assert b"class Slim" in texts.pop()


@pytest.mark.parametrize("name", ["class", "Slim-1", "torch", "load", "1st", "", "a b"])
def test_refuses_a_class_name_that_is_none(name: str) -> None:
    found = trace.run(nn.Linear(2, 2).eval(), (torch.randn(2, 2),))
    with pytest.raises(PruneError) as error:
        emit.run(found.graph, class_name=name, header="")
    assert error.value.diagnostics[0].code == "P0701"


def test_the_header_is_a_comment_whatever_it_says() -> None:
    evil = "case.prune\nimport os\r\x0cimport sys\u2028x"
    shown = names.comment(evil)
    assert shown == "# case.prune\n# import os\\r\\x0cimport sys\\u2028x"


def test_a_flag_of_the_example_is_refused_when_it_changes() -> None:
    case = goldens.example("nested_inputs")
    found = goldens.traced(case.model, case)
    model = emit.load(goldens.source(found), found.weights, "Slim")
    with pytest.raises(ValueError, match="flip is fixed to False"):
        model(*case.args, flip=True)


def test_constants_without_values_go_to_the_weights_file() -> None:
    case = goldens.example("buffers_and_constants")
    found = goldens.traced(case.model, case)
    source = emit.run(found.graph, class_name="Slim", header="")
    assert 'for name in ["order", "table", "lifted_tensor_0"]:' in source
    model = emit.load(source, found.weights, "Slim")
    torch.testing.assert_close(model(*case.args), case.model(*case.args))


class Conditional(nn.Module):
    """A module whose calls differ."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor, twice: bool = False) -> Tensor:
        x = self.fc(x)
        return self.fc(x).relu() if twice else x


def test_a_module_whose_calls_differ_is_written_out_where_it_does() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Conditional()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(self.inner(x), twice=True)

    source, _ = both(Net(), torch.randn(3, 4))
    assert "self.inner.fc(self.inner(x))" in source


def test_a_module_held_elsewhere_is_reached() -> None:
    class Uses(nn.Module):
        def __init__(self, other: list[nn.Module]) -> None:
            super().__init__()
            self.other = other
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.other[0](x)) * self.other[0].weight.sum()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)
            self.b = Uses([self.a])

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x))

    both(Net(), torch.randn(3, 4))


def test_modules_that_are_never_called_keep_their_weights_only() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.drop = nn.Identity()
            self.unused = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4))
            self.aux = Conditional()

        def forward(self, x: Tensor) -> Tensor:
            return self.drop(self.fc(x))

    source, model = both(Net(), torch.randn(3, 4))
    assert list(model.state_dict()) == list(Net().state_dict())
    assert "Identity()" in source
    assert "self.drop" not in source


def test_some_frozen_parameters_stay_frozen() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)))
    net[0].bias.requires_grad_(False)
    net[1].requires_grad_(False)
    _, model = both(net, torch.randn(3, 4))
    expected = {n: p.requires_grad for n, p in net.named_parameters()}
    assert {n: p.requires_grad for n, p in model.named_parameters()} == expected


def test_a_pruned_layer_with_masks_is_written_out() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    prune.l1_unstructured(net[0], "weight", 0.5)
    _, model = both(net, torch.randn(3, 4))
    assert list(model.state_dict()) == list(net.state_dict())


def test_half_precision_is_kept() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)).to(torch.bfloat16)
    source, _ = both(net, torch.randn(3, 4, dtype=torch.bfloat16))
    assert "dtype=torch.bfloat16" in source


def test_settings_that_differ_become_parameters_in_order() -> None:
    class Branch(nn.Module):
        def __init__(self, inputs: int, inner: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.reduce = nn.Conv2d(inputs, inner, 1, stride=stride)
            self.expand = nn.Conv2d(inner, outputs, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.expand(F.relu(self.reduce(x)))

    net = nn.Sequential(Branch(3, 5, 7, 1), Branch(7, 4, 9, 2))
    source, _ = both(net, torch.randn(2, 3, 8, 8))
    assert "def __init__(self, in_channels, mid_channels, out_channels, stride=1):" in source
    assert "Branch(3, 5, 7), Branch(7, 4, 9, stride=2)" in source
