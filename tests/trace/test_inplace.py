"""In-place operators become functional, and everything that shares their memory sees the write."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunec import trace
from prunec.diagnostics import PruneError
from prunec.ir.verify import is_functional
from tests.trace import interpreter


class Function(nn.Module):
    """A module around a function, with one weight of the inputs' width."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.arange(1.0, 7.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x * self.weight)


def relu_then_read(x):
    y = x + 1
    y.relu_()
    return y * 2


def write_seen_through_view(x):
    v = x[:, 1:3]
    x.mul_(2)
    return v + 0


def write_through_slice(x):
    x[:, 1:4] += 10
    return x


def write_through_strided_slice(x):
    x[:, ::2] = x[:, 1::2] * 3
    return x


def write_through_select(x):
    x[:, 2] = -1.0
    return x.cumsum(1)


def write_through_chain(x):
    v = x.view(-1, 2, 3).transpose(1, 2)[:, 1]
    v.add_(100)
    return x, v


def write_through_permute(x):
    y = x.reshape(-1, 3, 2, 1).permute(3, 2, 0, 1)
    y[0, 1].zero_()
    return x * 1, y


def write_through_unsqueeze_and_flatten(x):
    x.unsqueeze(1).unsqueeze(-1).flatten(1)[:, 3:].neg_()
    return x


def write_through_chunk(x):
    a, b = x.chunk(2, dim=1)
    a.mul_(b)
    return x, a + b


def write_through_split(x):
    a, b, c = x.split([1, 2, 3], dim=-1)
    c.sub_(1)
    b.fill_(7)
    return torch.cat([c, b, a], dim=1), x


def write_through_unbind(x):
    first, *_, last = x.unbind(1)
    last.copy_(first)
    return x, last


def write_through_diagonal(x):
    y = x[:, :3, None] * x[:, None, 3:]
    torch.diagonal(y, 0, 1, 2).fill_(0.5)
    return y


def write_through_squeeze_and_movedim(x):
    y = x.view(-1, 1, 6)
    y.movedim(0, 2).squeeze(0)[2].exp_()
    return x, y


def write_through_unflatten(x):
    x.unflatten(1, (2, 3))[:, 1].clamp_(max=3)
    return x


def sibling_views(x):
    a, b = x[:, :4], x[:, 2:]
    a += 1
    c = b.sum()
    b *= 3
    return a, b, c, x


def fill_masked(x):
    x.masked_fill_(x > 5, 0.0)
    return x


def index_put(x):
    x[:, torch.tensor([0, 5])] = 9.0
    x[x < 0] = 1.0
    return x


def copy_broadcasts_and_casts(x):
    y = x.new_zeros(x.shape)
    y.copy_(torch.arange(6))
    y[:, :2] = y.new_tensor([3, 4], dtype=torch.float64)
    return x + y


def promotion_keeps_the_dtype(x):
    half = x.half()
    half += torch.full_like(x, 0.1)
    return half


def operators_in_place(x):
    x += 1
    x -= 0.5
    x *= x
    x /= 3
    x **= 2
    x.sigmoid_().clamp_(0.1, 0.9).sqrt_()
    mask = x > 0.5
    mask &= x < 0.8
    return x, mask


def contiguous_of_a_copy(x):
    y = x.view(-1, 2, 3).transpose(1, 2).contiguous()
    y.add_(1)
    return x, y


def contiguous_of_itself(x):
    x.contiguous().add_(1)
    return x


def cast_to_the_same(x):
    x.to(torch.float32).add_(1)
    return x


def detached(x):
    x.detach().add_(1)
    return x


def fresh_constant(x):
    c = torch.tensor([1.0, 2.0])
    c *= 2
    c[0] = 5
    return x[:, :2] * c


def functional_in_place(x):
    y = F.relu(x - 20, inplace=True)
    y = F.hardswish(y, inplace=True)
    return F.dropout(y, 0.5, False, inplace=True)


def swin_mask(x):
    mask = x.new_zeros((4, 4))
    count = 0
    for rows in ((0, -2), (-2, -1), (-1, None)):
        for columns in ((0, -2), (-2, None)):
            mask[rows[0] : rows[1], columns[0] : columns[1]] = count
            count += 1
    return x[:, :4] @ mask


CASES = [
    v for v in dict(globals()).values() if getattr(v, "__module__", "") == __name__ and callable(v)
]
CASES.remove(Function)
CUTS = {detached: ["P0325"]}


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_graph_equals_module(function):
    module = Function(function)
    traced = trace.run(module, (torch.randn(4, 6),))
    assert all(is_functional(node.op) for node in traced.graph.nodes)
    assert [n.code for n in traced.notes] == CUTS.get(function, [])
    for batch in (2, 3, 5):
        interpreter.equal(traced, module, torch.randn(batch, 6) * 5)


def writes_its_input(self, x):
    x[:, 1] = 0
    return x * self.weight


def writes_a_buffer(self, x):
    self.seen += 1
    return x * self.seen


def writes_a_parameter(self, x):
    self.weight.mul_(0.9)
    return x * self.weight


def writes_statistics(self, x):
    return F.batch_norm(x, self.mean, self.var, training=True)


def writes_behind_dropout_and_reads_before(self, x):
    y = x * self.weight
    z = F.dropout(y, 0.5, self.training)
    z += 1
    return z * y


def writes_through_an_expanded(self, x):
    y = (x * self.weight)[:, :1]
    g = torch.meshgrid(y[:, 0], y[:, 0], indexing="ij")[0]
    y += 1
    return g + 1


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (writes_its_input, "its input `x`"),
        (writes_a_buffer, "its buffer `seen`"),
        (writes_a_parameter, "its parameter `weight`"),
        (writes_statistics, "running statistics"),
        (writes_behind_dropout_and_reads_before, "eval mode only"),
        (writes_through_an_expanded, "meshgrid"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_writes_that_have_no_functional_form_are_refused(body, named):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6))
            self.register_buffer("seen", torch.zeros(1))
            self.register_buffer("mean", torch.zeros(6))
            self.register_buffer("var", torch.ones(6))

        def forward(self, x: Tensor) -> Tensor:
            return body(self, x)

    with pytest.raises(PruneError) as caught:
        trace.run(Net(), (torch.randn(4, 6),))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "P0312"
    assert named in diagnostic.message
    assert any("test_inplace.py" in note for note in diagnostic.notes)
    assert diagnostic.help


def test_dropout_in_place_is_allowed_where_nothing_else_reads_its_input():
    module = Function(lambda x: F.dropout(x + 1, 0.5, False).add_(1).mul_(2))
    traced = trace.run(module, (torch.randn(4, 6),))
    interpreter.equal(traced, module, torch.randn(3, 6))
