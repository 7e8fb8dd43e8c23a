"""Names, ties, scopes, modules and the structure of inputs and outputs."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, namedtuple
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from prunec import trace
from prunec.diagnostics import PruneError
from prunec.ir.graph import Call, Dict_, Parameter, Ref, Sequence_, WeightRef
from tests.trace import interpreter


class Pair(NamedTuple):
    left: Tensor
    right: Tensor | None


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.act(self.fc(x))) + x


class Net(nn.Module):
    """Shared modules, tied weights, buffers of both kinds, a constant, a repeated call."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Block()
        self.again = self.first
        self.embed = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight
        self.norm = nn.BatchNorm1d(4)
        self.unused = nn.Linear(2, 2)
        self.register_buffer("scale", torch.full((4,), 2.0), persistent=False)
        self.table = torch.arange(4.0)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.norm(self.embed(ids).mean(1)) * self.scale + self.table
        x = self.first(x)
        x = self.again(x)
        return self.head(self.first(x)) + torch.tensor(0.5)


@pytest.fixture(scope="module")
def net():
    module = Net()
    module.norm.running_mean.uniform_()
    return module, trace.run(module, (torch.zeros(2, 5, dtype=torch.long),))


def test_graph_equals_module(net):
    module, traced = net
    for batch in (1, 2, 5):
        interpreter.equal(traced, module, torch.randint(0, 7, (batch, 6)))


def test_every_weight_is_listed_once_with_its_ties(net):
    module, traced = net
    graph = traced.graph
    listed = {name for w in graph.weights for name in (w.name, *w.ties) if w.persistent}
    assert listed == set(module.state_dict())
    tied = graph.weight["embed.weight"]
    assert (tied.kind, tied.ties) == ("parameter", ("head.weight",))
    assert graph.weight["first.fc.weight"].ties == ("again.fc.weight",)
    assert graph.weight["norm.num_batches_tracked"].kind == "buffer"
    assert "unused.weight" in graph.weight
    scale = graph.weight["scale"]
    assert (scale.kind, scale.persistent, scale.requires_grad) == ("buffer", False, False)
    assert graph.weight["table"].kind == "constant"
    constants = [w for w in graph.weights if w.kind == "constant"]
    assert [tuple(w.type.shape) for w in constants] == [(4,), ()]


def test_tensors_are_the_modules_own(net):
    module, traced = net
    assert traced.weights.keys() == {w.name for w in traced.graph.weights}
    assert traced.weights["embed.weight"].data_ptr() == module.head.weight.data_ptr()
    assert not any(t.requires_grad for t in traced.weights.values())


def test_shared_modules_have_one_path_and_counted_calls(net):
    _, traced = net
    blocks = [n.scope[1] for n in traced.graph.nodes if n.op == "aten.linear.default"][:3]
    name = f"{__name__}.Block"
    assert blocks == [Call("first", name, i) for i in range(3)]
    assert "again" not in traced.graph.module


def test_modules_tell_their_settings(net):
    _, traced = net
    module = traced.graph.module
    assert traced.graph.modules[0].path == ""
    assert module[""].children == (
        "first",
        "again",
        "embed",
        "head",
        "norm",
        "unused",
    )
    assert module["first"].config == ()
    assert dict(module["head"].config) == {"in_features": 4, "out_features": 7, "bias": False}
    assert dict(module["norm"].config)["eps"] == 1e-5
    assert module["norm"].weights == (
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    )
    assert dict(module["first.drop"].config) == {"p": 0.1, "inplace": False}


def test_lines_point_into_the_users_file(net):
    _, traced = net
    lines = {n.line for n in traced.graph.nodes if n.line}
    assert lines
    assert all(line.startswith("tests/trace/test_structure.py:") for line in lines)


def test_training_flags_survive():
    module = Net()
    module.first.eval()
    flags = [m.training for m in module.modules()]
    trace.run(module, (torch.zeros(2, 5, dtype=torch.long),))
    assert [m.training for m in module.modules()] == flags
    with pytest.raises(PruneError):
        trace.run(module, (torch.zeros(2, 5),))
    assert [m.training for m in module.modules()] == flags


def test_dropout_stays_and_reads_as_eval(net):
    _, traced = net
    drops = [n for n in traced.graph.nodes if n.op == "aten.dropout.default"]
    assert len(drops) == 3
    assert drops[0].args[1:] == (0.1, False)


def test_a_module_on_the_meta_device():
    with torch.device("meta"):
        module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        x = torch.randn(2, 3, 8, 8)
    traced = trace.run(module, (x,))
    assert [n.op for n in traced.graph.nodes] == [
        "aten.conv2d.default",
        "aten.batch_norm.default",
        "aten.relu.default",
    ]
    assert traced.weights["0.weight"].is_meta


def test_inputs_and_outputs_keep_their_structure():
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.ones(3))

        def forward(self, batch, *more, scale: int = 2, flag: bool = True, skip=None, rest=None):
            left, (right, extra) = batch["a"], batch["b"]
            y = left * scale + right + (more[0] if flag else 0)
            outputs = OrderedDict(y=y, none=skip, number=scale)
            return outputs, [Pair(y, None), {"in": left, "weight": self.bias}], (rest, extra[0])

    module = Nested()
    x = torch.randn(2, 3)
    args = ({"a": x, "b": (x + 1, [x + 2])}, x + 3)
    kwargs = {"scale": 3, "flag": True}
    traced = trace.run(module, args, kwargs)
    graph = traced.graph
    names = [i.name for i in graph.inputs]
    assert graph.parameters == (
        Parameter(
            "batch",
            Dict_(
                (
                    ("a", Ref(names[0])),
                    (
                        "b",
                        Sequence_("tuple", (Ref(names[1]), Sequence_("list", (Ref(names[2]),)))),
                    ),
                )
            ),
        ),
        Parameter("*more", Sequence_("tuple", (Ref(names[3]),))),
        Parameter("scale", 3, keyword_only=True),
        Parameter("flag", True, keyword_only=True),
    )
    y = graph.nodes[-1].name
    assert graph.output == Sequence_(
        "tuple",
        (
            Dict_((("y", Ref(y)), ("none", None), ("number", 3)), "collections.OrderedDict"),
            Sequence_(
                "list",
                (
                    Dict_((("left", Ref(y)), ("right", None)), f"{__name__}.Pair"),
                    Dict_((("in", Ref(names[0])), ("weight", WeightRef("bias")))),
                ),
            ),
            Sequence_("tuple", (None, Ref(names[2]))),
        ),
    )
    interpreter.equal(traced, module, *args, **kwargs)


def test_keys_that_are_not_text_are_refused():
    class Numbered(nn.Module):
        def forward(self, x: Tensor):
            return {0: x + 1}

    with pytest.raises(PruneError, match="P0313"):
        trace.run(Numbered(), (torch.ones(2, 3),))


def test_regions_that_only_set_a_mode_are_inlined():
    class Modes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                a, b = self.fc(x).chunk(2, 1)
                a = a + 1
            with torch.autocast("cpu", enabled=False):
                c = self.fc(x)
            a.relu_()
            return checkpoint(self.fc, c, use_reentrant=False) + torch.cat([a, b], 1).detach()

    module = Modes()
    traced = trace.run(module, (torch.ones(2, 4),))
    assert all(n.op.startswith(("aten.", "getitem")) for n in traced.graph.nodes)
    assert not any("detach" in n.op for n in traced.graph.nodes)
    interpreter.equal(traced, module, torch.randn(3, 4))


def test_autocast_is_refused():
    class Cast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return self.fc(x)

    with pytest.raises(PruneError, match="P0311"):
        trace.run(Cast(), (torch.ones(2, 4),))


def test_checks_and_dead_code_leave_no_nodes():
    class Checks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            torch._assert(x.shape[1] == 4, "four")
            x.exp().sum()
            return x[:, :].double().t().contiguous() * 2

    traced = trace.run(Checks(), (torch.ones(2, 4),))
    assert [n.op for n in traced.graph.nodes] == [
        "aten.to.dtype",
        "aten.t.default",
        "aten.contiguous.default",
        "aten.mul.Tensor",
    ]


def test_a_model_that_only_symbolic_trace_can_take():
    class Checked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.Sequential(Block(), Block())
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Tensor, flag: bool = True) -> Tensor:
            if isinstance(x, Tensor) and bool((x > 1e6).any()):
                raise ValueError("out of range")
            y = self.blocks(x)
            y += 1
            return self.attention(y, y, y, need_weights=False)[0] if flag else y

    module = Checked()
    traced = trace.run(module, (torch.randn(2, 5, 4),))
    assert traced.graph.frontend == "symbolic_trace"
    assert [d.code for d in traced.notes] == ["P0322"]
    first = next(n for n in traced.graph.nodes if n.op == "aten.linear.default")
    assert [c.path for c in first.scope] == ["", "blocks", "blocks.0", "blocks.0.fc"]
    assert first.scope[2].cls == f"{__name__}.Block"
    add = next(n for n in traced.graph.nodes if n.op == "aten.add.Tensor")
    assert [c.path for c in add.scope] == ["", "blocks", "blocks.0"]
    assert add.line.startswith("tests/trace/test_structure.py:")
    interpreter.equal(traced, module, torch.randn(3, 5, 4), tolerance=1e-5)


def test_a_model_that_nothing_can_capture_is_refused_with_its_line():
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if x.sum() > 0 else x

    with pytest.raises(PruneError) as caught:
        trace.run(Branches(), (torch.ones(2, 4),))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "P0310"
    assert "test_structure.py:" in diagnostic.message
    assert len(diagnostic.notes) == 2


def test_dataclass_outputs_that_torch_knows():
    @dataclasses.dataclass
    class Out:
        y: Tensor
        z: Tensor | None = None

    torch.export.register_dataclass(Out)

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Out:
            return Out(x * 2)

    output = trace.run(Net(), (torch.ones(2, 3),)).graph.output
    assert output.items[0] == ("y", Ref("mul"))
    assert output.cls.endswith("Out")


def test_plain_namedtuples():
    point = namedtuple("point", ["x", "y"])

    class Net(nn.Module):
        def forward(self, p):
            return point(p.y, p.x)

    traced = trace.run(Net(), (point(torch.ones(2, 3), torch.ones(2)),))
    a, b = (Ref(i.name) for i in traced.graph.inputs)
    assert traced.graph.output.items == (("x", b), ("y", a))


class Keeper(nn.Module):
    """Sets attributes while it runs; ``reads`` makes one of them state."""

    def __init__(self, reads: bool) -> None:
        super().__init__()
        self.reads = reads
        self.state = torch.zeros(3)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        self.state = self.state + 1 if self.reads else x.mean(0)
        return x * self.state


def test_attributes_that_are_only_set_are_told_and_not_left_behind():
    module = Keeper(reads=False)
    traced = trace.run(module, (torch.ones(2, 3),))
    assert [d.code for d in traced.notes] == ["P0323"]
    assert "`seen`" in traced.notes[0].message
    assert not hasattr(module, "seen")
    assert torch.equal(module.state, torch.zeros(3))


def test_state_outside_of_buffers_is_refused():
    with pytest.raises(PruneError, match=r"P0312.*`state`"):
        trace.run(Keeper(reads=True), (torch.ones(2, 3),))


def test_sizes_that_depend_on_values_are_refused_with_their_line():
    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[x > 0]

    with pytest.raises(PruneError, match=r"P0311[\s\S]*test_structure\.py:"):
        trace.run(Masked(), (torch.ones(2, 3),))


def test_a_dataclass_that_torch_does_not_know_is_refused_with_the_way_out():
    @dataclasses.dataclass
    class Out:
        y: Tensor

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Out:
            return Out(x * 2)

    with pytest.raises(PruneError, match=r"P0313[\s\S]*register_dataclass"):
        trace.run(Net(), (torch.ones(2, 3),))


def test_numbers_written_into_a_tensor_are_numbers():
    class Mask(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            mask = x.new_zeros(3)
            mask[1:] = 0.5
            return x * mask

    traced = trace.run(Mask(), (torch.ones(2, 3),))
    assert traced.weights == {}
    assert [n.args[1] for n in traced.graph.nodes if n.op == "aten.fill.Scalar"] == [0.5]
    interpreter.equal(traced, Mask(), torch.randn(5, 3))
