"""A part of a model: what it is called with, what is refused, and the slim part in its place."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import prunec
import tests.torchvision_ops  # noqa: F401  (torchvision needs it)
from prunec import PruneError
from prunec.driver import Compiled

X = torch.zeros(2, 3, 8, 8)


def spec(part: str, more: str = "", score: str = "l2") -> str:
    rest = more or "repair none"
    return f'''model {{ part "{part}" }}
target macs <= 60%
prune channels {{ score {score} }}
{rest}
'''


class Body(nn.Module):
    """Two maps of features, by name; ``scale`` is passed by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.inner = nn.Conv2d(8, 12, 3, padding=1)
        self.out = nn.Conv2d(12, 4, 1)

    def forward(self, x: Tensor, *, scale: float, shift: Tensor) -> OrderedDict[str, Tensor]:
        low = torch.relu(self.stem(x)) * scale + shift
        high = self.out(torch.relu(self.inner(low)))
        return OrderedDict([("low", high), ("high", high.mean((2, 3)))])


class Detector(nn.Module):
    """Nothing that can be captured as a whole: a loop whose length depends on values."""

    def __init__(self, body: nn.Module | None = None) -> None:
        super().__init__()
        self.parts = nn.ModuleList([nn.Identity(), body or Body()])
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor, extra: float = 0.5) -> Tensor:
        shift = torch.full((x.shape[0], 1, 1, 1), 0.25)
        found = self.parts[1](x + 1, scale=extra, shift=shift)
        total = found["high"]
        while bool(total.abs().sum() > 1e4):
            total = total / 2
        return self.head(total)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Detector().eval()


def batches(count: int = 2) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        x = torch.randn(8, 3, 8, 8, generator=generator)
        yield x, torch.randint(5, (8,), generator=generator)


def code(net: nn.Module, text: str, **more: object) -> str:
    more = {"args": (X,), **more}
    with pytest.raises(PruneError) as caught:
        prunec.compile(text, model=net, check=False, **more)  # type: ignore[arg-type]
    return caught.value.diagnostics[0].code


def of(net: nn.Module, text: str, **more: object) -> Compiled:
    return prunec.compile(text, model=net, args=(X,), check=False, **more)  # type: ignore[arg-type]


# --- What it gives -------------------------------------------------------------------------------


def test_a_part_is_compiled_proved_and_installed(net: nn.Module) -> None:
    made = prunec.compile(spec("parts.1"), model=net, args=(X,))
    assert made.report.passed
    assert len(made.report.checks) == 5
    assert "class SlimBody" in made.source
    assert {w.group for w in made.report.widths} == {"stem", "inner"}
    again = prunec.verify(net, made, args=(X,))
    assert again.checks == made.report.checks
    before = sum(p.numel() for p in net.parameters())
    x = torch.randn(3, 3, 8, 8)
    shift = torch.full((3, 1, 1, 1), 0.25)
    want = made.module(x + 1, scale=0.5, shift=shift)["high"]
    net.train()
    assert made.install(net) is net
    assert sum(p.numel() for p in net.parameters()) < before
    assert net.get_submodule("parts.1").training
    assert torch.allclose(net.eval()(x), net.head(want))  # type: ignore[operator]


def test_data_are_those_of_the_whole_model(net: nn.Module) -> None:
    text = spec("parts.1", "repair least_squares", "obs")
    given = copy.deepcopy(net)
    made = of(net, text, calibrate=batches(), evaluate=batches())
    assert made.report.accuracy is not None
    assert made.report.accuracy.count == 16
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), given.parameters(), strict=True))
    named = ({"x": x, "labels": labels} for x, labels in batches())
    assert of(net, text, calibrate=named).files == of(net, text, calibrate=batches()).files
    assert code(net, text, calibrate=[{"y": X}]) == "P0405"
    assert code(net, text, calibrate=[torch.zeros(2, 4, 8, 8)]) == "P0403"
    assert code(net, text, calibrate=[(X, X, X)]) == "P0405"


def test_dimensions_that_change_with_the_models_inputs_are_dynamic() -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(6, 9), nn.Linear(9, 6)

        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return self.two(torch.relu(self.one(x))) * mask

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.inner = nn.Embedding(11, 6), nn.Sequential(nn.Identity(), Inner())

        def forward(self, tokens: Tensor) -> Tensor:
            mask = (tokens > 0)[..., None]
            return self.inner[1](self.embed(tokens), mask)

    net = Tokens().eval()
    tokens = torch.arange(10).reshape(2, 5)
    made = prunec.compile(spec("inner.1"), model=net, args=(tokens,))
    assert made.report.passed
    assert made.install(net)(torch.arange(9).reshape(1, 9)).shape == (1, 9, 6)


def test_analyze_takes_a_part(net: nn.Module) -> None:
    found = prunec.analyze(net, args=(X,), part="parts.1")
    assert {g.name for g in found.groups} == {"stem", "inner"}


def test_a_model_that_fails_behind_its_part(net: nn.Module) -> None:
    def broken(x: Tensor) -> Tensor:
        raise NotImplementedError("no kernel")

    net.head.forward = broken  # type: ignore[method-assign, assignment]
    assert of(net, spec("parts.1")).report.passed


def test_the_backbone_of_a_two_stage_detector() -> None:
    detection = pytest.importorskip("torchvision").models.detection
    net = detection.fasterrcnn_mobilenet_v3_large_fpn(
        weights=None, weights_backbone=None, min_size=96, max_size=96
    ).eval()
    images = [torch.rand(3, 96, 96), torch.rand(3, 96, 80)]
    made = prunec.compile(spec("backbone", score="random(seed=0)"), model=net, args=(images,))
    assert made.report.passed
    x = torch.rand(1, 3, 64, 128)
    want = net.backbone(x)
    slim = made.install(net).backbone
    assert type(slim) is type(made.module)
    found = slim(x)  # type: ignore[operator]
    assert type(found) is OrderedDict
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in want.items()}


@pytest.mark.parametrize("path", ["model", "model.layers.1", "model.layers.0.self_attn"])
def test_parts_of_a_language_model(path: str) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, use_cache=False,
    )  # fmt: skip
    net = transformers.LlamaForCausalLM(config).eval()
    made = prunec.compile(spec(path), model=net, args=(torch.arange(26).reshape(2, 13),))
    assert made.report.passed
    assert made.install(net)(torch.arange(10).reshape(2, 5)).logits.shape == (2, 5, 50)


# --- What it refuses -----------------------------------------------------------------------------


def test_unknown_parts_and_parts_that_are_not_called(net: nn.Module) -> None:
    with pytest.raises(PruneError, match=r"did you mean `parts\.1`"):
        of(net, spec("part.1"))
    with pytest.raises(PruneError, match="its parts are `parts`, `head`"):
        of(net, spec("zzz"))
    assert code(net, spec("parts.0")) == "P0342"
    assert code(net, spec("parts.1"), args=("text",)) == "P0342"


def test_labels_are_of_the_whole_model(net: nn.Module) -> None:
    assert code(net, spec("parts.1", score="taylor"), calibrate=batches()) == "P0346"


def test_a_whole_model_cannot_be_installed(net: nn.Module) -> None:
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 3)).eval()
    made = of(plain, "target macs <= 60%\nprune channels { score l2 }\nrepair none\n")
    with pytest.raises(PruneError, match=r"compiled\.module"):
        made.install(plain)
    part = of(net, spec("parts.1"))
    with pytest.raises(PruneError, match="P0345"):
        part.install(plain)
    part.install(net)
    with pytest.raises(PruneError, match="P0345"):
        of(Detector().eval(), spec("parts.1").replace("60%", "90%")).install(net)


def test_calls_with_other_shapes_are_told(net: nn.Module) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x).mean() + self.body(x[..., ::2]).mean()

    made = of(Twice().eval(), spec("body"))
    (warning,) = (d for d in made.report.diagnostics if d.severity == "warning")
    assert warning.code == "P0343"


class Tied(nn.Module):
    """A head that reads the weight of its part: by a tie, or through an attribute."""

    def __init__(self, tie: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 8), nn.Linear(8, 5))
        self.head = nn.Linear(6, 4, bias=False)
        self.tie = tie
        if tie:
            self.head.weight = nn.Parameter(self.body[0].weight.T)
            self.body[0] = nn.Linear(4, 6)
            self.body[0].weight = nn.Parameter(torch.randn(6, 4))
            self.head = nn.Linear(4, 6, bias=False)
            self.head.weight = self.body[0].weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        weight = self.head.weight if self.tie else self.body[0].weight
        return torch.cat([y, nn.functional.linear(x, weight)], -1)


@pytest.mark.parametrize("tie", [True, False])
def test_weights_that_the_rest_uses_must_not_change(tie: bool) -> None:
    net = Tied(tie).eval()
    x = torch.randn(3, 4)
    assert code(net, spec("body"), args=(x,)) == "P0344"
    made = prunec.compile(
        spec("body", 'freeze "0" repair none').replace("60%", "90%"), model=net, args=(x,)
    )
    weight = net.body[0].weight
    made.install(net)
    assert net.body[0].weight is weight
    assert net.body[2].in_features < 8
    assert net(x).shape == (3, 11)
