"""The twin accepts what is right and catches what is wrong: each test of the second half breaks one
thing.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunec.check import Removed, compare, double, fidelity, samples, twin
from tests.check import build


class Net(nn.Module):
    """Residual, grouped, normalised, dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.wide = nn.Conv2d(8, 12, 3, padding=1)
        self.group = nn.GroupNorm(3, 12)
        self.back = nn.Conv2d(12, 8, 1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = x + self.back(F.relu(self.group(self.wide(x))))
        return self.head(self.drop(x.mean((2, 3))))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.norm = nn.LayerNorm(8)
        self.out = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = (p.view(n, t, 2, 4).transpose(1, 2) for p in self.qkv(x).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c)
        return x + self.out(y)


@pytest.fixture(scope="module")
def net() -> build.Compiled:
    return build.compile(build.randomised(Net()), torch.randn(2, 3, 6, 6))


@pytest.fixture(scope="module")
def attention() -> build.Compiled:
    return build.compile(build.randomised(Attention()), torch.randn(2, 5, 8))


def test_right_is_equal_at_every_size_and_mode(net: build.Compiled) -> None:
    found = net.check(batches=(1, 2, 5))
    assert found.equal, found.diagnostics
    assert found.max_error < 1e-12
    names = [case.name for case in found.cases]
    modes = ["eval", "train"]
    assert names == [
        *(f"{mode}, N={n}" for mode in modes for n in (1, 2, 5)),
        *(f"generic weights, {mode}, N=2" for mode in modes),
    ]


def test_attention_is_equal(attention: build.Compiled) -> None:
    assert attention.check().equal


def test_the_slim_module_is_left_alone(net: build.Compiled) -> None:
    before = {k: v.clone() for k, v in net.slim.state_dict().items()}
    net.check()
    assert not net.slim.training
    assert all(torch.equal(v, before[k]) for k, v in net.slim.state_dict().items())


def test_train_mode_skips_what_torch_refuses() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.norm, self.head = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.fc(x)))

    found = build.compile(build.randomised(Pooled()), torch.randn(3, 4)).check()
    assert found.equal
    assert found.skipped == ("train, N=1",)


# -- wrong modules ---------------------------------------------------------------------------------


def test_a_wrong_index_is_seen_in_the_weights(net: build.Compiled) -> None:
    wrong = copy.deepcopy(net.slim)
    with torch.no_grad():
        wrong.get_parameter("back.weight").copy_(wrong.get_parameter("back.weight").flip(1))
    assert _codes(net.check(wrong)) == {"P0807"}


def test_a_wrong_claim_is_seen_in_the_outputs(net: build.Compiled) -> None:
    """All places agree but one value: the input of a consumer is masked elsewhere."""
    values = dict(net.removed.values)
    name = next(n.name for n in net.graph.nodes if n.op == "aten.add.Tensor")
    batch, channels, *space = values[name]  # type: ignore[misc]
    values[name] = (batch, channels[::-1].copy(), *space)  # type: ignore[index,assignment]
    mean = next(n.name for n in net.graph.nodes if n.op == "aten.mean.dim")
    dropped = next(n.name for n in net.graph.nodes if n.op == "aten.dropout.default")
    values[mean] = values[dropped] = (batch, channels[::-1].copy())  # type: ignore[index,assignment]
    wrong = Removed(values, net.removed.weights)
    found = twin.run(net.graph, net.weights, wrong, net.slim, net.example)
    assert _codes(found) == {"P0801"}


def test_an_ignored_flip_is_caught() -> None:
    class Flipped(nn.Module):
        def __init__(self, flip: bool) -> None:
            super().__init__()
            self.stem, self.head, self.flip = nn.Linear(3, 6), nn.Linear(6, 2), flip

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.head(x.flip(1) if self.flip else x)

    module = build.randomised(Flipped(flip=True))
    right = build.compile(module, torch.randn(2, 3))
    assert right.check().equal
    wrong = build.compile(_same_weights(Flipped(flip=False), module), torch.randn(2, 3))
    assert not wrong.removed.weights["stem.weight"][0].all()  # type: ignore[index,union-attr]
    slim = _with_flip(wrong.slim)
    assert wrong.check().equal
    flipped = twin.run(
        right.graph, right.weights, _renamed(wrong, right), slim, right.example, batches=(2,)
    )
    assert _codes(flipped) == {"P0801"}


def test_a_missing_scale_is_caught(attention: build.Compiled) -> None:
    assert "scale=0.5" in attention.source
    from prunec import emit

    source = attention.source.replace(", scale=0.5", "")
    assert _codes(attention.check(emit.load(source, attention.stored, "Slim"))) == {"P0801"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("padding=1", "padding=2"),
        ("F.relu(self.norm", "F.gelu(self.norm"),
        ("nn.BatchNorm2d(4)", "nn.BatchNorm2d(4, eps=2e-5)"),
        ("x + self.back", "x - self.back"),
        ("nn.GroupNorm(1", "nn.GroupNorm(2"),
    ],
)
def test_a_changed_character_is_caught(net: build.Compiled, old: str, new: str) -> None:
    from prunec import emit

    assert old in net.source, net.source
    try:
        wrong = emit.load(net.source.replace(old, new), net.stored, "Slim")
    except Exception as error:
        pytest.fail(f"the mutant does not load: {error}")
    assert _codes(net.check(wrong)) & {"P0801", "P0805"}


def test_dead_weights_hide_nothing() -> None:
    """A branch behind a zero scale computes nothing; the generic weights show what it would do."""

    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = nn.Linear(4, 6), nn.Linear(6, 4)
            self.gamma = nn.Parameter(torch.zeros(4))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.gamma * self.down(F.relu(self.up(x)))

    from prunec import emit

    made = build.compile(Dead().eval(), torch.randn(2, 4))
    assert made.check().equal
    wrong = emit.load(made.source.replace("F.relu", "F.gelu"), made.stored, "Slim")
    found = made.check(wrong)
    assert _codes(found) == {"P0801"}
    assert "generic weights" in found.diagnostics[0].message


def test_pruned_outputs_are_refused(net: build.Compiled) -> None:
    values = dict(net.removed.values)
    values[net.graph.outputs[0].name] = (None, next(iter(_masks(net))))
    wrong = Removed(values, net.removed.weights)
    found = twin.run(net.graph, net.weights, wrong, net.slim, net.example)
    assert _codes(found) == {"P0804"}


def test_an_operator_without_a_masked_form_is_refused() -> None:
    class Similar(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(3, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.head(x) * F.pairwise_distance(x, x.exp())[:, None]

    made = build.compile(build.randomised(Similar()), torch.randn(2, 3))
    assert made.check().equal  # frozen
    node = next(n.name for n in made.graph.nodes if n.op == "aten.linear.default")
    mask = torch.tensor([True, False] * 3).numpy()
    wrong = Removed({node: (None, mask)}, {})
    found = twin.run(made.graph, made.weights, wrong, made.slim, made.example)
    assert _codes(found) == {"P0803"}
    assert "pairwise_distance" in found.diagnostics[0].message


def test_outputs_that_are_nowhere_finite_prove_nothing(net: build.Compiled) -> None:
    weights = {**net.weights, "head.bias": torch.full((4,), torch.nan)}
    slim = copy.deepcopy(net.slim)
    with torch.no_grad():
        slim.get_parameter("head.bias").fill_(torch.nan)
    found = twin.run(net.graph, weights, net.removed, slim, net.example)
    assert _codes(found) == {"P0806"}


# -- the graph and the original --------------------------------------------------------------------


def test_fidelity_of_a_graph(net: build.Compiled) -> None:
    module = Net().eval()
    module.load_state_dict(dict(net.weights))
    assert fidelity.run(net.graph, net.weights, module, net.example).equal
    module.norm.eps = 0.1
    found = fidelity.run(net.graph, net.weights, module, net.example)
    assert _codes(found) == {"P0802"}


# -- the parts -------------------------------------------------------------------------------------


def test_errors_are_relative_and_strict() -> None:
    one = torch.tensor([100.0, torch.nan, torch.inf])
    assert compare.error(one, one) == 0
    assert compare.error(one, one + torch.tensor([1e-3, 0, 0])) == pytest.approx(1e-5, rel=0.1)
    assert compare.error(one, torch.tensor([100.0, torch.nan, -torch.inf])) == torch.inf
    assert compare.error(one, torch.tensor([100.0, 0.0, torch.inf])) == torch.inf
    assert compare.error(torch.tensor([1]), torch.tensor([2])) == torch.inf
    assert compare.error(one, one[:2]) == torch.inf


def test_token_samples_are_rows_of_the_embedding() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(7, 4), nn.Linear(4, 7)

        def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
            return self.head(self.embed(tokens)) * mask[:, :, None]

    tokens, mask = torch.zeros(2, 3, dtype=torch.long), torch.tensor([[1.0, 1, 0], [1, 0, 0]])
    made = build.compile(Tokens().eval(), tokens, mask)
    drawn = samples.draw(made.graph, made.example, {"N": 40, "T": 3})
    assert drawn[0].shape == (40, 3)
    assert set(drawn[0].flatten().tolist()) == set(range(7))
    assert torch.equal(drawn[1][:2], mask.double())
    assert made.check().equal


def _codes(found: twin.Result) -> set[str]:
    assert not found.equal
    return {d.code for d in found.diagnostics}


def _masks(made: build.Compiled) -> list[object]:
    return [m for kept in made.removed.values.values() for m in kept or () if m is not None]


def _same_weights(module: nn.Module, other: nn.Module) -> nn.Module:
    module.load_state_dict(other.state_dict())
    return module.eval()


def _with_flip(slim: nn.Module) -> nn.Module:
    """A slim module that flips what its head reads: the kept slice, not the dense channels."""
    slim = copy.deepcopy(slim)
    slim.get_submodule("head").register_forward_pre_hook(lambda m, args: (args[0].flip(1),))
    return slim


def _renamed(wrong: build.Compiled, right: build.Compiled) -> Removed:
    """The claim of a compiler that takes a flip for an element-wise operator."""
    linear = next(n.name for n in wrong.graph.nodes if n.op == "aten.linear.default")
    flip = next(n.name for n in right.graph.nodes if n.op == "aten.flip.default")
    values = {**wrong.removed.values, flip: wrong.removed.values[linear]}
    return Removed(values, wrong.removed.weights)


def test_complex_tensors_are_widened_too() -> None:
    module = nn.Module()
    module.register_buffer("phase", torch.tensor([1j]))
    assert double.module(module, train=False).phase.dtype == torch.complex128
