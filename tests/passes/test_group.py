"""Groups: what they hold, and names that a person recognises."""

from __future__ import annotations

from prunec.ir.axis import Atom
from prunec.ir.graph import Graph, Module, Ref, TensorType, Weight
from prunec.ir.group import Axes
from prunec.passes import group


def named(*producers: str, kind: str = "channels") -> str:
    """The name of a group that the given modules produce together."""
    atom = Atom(1, 8)
    weights = tuple(
        Weight(f"{p}.weight", TensorType((8,), "float32"), "parameter") for p in producers
    )
    graph = Graph("Net", (), (), weights, (), Ref("x"), (Module("", "Net"),))
    axes = Axes(
        values={},
        weights={w.name: (atom,) for w in weights},
        sizes={},
        frozen={},
        mixing={},
        roles={(w.name, 0): "produce" for w in weights},
        uses=((atom, kind),),
    )
    (found,) = group.run(graph, axes)
    return found.name


def test_one_producer_gives_its_name() -> None:
    assert named("layer1.0.conv1") == "layer1.0.conv1"


def test_siblings_stand_in_braces() -> None:
    assert named("mlp.gate", "mlp.up") == "mlp.{gate,up}"
    assert named("stem", "outer") == "{stem,outer}"


def test_a_stream_is_named_for_where_most_of_it_lies() -> None:
    assert named("conv1", "layer1.0.conv2", "layer1.1.conv2") == "layer1 residual"
    assert named("layer2.0.conv2", "layer2.0.short.0", "layer2.1.conv2") == "layer2 residual"
    stages = [f"features.1.{i}.{part}" for i in range(2) for part in ("attn.proj", "mlp.3")]
    assert named("features.0.0", *stages) == "features.1 residual"


def test_heads_are_called_heads() -> None:
    assert named("attn.qkv", kind="heads") == "attn.qkv heads"


def test_segments_of_one_producer_are_told_apart() -> None:
    from prunec.ir.axis import Concat

    first, second = Atom(1, 4), Atom(2, 4)
    weight = Weight("conv.weight", TensorType((8,), "float32"), "parameter")
    graph = Graph("Net", (), (), (weight,), (), Ref("x"), (Module("", "Net"),))
    axes = Axes(
        {}, {"conv.weight": (Concat((first, second)),)}, {}, {}, {}, {("conv.weight", 0): "produce"}
    )
    assert [g.name for g in group.run(graph, axes)] == ["conv[0:4]", "conv[4:8]"]
