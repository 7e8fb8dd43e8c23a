"""From text to spec: defaults, values, and the checks of every statement."""

from __future__ import annotations

import json
from decimal import Decimal
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunec.diagnostics import PruneError, Source
from prunec.spec import (
    DEFAULT_REPAIR,
    DEFAULT_SCORE,
    DEFAULT_SOLVER,
    REPAIRS,
    SCORES,
    SOLVERS,
    BatchNorm,
    Count,
    Cpu,
    Cuda,
    LeastSquares,
    Measure,
    Milp,
    Obs,
    Onnx,
    Prune,
    Share,
    Spec,
    Taylor,
    TorchPruning,
    load,
)
from tests.grammar.specs import TOUR


def spec(text: str) -> Spec:
    return load(Source("test.prune", text), in_memory=True)


def codes(text: str, *, in_memory: bool = True) -> list[str]:
    with pytest.raises(PruneError) as caught:
        load(Source("test.prune", text), in_memory=in_memory)
    return [d.code for d in caught.value.diagnostics]


def test_a_target_alone_is_complete() -> None:
    found = spec("target macs <= 50%")
    assert found.prunes == (Prune(),)
    assert (found.prunes[0].selector, found.prunes[0].chosen_score) == (None, Obs())
    assert (found.solve, found.repair) == (Milp(), (LeastSquares(), BatchNorm()))
    assert (found.model, found.data, found.freezes, found.emit) == (None, (), (), None)
    assert found.needs_data
    assert not found.needs_labels


def test_the_tour() -> None:
    found = load(Source("resnet56.prune", TOUR))
    assert found.model is not None
    assert found.model.factory.target == "zoo.cifar:resnet56"
    assert found.model.weights is not None
    assert found.model.weights.path == "resnet56.safetensors"
    assert [(i.name, i.dtype, i.dims) for i in found.model.inputs] == [
        ("x", "float32", ("N", 3, 32, 32))
    ]
    assert found.calibrate is not None
    assert found.calibrate.factory.kwargs == {"split": "train", "images": 1024}
    assert [str(t) for t in found.targets] == [
        "macs <= 50%",
        "params <= 600K",
        'params <= 40% in "layer3.*"',
    ]
    (prune,) = found.prunes
    assert prune.score == Taylor(batches=8)
    assert (prune.least(10), prune.multiple_of) == (3, 8)
    assert [f.side for f in found.freezes] == ["outputs", "inputs"]
    assert found.needs_labels
    assert found.emit is not None
    assert (found.emit.name, found.emit.out) == ("SlimResNet56", "build/")
    for part in (found, *found.targets, found.emit, found.solve, found.model.factory):
        assert part.span is not None


def test_a_spec_is_what_it_says_and_not_where() -> None:
    assert spec("target macs <= 50%") == spec("# a comment\n\ntarget macs <= 50.0%")
    assert hash(spec("target macs <= 50%")) == hash(spec("\ntarget macs <= 50%"))
    assert spec("target macs <= 50%") != spec("target macs <= 51%")


def test_as_dict_is_json_with_every_default() -> None:
    found = load(Source("resnet56.prune", TOUR)).as_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["prune"] == [
        {
            "kind": "channels",
            "in": '"layer*.*.conv1" or "layer*.*.conv2"',
            "score": {"name": "taylor", "batches": 8},
            "keep": "25%",
            "multiple_of": 8,
        }
    ]
    assert spec("target macs <= 1.5M").as_dict() == {
        "model": None,
        "part": None,
        "data": {},
        "targets": [
            {"metric": "macs", "relation": "<=", "bound": 1_500_000, "in": None, "on": None}
        ],
        "prune": [
            {
                "kind": "channels",
                "in": None,
                "score": {"name": "obs", "damping": 0.01, "batches": None},
                "keep": None,
                "multiple_of": 1,
            }
        ],
        "freeze": [],
        "solve": {"name": "milp", "gap": 0.005, "nodes": 10_000},
        "repair": [{"name": "least_squares", "ridge": 0.001}, {"name": "batchnorm"}],
        "emit": None,
    }


def test_formats() -> None:
    found = spec("target macs <= 50% emit A with onnx(opset=18, tolerance=1e-3)")
    assert found.formats == (Onnx(opset=18, tolerance=1e-3),)
    assert spec("target macs <= 50% emit A").formats == spec("target macs <= 50%").formats == ()
    assert found.as_dict()["emit"] == {
        "name": "A",
        "out": None,
        "formats": [{"name": "onnx", "opset": 18, "tolerance": 0.001}],
    }


@pytest.mark.parametrize(
    ("percent", "whole", "most", "least"),
    [
        ("29", 100, 29, 29),
        ("33.3", 10, 3, 4),
        ("100", 7, 7, 7),
        ("0.1", 10**18 + 1, 10**15, 10**15 + 1),
    ],
)
def test_shares_are_exact(percent: str, whole: int, most: int, least: int) -> None:
    share = Share(percent=Decimal(percent))
    assert (share.at_most(whole), share.at_least(whole)) == (most, least)


def test_amounts_print_as_they_are_written() -> None:
    shown = [str(Count(value=n)) for n in (7, 600_000, 1_500_000, 1_500_001, 2 * 10**9)]
    assert shown == ["7", "600K", "1500K", "1_500_001", "2G"]
    assert str(Share(percent=Decimal("50.50"))) == "50.5%"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("memory <= 1.5MiB", "memory <= 1.5MiB"),
        ("memory <= 1536KiB", "memory <= 1.5MiB"),
        ("weights <= 1000B", "weights <= 1000B"),
        ("weights <= 1024B", "weights <= 1KiB"),
        ("activations <= 1.3MiB", "activations <= 1.3MiB"),
        ("latency <= 5ms on cpu", "latency <= 5ms on cpu(threads=1, batch=1)"),
        ("latency <= 1500us on cpu(batch=8)", "latency <= 1.5ms on cpu(threads=1, batch=8)"),
        ("latency <= 0.5us on cuda", "latency <= 0.5us on cuda(batch=1)"),
        ("latency <= 60% on cuda in type A", "latency <= 60% in type A on cuda(batch=1)"),
        ("sparsity >= 40.0%", "sparsity >= 40%"),
        ("channels <= 2_000", "channels <= 2K"),
    ],
)
def test_targets_print_canonically(written: str, shown: str) -> None:
    (target,) = spec(f"target {written}").targets
    assert str(target) == shown
    assert spec(f"target {shown}").targets == (target,)


@given(
    st.sampled_from(["B", "KiB", "MiB", "GiB", "us", "ms", "s"]),
    st.decimals(min_value=1, max_value=10**6, places=6),
)
def test_amounts_are_read_as_they_are_printed(unit: str, value: Decimal) -> None:
    start = "memory" if unit.endswith("B") else "latency"
    end = "" if unit.endswith("B") else " on cpu"
    (target,) = spec(f"target {start} <= {value}{unit}{end}").targets
    assert spec(f"target {target}").targets == (target,)
    assert isinstance(target.amount, Measure)
    assert target.bound(0) == target.amount.as_json() == floor(value * SCALES[unit])


SCALES = {
    "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
    "us": 1000, "ms": 1_000_000, "s": 1_000_000_000,
}  # fmt: skip


def test_bounds() -> None:
    text = (
        "target memory <= 1.5MiB target latency <= 5ms on cpu target latency <= 2.5s on cuda "
        "target sparsity >= 33.3% target latency <= 80% on cuda(batch=2) target weights <= 33.3%"
    )
    found = spec(text).targets
    assert [t.bound(10) for t in found] == [1_572_864, 5_000_000, 2_500_000_000, 6, 8, 3]
    assert [t.device for t in found[1:3]] == [Cpu(), Cuda()]
    assert [t.as_dict() for t in (found[1], found[3])] == [
        {
            "metric": "latency",
            "relation": "<=",
            "bound": 5_000_000,
            "in": None,
            "on": {"name": "cpu", "threads": 1, "batch": 1},
        },
        {"metric": "sparsity", "relation": ">=", "bound": "33.3%", "in": None, "on": None},
    ]


def test_the_order_of_in_and_on_says_nothing() -> None:
    start = "target latency <= 5ms"
    assert spec(f'{start} on cpu in "a"') == spec(f'{start} in "a" on cpu')
    assert spec(f"{start} on cpu") != spec(f"{start} on cpu(threads=2)")


def test_multiple_of_auto() -> None:
    found = spec("target latency <= 5ms on cpu prune channels { keep >= 2, multiple of auto }")
    assert found.prunes[0].multiple_of == "auto"
    assert found.as_dict()["prune"][0]["multiple_of"] == "auto"


@pytest.mark.parametrize(
    ("solver", "needs"),
    [
        ("uniform", False),
        ("greedy", False),
        ("dp", False),
        ("dp(search=100)", True),
        ("lp", True),
        ('lp(importance="score")', False),
        ("milp", False),
        ("evolution", True),
        ("fastnas", True),
    ],
)
def test_what_a_solver_needs(solver: str, needs: bool) -> None:
    found = spec(f"target macs <= 9 repair none prune channels {{ score random }} solve {solver}")
    assert (found.needs_data, found.reads_weights, found.needs_labels) == (needs, needs, False)


def test_values_of_the_users_code() -> None:
    found = spec(
        "target macs <= 9 "
        "data evaluate = a:b(i=3, k=2K, h=1.5K, f=2.0, p=25%, t=20ms, n=-1, b=4KiB, "
        's="x", y=true, z=none, l=[1, [2]])'
    )
    assert found.evaluate is not None
    values = found.evaluate.factory.kwargs
    assert values == {
        "i": 3, "k": 2000, "h": 1500, "f": 2.0, "p": 0.25, "t": 0.02, "n": -1, "b": 4096,
        "s": "x", "y": True, "z": None, "l": [1, [2]],
    }  # fmt: skip
    assert [type(values[k]) for k in "ikhf"] == [int, int, int, float]


def test_methods() -> None:
    found = spec(
        'target macs <= 9 prune channels { score torch_pruning("LAMPImportance") } solve greedy '
        "repair none"
    )
    assert found.prunes[0].score == TorchPruning(importance="LAMPImportance")
    assert found.solve.name == "greedy"
    assert found.repair == ()
    assert not found.needs_data
    assert spec("target macs <= 9 repair batchnorm").repair == (BatchNorm(),)
    for table, default in (
        (SCORES, (DEFAULT_SCORE,)),
        (SOLVERS, (DEFAULT_SOLVER,)),
        (REPAIRS, DEFAULT_REPAIR),
    ):
        assert all(cls.name == name and cls() == cls() for name, cls in table.items())
        assert all(table[method.name]() == method for method in default)


@pytest.mark.parametrize(
    ("importance", "needs"),
    [("GroupTaylorImportance", True), ("GroupMagnitudeImportance", False)],
)
def test_what_torch_pruning_needs(importance: str, needs: bool) -> None:
    found = spec(
        f'target macs <= 9 repair none prune channels {{ score torch_pruning("{importance}") }}'
    )
    assert (found.needs_data, found.needs_labels) == (needs, needs)


def test_a_part() -> None:
    for text in ('model { part "a.b" }', 'model x:y { part "a.b" input z: int8[] }'):
        found = spec(f"{text} target macs <= 9")
        assert found.part is not None
        assert (found.part.path, found.as_dict()["part"]) == ("a.b", "a.b")
    assert spec("model { } target macs <= 9").part is None
    assert codes('model { part "a" } target macs <= 9', in_memory=False) == ["P0209"]


def test_a_file_needs_a_target_and_a_model() -> None:
    assert codes("", in_memory=False) == ["P0208", "P0209"]
    assert codes("") == ["P0208"]
    assert codes("modle x target macs <= 50%", in_memory=False) == ["P0102"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("model a:b model a:b", "P0201"),
        ("solve dp solve dp", "P0201"),
        ("data calibrate = a:b data calibrate = a:b", "P0201"),
        ("data evaluate = a:b(x=1, x=2)", "P0201"),
        ("model a:b { input x: int8[] input x: int8[] }", "P0201"),
        ('model a:b { weights "x" weights "x" }', "P0201"),
        ('model { part "a" part "b" }', "P0201"),
        ('model { weights "x" }', "P0214"),
        ("prune channels { keep >= 3 keep multiple of 8 }", "P0201"),
        ("repair batchnorm, batchnorm", "P0201"),
        ("solve dp(bins=10, bins=10)", "P0201"),
        ("target flops <= 50%", "P0202"),
        ("target macs >= 50%", "P0215"),
        ("target latency >= 5ms on cpu", "P0215"),
        ("target sparsity <= 50%", "P0216"),
        ("target latency <= 50%", "P0217"),
        ('target latency <= 5ms in "a"', "P0217"),
        ("target macs <= 50% on cpu", "P0218"),
        ("target memory <= 50% on cuda", "P0218"),
        ("prune channels { keep multiple of auto }", "P0219"),
        ("target latency <= 5ms on gpu", "P0203"),
        ("target latency <= 5ms on cpu(thread=1)", "P0205"),
        ("target latency <= 5ms on cpu(threads=0)", "P0206"),
        ("target latency <= 5ms on cuda(threads=1)", "P0205"),
        ("prune filters", "P0202"),
        ("data train = a:b", "P0202"),
        ("model a:b { input x: float33[N] }", "P0202"),
        ("solve simplex", "P0203"),
        ("repair everything", "P0203"),
        ("prune channels { score l3 }", "P0203"),
        ("data evaluate = a:b(1)", "P0205"),
        ("solve dp(bin=10)", "P0205"),
        ("solve dp(10)", "P0205"),
        ("solve greedy(10)", "P0205"),
        ("repair none(10)", "P0205"),
        ("prune channels { score l2(p=2) }", "P0205"),
        ("prune channels { score l2(span=2) }", "P0205"),
        ("solve dp(bins=10.5)", "P0206"),
        ("solve dp(bins=1)", "P0206"),
        ("solve dp(search=-1)", "P0206"),
        ('solve lp(importance="obs")', "P0206"),
        ("solve milp(gap=1)", "P0206"),
        ("solve milp(nodes=0)", "P0206"),
        ("solve evolution(population=1)", "P0206"),
        ("solve fastnas(widths=1)", "P0206"),
        ("solve fastnas(seed=1)", "P0205"),
        ('solve dp(bins="many")', "P0206"),
        ("solve dp(bins=true)", "P0206"),
        ("solve dp(bins=[1])", "P0206"),
        ("repair least_squares(ridge=-1)", "P0206"),
        ("repair least_squares(ridge=1e300)", "P0206"),
        ('prune channels { score torch_pruning("lamp") }', "P0206"),
        ("target params <= 5Q", "P0207"),
        ("target params <= 5MiB", "P0207"),
        ("target params <= 5ms", "P0207"),
        ("target channels <= 5KiB", "P0207"),
        ("target weights <= 5M", "P0207"),
        ("target activations <= 5000", "P0207"),
        ("target memory <= 5ms", "P0207"),
        ("target latency <= 5 on cpu", "P0207"),
        ("target latency <= 5KiB on cpu", "P0207"),
        ("target sparsity >= 40", "P0207"),
        ("target sparsity >= 4K", "P0207"),
        ("prune channels { keep >= 4B }", "P0207"),
        ("prune channels { keep multiple of 8K }", "P0207"),
        ("data evaluate = a:b(x=[1X])", "P0207"),
        ("target params <= 0%", "P0210"),
        ("target params <= 100.1%", "P0210"),
        ("target params <= -5", "P0210"),
        ("target params <= 0.5", "P0210"),
        ("target channels <= 1.5", "P0210"),
        ("target memory <= 0.5B", "P0210"),
        ("target latency <= 0us on cpu", "P0210"),
        ("target latency <= 0.0001us on cpu", "P0210"),
        ("target latency <= 101% on cpu", "P0210"),
        ("target sparsity >= 0%", "P0210"),
        ("prune channels { keep >= 0 }", "P0210"),
        ("prune channels { keep multiple of 0 }", "P0210"),
        ("model a:b { input x: float32[N, 0] }", "P0210"),
        ("model a:b { input x: float32[2.0] }", "P0210"),
        ('model a:b { weights "" }', "P0210"),
        ('emit A to ""', "P0210"),
        ("emit A with onx", "P0203"),
        ("emit A with onnx, onnx", "P0201"),
        ("emit A with onnx(17)", "P0205"),
        ("emit A with onnx(opset=17)", "P0206"),
        ("emit A with onnx(tolerance=0)", "P0206"),
        ("emit class", "P0211"),
        ("repair none, batchnorm", "P0212"),
        ('freeze ""', "P0213"),
        ('freeze "a..b"', "P0213"),
        ('target params <= 5 in "a" or not "b**"', "P0213"),
    ],
)
def test_faults(text: str, code: str) -> None:
    assert codes(f"target macs <= 50% {text}") == [code]


def test_all_faults_in_source_order() -> None:
    text = "solve simplex\nfoo\ntarget macs <= 500%\ndata train = a:b(1)\n)"
    assert codes(text, in_memory=False) == ["P0203", "P0102", "P0210", "P0202", "P0205", "P0101"]
