"""Users' classes that are, or extend, torch.nn's; operators on a child's own weights; loops."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.emit.test_source import both


class Holder(nn.Module):
    """One module and nothing else."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Function(nn.Module):
    """A module that is one function."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)  # type: ignore[operator]


ONE = {
    "nn.SiLU()": (F.silu, (2, 4)),
    "nn.ReLU6()": (F.relu6, (2, 4)),
    "nn.Softmax(dim=-1)": (lambda x: x.softmax(-1), (2, 4)),
    "nn.MaxPool2d(3, stride=2, padding=1)": (lambda x: F.max_pool2d(x, 3, 2, 1), (2, 3, 8, 8)),
    "nn.ReflectionPad2d((1, 1, 2, 2))": (lambda x: F.pad(x, (1, 1, 2, 2), "reflect"), (2, 3, 8, 8)),
    'nn.Upsample(scale_factor=2, mode="bilinear")': (
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        (2, 3, 4, 4),
    ),
}


@pytest.mark.parametrize("line", ONE)
def test_a_class_that_is_one_function_is_a_module_of_torch(line: str) -> None:
    function, shape = ONE[line]
    source, _ = both(Holder(Function(function)), torch.randn(shape))
    assert f"self.inner = {line}" in source


class Norm2d(nn.BatchNorm2d):
    def __init__(self) -> None:
        super().__init__(4, eps=1e-4, momentum=0.2)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x)) + self.weight.sum()


class Channels(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, -1)).transpose(1, -1)


class Scaled(nn.Embedding):
    def __init__(self) -> None:
        super().__init__(7, 4, padding_idx=0)
        self.register_buffer("scale", torch.tensor(2.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


class Same(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)))


def test_a_class_extends_the_class_of_torch_that_it_is_made_of() -> None:
    image = torch.randn(2, 4, 6, 6)
    source, model = both(Holder(Norm2d()), image)
    assert "class Norm2d(nn.BatchNorm2d):" in source
    assert "super().__init__(4, eps=0.0001, momentum=0.2)" in source
    assert list(model.state_dict()) == list(Holder(Norm2d()).state_dict())
    for module, line in (
        (Channels(4, eps=1e-3), "super().__init__(4, eps=0.001)"),
        (Same(4, 8, 3, stride=2, bias=False), "super().__init__(4, 8, 3, stride=2, bias=False)"),
    ):
        source, _ = both(Holder(module), image)
        assert line in source
        assert "super().forward(" in source
    source, _ = both(Holder(Scaled()), torch.tensor([[1, 2, 0]]))
    assert "super().__init__(7, 4, padding_idx=0)" in source


def test_widths_make_no_classes_of_a_class_that_extends() -> None:
    net = nn.Sequential(Channels(4), nn.Conv2d(4, 6, 1), Channels(6))
    source, _ = both(net, torch.randn(2, 4, 6, 6))
    assert source.count("class Channels") == 1
    assert "Channels(6)" in source


class BatchStatistics(nn.BatchNorm2d):
    """Normalises by the batch, in evaluation too."""

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True)


class Clash(nn.LayerNorm):
    """Has a child where ``nn.LayerNorm`` has a setting."""

    def __init__(self) -> None:
        super().__init__(4)
        del self.eps
        self.eps = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.eps(F.layer_norm(x, (4,), self.weight, self.bias))  # type: ignore[operator]


class Odd(nn.Module):
    """A bias of one number, which no ``nn.Linear`` has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4))
        self.bias = nn.Parameter(torch.randn(1))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


@pytest.mark.parametrize(
    ("module", "shape"),
    [(BatchStatistics(4), (2, 4, 3, 3)), (Clash(), (2, 4)), (Odd(), (2, 4))],
)
def test_what_only_looks_like_a_class_of_torch_is_written_out(
    module: nn.Module, shape: tuple[int, ...]
) -> None:
    source, _ = both(Holder(module), torch.randn(shape))
    assert "nn.Parameter(torch.empty(" in source


class Functional(nn.Module):
    """Uses its children by their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.twice = nn.Conv1d(4, 4, 3, padding=1)
        self.circular = nn.Conv1d(4, 4, 3, padding=1, padding_mode="circular")
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.fc.weight, self.fc.bias)
        x = F.conv1d(x, self.twice.weight, self.twice.bias, padding=1)
        x = F.conv1d(x, self.twice.weight, self.twice.bias, padding=2, dilation=2)
        x = F.conv1d(x, self.circular.weight, self.circular.bias, padding=1)
        mean, var = self.norm.running_mean, self.norm.running_var
        return F.batch_norm(x, mean, var, self.norm.weight, self.norm.bias)


def test_an_operator_on_the_weights_of_a_child_is_its_call_where_it_does_the_same() -> None:
    source, _ = both(Functional(), torch.randn(2, 4, 4))
    assert "self.fc(x)" in source
    assert "self.norm(" in source
    assert source.count(", self.twice.weight") == 2
    assert "F.conv1d(x, self.circular.weight" in source


class Iterated(nn.Module):
    """Goes through ``nn.Sequential``s itself."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4)))
        self.read = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        self.apart = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.whole[1][1](self.whole[1][0](self.whole[0](x)))
        y = self.read[0](x)
        x = self.read[1](y) + y
        x = self.apart[1](self.apart[0](x))
        return x + self.apart[2](x)


def test_a_sequential_is_called_where_its_members_are_called_in_turn() -> None:
    source, _ = both(Iterated(), torch.randn(2, 4))
    assert "self.whole(x)" in source
    assert "self.read[0](" in source
    assert "self.apart[1](self.apart[0](" in source


class Mixed(nn.Module):
    """Members that are called in ways that no loop has."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))
        self.heads = nn.ModuleList(nn.Linear(4, 2) for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen = [x]
        for step in self.steps:
            seen.append(step(seen[-1]))
        first, second = (head(x) for head in self.heads)
        return torch.cat([seen[2], seen[1]]), torch.cat([second, first])


def test_lists_in_another_order_are_written_out() -> None:
    source, _ = both(Mixed(), torch.randn(2, 4))
    assert "features" not in source


def test_a_sequential_with_names_is_made_from_them() -> None:
    three = [("conv", nn.Linear(4, 4)), ("act", nn.ReLU()), ("head", nn.Linear(4, 2))]
    source, model = both(Holder(nn.Sequential(OrderedDict(three))), torch.randn(2, 4))
    assert "from collections import OrderedDict" in source
    assert "OrderedDict(conv=nn.Linear(4, 4), act=nn.ReLU(), head=nn.Linear(4, 2))" in source
    assert list(dict(model.named_modules())) == [
        "",
        "inner",
        "inner.conv",
        "inner.act",
        "inner.head",
    ]
    odd = [("1st", nn.Linear(4, 4)), ("act", nn.ReLU()), ("forward_", nn.Linear(4, 2))]
    source, _ = both(Holder(nn.Sequential(OrderedDict(odd))), torch.randn(2, 4))
    assert "OrderedDict" not in source
