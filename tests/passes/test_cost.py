"""Costs against torch's own counter, on modules of several widths, and in scopes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from prunec.diagnostics import InternalError
from prunec.passes import axes, cost, group
from prunec.passes.cost import Costs
from prunec.trace import run as trace


def costs(module: nn.Module, *args: Tensor) -> Costs:
    graph = trace(module.eval(), args).graph
    return cost.run(graph, axes.run(graph))


def counted(module: nn.Module, *args: Tensor) -> int:
    """MACs of one sample as torch counts them."""
    math = sdpa_kernel(SDPBackend.MATH)  # the counter does not know the fused kernels of the CPU
    with FlopCounterMode(display=False) as counter, torch.no_grad(), math:
        module(*(a[:1] for a in args))
    flops: int = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


class Calls(nn.Module):
    """A function of its input as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def attention(x: Tensor) -> Tensor:
    q = x.reshape(x.shape[0], 5, 2, 6).transpose(1, 2)
    return F.scaled_dot_product_attention(q, q[:, :, :4, :], q[:, :, :4, :3])


MODULES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "conv1d": (nn.Conv1d(4, 6, 3, stride=2), (4, 11)),
    "conv2d": (nn.Conv2d(4, 6, (3, 5), padding=1), (4, 9, 8)),
    "conv3d": (nn.Conv3d(2, 3, 2), (2, 4, 5, 6)),
    "grouped": (nn.Conv2d(8, 12, 3, groups=4), (8, 7, 7)),
    "depthwise": (nn.Conv2d(8, 8, 3, groups=8, dilation=2), (8, 9, 9)),
    "same": (nn.Conv2d(3, 4, 3, padding="same"), (3, 9, 9)),
    "transposed": (nn.ConvTranspose2d(6, 4, 3, stride=2, output_padding=1), (6, 5, 4)),
    "transposed 1d, grouped": (nn.ConvTranspose1d(6, 4, 3, groups=2), (6, 5)),
    "linear": (nn.Linear(7, 5), (3, 7)),
    "matmul": (Calls(lambda x: x @ x.transpose(1, 2)), (4, 6)),
    "bmm": (Calls(lambda x: torch.bmm(x, x.transpose(1, 2))), (4, 6)),
    "baddbmm": (Calls(lambda x: torch.baddbmm(x[:, :, :4], x, x.transpose(1, 2))), (4, 6)),
    "einsum": (Calls(lambda x: torch.einsum("nic,njc->nij", x, x)), (4, 6)),
    "einsum of three": (Calls(lambda x: torch.einsum("nic,njc,njk->nik", x, x, x)), (4, 6)),
    "einsum with dots": (Calls(lambda x: torch.einsum("...ic,...jc->...ij", x, x)), (4, 6)),
    "attention": (Calls(attention), (5, 12)),
    "nothing": (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2)), (3, 4, 4)),
}


@pytest.mark.parametrize("name", MODULES)
def test_macs_are_half_of_what_torch_counts(name: str) -> None:
    module, shape = MODULES[name]
    x = torch.randn(3, *shape)
    found = costs(module, x)
    assert found.total("macs") == counted(module.eval(), x)
    assert found.total("params") == parameters(module)


class Net(nn.Module):
    """Residual, concatenation, grouped convolution and attention, in three widths."""

    def __init__(self, wide: int = 8, inner: int = 6, head: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, wide, 3, padding=1)
        self.a = nn.Conv2d(wide, inner, 1)
        self.norm = nn.BatchNorm2d(inner)
        self.b = nn.Conv2d(inner, wide, 3, padding=1)
        self.deep = nn.Conv2d(wide + inner, wide + inner, 3, padding=1, groups=wide + inner)
        self.qk = nn.Linear(wide + inner, head)
        self.out = nn.Linear(wide + inner, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.a(x))
        x = self.deep(torch.cat([x + self.b(y), y], 1)).flatten(2).transpose(1, 2)
        q = self.qk(x)
        weights = torch.softmax(q @ q.transpose(1, 2), -1)
        logits: Tensor = self.out((weights @ x).mean(1))
        return logits


@pytest.mark.parametrize("widths", [(8, 6, 5), (3, 6, 5), (8, 1, 2), (5, 4, 1)])
def test_costs_are_exact_at_every_width(widths: tuple[int, int, int]) -> None:
    x = torch.randn(2, 3, 6, 5)
    graph = trace(Net().eval(), (x,)).graph
    solved = axes.run(graph)
    by_size = {g.size: g.atom.id for g in group.run(graph, solved)}
    found = cost.run(graph, solved)
    kept = dict(zip((by_size[8], by_size[6], by_size[5]), widths, strict=True))
    slim = Net(*widths).eval()
    assert found.total("macs", kept) == counted(slim, x)
    assert found.total("params", kept) == parameters(slim)


def test_a_scope_counts_its_modules_and_all_below() -> None:
    block = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1))
    found = costs(nn.Sequential(nn.Conv2d(3, 4, 1), block, nn.Flatten()), torch.randn(2, 3, 5, 5))
    assert found.total("macs", scope=frozenset({"0"})) == 25 * 12
    assert found.total("macs", scope=frozenset({"1"})) == 9 * (16 * 9 + 16)
    assert found.total("macs", scope=frozenset({"1.1", "0"})) == 9 * 16 + 25 * 12
    assert found.total("macs", scope=frozenset({"1", "1.1"})) == 9 * (16 * 9 + 16)
    assert found.total("params", scope=frozenset({"1.1"})) == 16 + 4
    assert found.total("macs", scope=frozenset({""})) == found.total("macs")
    assert found.total("macs", scope=frozenset({"2"})) == 0


def test_a_module_called_twice_costs_twice_and_is_owned_once() -> None:
    layer = nn.Linear(4, 4)
    found = costs(nn.Sequential(layer, nn.ReLU(), layer), torch.randn(2, 4))
    assert found.total("macs") == 32
    assert found.total("params") == 20


def test_an_embedding_has_parameters_and_no_macs() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(11, 6), nn.Linear(6, 11, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids: Tensor) -> Tensor:
            logits: Tensor = self.head(self.embed(ids))
            return logits

    found = costs(Tied(), torch.zeros(2, 7, dtype=torch.int64))
    assert found.total("params") == 66
    assert found.total("params", scope=frozenset({"head"})) == 66
    length = found.total("macs") // 66
    assert found.total("macs") == 66 * length
    assert length > 1  # a dynamic length counts as in the example, only samples count as one


def test_what_folds_samples_into_another_axis_counts_one_sample() -> None:
    x = torch.randn(2, 4, 6)
    module = Calls(lambda x: (y := x.reshape(-1, 6)) @ y.new_ones(6, 5))
    linear = nn.Linear(6, 5)
    folded = nn.Sequential(Calls(lambda x: x.reshape(-1, 6)), linear)
    assert costs(folded, x).total("macs") == 4 * 30
    assert costs(module, x).total("macs") == 4 * 30


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_reads_all_matrices_at_every_step(
    cell: type[nn.LSTM | nn.GRU | nn.RNN],
) -> None:
    layer = cell(3, 5, num_layers=2, batch_first=True, bidirectional=True)
    matrices = sum(p.numel() for p in layer.parameters() if p.dim() == 2)
    module = Calls(lambda x: layer(x)[0])
    module.layer = layer
    assert costs(module, torch.randn(2, 7, 3)).total("macs") == 7 * matrices


def test_an_operator_without_axes_is_a_defect_not_a_guess() -> None:
    graph = trace(nn.Linear(3, 2).eval(), (torch.randn(2, 3),)).graph
    solved = axes.run(graph)
    with pytest.raises(InternalError, match="no axes"):
        cost.run(graph, replace(solved, values={}))
