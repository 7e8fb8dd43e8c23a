"""Counting lines of code, and what `GraphModule.to_folder` leaves."""

from __future__ import annotations

import torch
from torch import fx, nn

from examples.benchmarks import counting, source
from examples.benchmarks.counting import Count
from examples.resnet56.model import Block, ResNet

TEXT = '''"""A docstring
of two lines."""

import os  # a comment


class A:
    """Another."""

    # a comment
    x = """a text
    of two lines"""

    def f(self):
        """The last."""
        return (
            # a comment
            1
        )
'''


def test_lines_of_code() -> None:
    assert sorted(counting.code_lines(TEXT)) == [4, 7, 11, 12, 14, 16, 18, 19]
    assert counting.of_text(TEXT) == Count(8, 1)


def add_one(x: torch.Tensor) -> torch.Tensor:
    # a comment
    return plain(x) + 1


def plain(x: torch.Tensor) -> torch.Tensor:
    return x


class Base(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return add_one(x)


class Derived(Base):
    """Has a base class in the same file, which calls functions of the same file."""

    width = 3


def test_a_model_is_its_classes_their_bases_and_the_functions_that_these_name() -> None:
    assert counting.of_model(Derived()) == Count(2 + 3 + 2 + 2, 2)
    assert counting.of_model(nn.Sequential(Derived(), Derived(), nn.ReLU())) == Count(9, 2)
    assert counting.of_model(nn.ReLU()) == Count(0, 0)


def test_functions_that_build_are_counted_once() -> None:
    assert counting.of_model(Derived(), [plain, Derived]) == Count(9, 2)
    found = counting.of_model(ResNet(1))
    assert found.classes == len({Block, ResNet})


def test_what_a_folder_holds() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 3))).eval()
    found = source.folder(fx.symbolic_trace(net))
    assert found.files >= 3
    assert found.pickled >= 1
    assert found.imports > 3
    assert found.problem.endswith("loads")
