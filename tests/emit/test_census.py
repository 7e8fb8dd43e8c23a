"""What is counted of an emitted file, and what the report says of it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

import prunec
from prunec import emit, trace
from prunec.emit import census

SOURCE = '''\
# A comment.

import torch
from torch import nn


class Net(nn.Module):
    """A docstring
    of two lines.
    """

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        """Return something."""
        x = self.fc(x).relu()

        return torch.ops.aten._foo.default(x, torch.ops.aten.bar.Tensor(x))


def load(path):
    return Net().eval()
'''


def test_counts_what_holds_code_and_what_runs() -> None:
    found = census.run(SOURCE)
    assert (found.lines, found.classes, found.calls) == (11, 1, 4)
    assert found.private == {"aten._foo.default": 1, "aten.bar.Tensor": 1}
    told = "2 of 4 calls have no public spelling in torch: aten._foo.default, aten.bar.Tensor"
    assert str(found) == told
    assert found.as_dict()["without_public_spelling"] == found.private


def test_the_report_tells_of_calls_without_a_public_spelling() -> None:
    found = trace.run(nn.Sequential(nn.Linear(4, 4)).eval(), (torch.randn(2, 4),))
    source = emit.run(found.graph, class_name="Slim", header="x")
    assert census.run(source).unspelled == 0
    spec = "target params <= 90%\nprune channels { score random(seed=0) }\nrepair none\n"
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
    report = prunec.compile(spec, model=net, args=(torch.randn(2, 4),)).report
    assert report.source is not None
    assert report.as_dict()["source"] == report.source.as_dict()
    assert "public spelling" not in str(report)
    told = str(replace(report, source=census.run(SOURCE)))
    assert "2 of 4 calls have no public spelling in torch: aten._foo.default" in told


def test_weight_normalisation_is_spelled_in_public_names() -> None:
    net = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 6, 3), dim=2).eval()
    args = (torch.randn(2, 4, 9),)
    found = trace.run(net, args)
    source = emit.run(found.graph, class_name="Slim", header="x", weights=found.weights)
    assert "torch.linalg.vector_norm(" in source
    assert census.run(source).unspelled == 0
    model = emit.load(source, found.weights, "Slim")
    torch.testing.assert_close(model(*args), net(*args))
    again = trace.run(model, args)
    assert emit.run(again.graph, class_name="Slim", header="x", weights=again.weights) == source
