"""The weights file before it is written: never smaller than predicted, and only by its header."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

import prunec
from prunec import trace
from prunec.driver import Compiled
from prunec.emit import footprint, stored
from tests.passes.residual import ResNet, Transformer, spread

WEIGHTS = "slim.safetensors"
IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
IDS = torch.randint(11, (2, 5), generator=torch.Generator().manual_seed(0))


class Kept(nn.Module):
    """Buffers of every sort, a constant, a tied table, a shared half, and names in other scripts.

    The mask is written out while all of its values are; the scales are long.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 6), nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight
        self.größe = nn.Linear(6, 20).bfloat16()
        self.back = nn.Linear(20, 6)
        self.register_buffer("counter", torch.tensor(3))
        self.register_buffer("mask", torch.ones(6), persistent=False)
        self.register_buffer("scales", torch.rand(20), persistent=False)
        self.register_buffer("table", torch.rand(5, 70), persistent=False)
        self.offset = torch.arange(6.0)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) * self.mask + self.offset
        y = self.größe(x.bfloat16()).float() * self.scales
        x = x + self.back(y) + self.table.sum() + self.counter
        logits: Tensor = self.head(x)
        return logits


CASES: dict[str, tuple[type[nn.Module], Tensor, str]] = {
    "channels": (ResNet, IMAGES, "prune channels { score l2 }"),
    "blocks": (Transformer, TOKENS, "prune channels { score l2 }\nprune blocks { score random }"),
    "every sort": (Kept, IDS, "prune channels { score l2 }"),
    "vocabulary": (Kept, IDS, "prune vocabulary { score l2 }\nprune channels { score l2 }"),
}


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    made = CASES[name][0]()
    return made.eval() if isinstance(made, Kept) else spread(made)


def compiled(name: str, share: int) -> Compiled:
    _, x, rules = CASES[name]
    spec = f"target weights <= {share}%\n{rules}\nrepair none\n"
    return prunec.compile(spec, model=built(name), args=(x,))


@pytest.mark.parametrize("share", [60, 90])
@pytest.mark.parametrize("name", CASES)
def test_a_file_is_smaller_than_planned_by_less_than_a_header(name: str, share: int) -> None:
    made = compiled(name, share)
    (planned,) = (c for c in made.report.costs if c.metric == "weights")
    file = made.files[WEIGHTS]
    assert planned.bound is not None
    assert planned.slim <= planned.bound
    assert 0 <= planned.slim - len(file) < _header(file) // 2
    assert len(file) - _header(file) < planned.slim < planned.dense


@pytest.mark.parametrize("name", CASES)
def test_the_dense_file_is_as_long_as_predicted_but_for_its_offsets(name: str) -> None:
    found = trace.run(built(name), (CASES[name][1],))
    names = footprint.names(found.graph, found.weights, ())
    assert names == stored(found.graph, found.weights).keys()
    kept = {n: found.weights[n].detach() for n in names}
    file = save(kept, metadata={"format": "pt"})
    header = footprint.header(found.graph, names)
    spare = header - _header(file)
    digits = len(str(len(file)))
    assert 0 <= spare <= 2 * digits * len(names) + 7


def test_what_varies_may_have_to_be_stored() -> None:
    found = trace.run(Kept().eval(), (IDS,))
    everything = {w.name for w in found.graph.weights}
    fixed = footprint.names(found.graph, found.weights, ())
    assert everything - fixed == {"mask", "offset"}
    assert everything - footprint.names(found.graph, found.weights, ("mask",)) == {"offset"}


def test_values_that_are_not_there_count_as_stored() -> None:
    with torch.device("meta"):
        module = Kept().eval()
    found = trace.run(module, (IDS.to("meta"),))
    bare = {name: tensor.to("meta") for name, tensor in found.weights.items()}
    names = footprint.names(found.graph, bare, ())
    assert names == {w.name for w in found.graph.weights}


def _header(file: bytes) -> int:
    length = int.from_bytes(file[:8], "little")
    json.loads(file[8 : 8 + length])
    return 8 + length
