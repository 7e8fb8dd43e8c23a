"""What a legal graph is: one legal graph, and one breach of each rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prunec.diagnostics import InternalError
from prunec.ir import verify
from prunec.ir.graph import (
    Call,
    Graph,
    Input,
    Module,
    Node,
    Parameter,
    Ref,
    ScalarType,
    Sequence_,
    TensorType,
    Weight,
    WeightRef,
)

ROOT, A, B, AGAIN = Call("", "Net"), Call("a", "Mid"), Call("a.b", "Leaf"), Call("a", "Mid", 1)
FLAT = TensorType((11, 4), "float32", ("N", None))


def node(name, op, *args, type=FLAT, scope=(ROOT,)):
    return Node(name, op, args, (), type, scope, "net.py:3")


NODES = (
    node("n", "size", Ref("x"), 0, type=ScalarType("int", 11)),
    node("y", "aten.linear.default", Ref("x"), WeightRef("a.b.weight"), scope=(ROOT, A, B)),
    node("z", "aten.relu.default", Ref("y"), scope=(ROOT, A)),
    node("parts", "aten.chunk.default", Ref("z"), 1, type=(FLAT,), scope=(ROOT, AGAIN)),
    node("part", "getitem", Ref("parts"), 0),
    node("m", "scalar.mul", Ref("n"), 2, type=ScalarType("int", 22)),
)
LEGAL = Graph(
    name="net",
    parameters=(Parameter("x", Ref("x")),),
    inputs=(Input("x", FLAT),),
    weights=(Weight("a.b.weight", TensorType((4, 4), "float32"), "parameter", ties=("head",)),),
    nodes=NODES,
    output=Sequence_("tuple", (Ref("part"), WeightRef("a.b.weight"), None)),
    modules=(Module("", "Net"), Module("a", "Mid"), Module("a.b", "Leaf")),
)


def with_node(index, **changes):
    nodes = list(NODES)
    nodes[index] = replace(nodes[index], **changes)
    return replace(LEGAL, nodes=tuple(nodes))


def test_a_legal_graph_is_returned_itself():
    assert verify.run(LEGAL) is LEGAL


BREACHES = {
    "not an identifier": with_node(0, name="1st"),
    "two values are named `y`": with_node(2, name="y"),
    "two weights are named `head`": replace(
        LEGAL, weights=(*LEGAL.weights, replace(LEGAL.weights[0], name="head", ties=()))
    ),
    "two modules have the path `a`": replace(LEGAL, modules=(*LEGAL.modules, Module("a", "Mid"))),
    "before it is made": with_node(1, args=(Ref("z"), WeightRef("a.b.weight"))),
    "unknown weight `@b`": with_node(1, args=(Ref("x"), WeightRef("b"))),
    "writes in place": with_node(2, op="aten.relu_.default"),
    "has no type": with_node(2, type=None),
    "more or fewer symbols": with_node(2, type=TensorType((11, 4), "float32", ("N",))),
    "takes an item of a": with_node(4, args=(Ref("z"), 0)),
    "has another type than the item": with_node(4, type=TensorType((11, 5), "float32")),
    "a size that is not a number": with_node(0, type=FLAT),
    "takes a value and a number": with_node(0, args=(Ref("x"),)),
    "something else than a number": with_node(5, type=FLAT),
    "does not start at the root": with_node(0, scope=(A,)),
    "opens the call": with_node(4, scope=(ROOT, A)),
    "unknown module `c`": with_node(4, scope=(ROOT, Call("c", "Mid"))),
    "the first module is not the root": replace(LEGAL, modules=LEGAL.modules[1:]),
    "the parameters hold": replace(LEGAL, parameters=()),
    "returns the unknown value `%q`": replace(LEGAL, output=Ref("q")),
    "returns the unknown weight `@q`": replace(LEGAL, output=WeightRef("q")),
}


@pytest.mark.parametrize("rule", BREACHES)
def test_each_breach_is_named(rule):
    with pytest.raises(InternalError) as caught:
        verify.run(BREACHES[rule])
    assert rule in str(caught.value)
    assert "please report" in str(caught.value)


def test_a_breach_shows_the_node_and_its_line():
    with pytest.raises(InternalError, match=r"net\.py:3") as caught:
        verify.run(BREACHES["writes in place"])
    assert "%z: float32[N, 4] = aten.relu_.default(%y)" in str(caught.value)


@pytest.mark.parametrize(
    ("op", "functional"),
    [
        ("aten.add.Tensor", True),
        ("aten.add_.Tensor", False),
        ("aten.add.out", False),
        ("aten.max.dim_max", True),
        ("aten.__and__.Tensor", True),
        ("torchvision.nms.default", True),
        ("mylib.step_.default", False),
        ("getitem", True),
        ("scalar.mul", True),
    ],
)
def test_functional_by_name(op, functional):
    assert verify.is_functional(op) is functional
