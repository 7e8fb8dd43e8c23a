"""`emit ... with onnx`: the file says what the slim model computes, and nothing of who made it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import prunec
from prunec import PruneError, formats, trace
from prunec.check import Removed, onnx_file
from prunec.cli import main
from prunec.driver import Compiled
from prunec.formats import onnx as exporter

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

BARE = "target params <= 70%\nprune channels { score random(seed=0) }\nrepair none\n"
SPEC = BARE + "emit Slim with onnx\n"
NET_SPEC = "model net:net {\n  input input: float32[N, 6]\n}\n"
NET = """
import torch
from torch import nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
"""
IMAGE = torch.zeros(2, 3, 8, 8)


class Convolutions(nn.Module):
    """A stem, a residual block, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.inner = nn.Conv2d(8, 12, 3, padding=1)
        self.back = nn.Conv2d(12, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        x = torch.relu(x + self.norm(self.back(torch.relu(self.inner(x)))))
        return self.head(x.mean(dim=(2, 3)))


class Transformer(nn.Module):
    """One layer of attention over tokens, with a mask; it returns a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.q, self.k, self.v, self.out = (nn.Linear(16, 16) for _ in range(4))
        self.norm = nn.LayerNorm(16)
        self.up, self.down = nn.Linear(16, 24), nn.Linear(24, 16)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> dict[str, Any]:
        x = self.embed(ids)
        q, k, v = (f(x).unflatten(2, (2, 8)).transpose(1, 2) for f in (self.q, self.k, self.v))
        bias = None if mask is None else mask[:, None, None, :].bool()
        seen = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = self.norm(x + self.out(seen.transpose(1, 2).flatten(2)))
        x = x + self.down(nn.functional.gelu(self.up(x)))
        return {"hidden": x, "logits": (x @ self.embed.weight.t(), None)}


class Nested(nn.Module):
    """Inputs in a list, a dict and a keyword; an output that is an input's namesake."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(6, 10), nn.Linear(10, 5)

    def forward(self, items: list[Any], scale: float = 1.0, *, last: Tensor) -> dict[str, Any]:
        first, second = (self.two(torch.relu(self.one(x))) for x in (items[0], items[1]["k"]))
        return {"last": first * scale, "both": [second, last]}


def seeded(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def convolutions(spec: str = SPEC, **more: Any) -> Compiled:
    return prunec.compile(spec, model=seeded(Convolutions), args=(IMAGE,), **more)


def code(spec: str, **more: Any) -> str:
    with pytest.raises(PruneError) as caught:
        convolutions(spec, **more)
    return caught.value.diagnostics[0].code


def signature(made: Compiled) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Names and sizes of what the file takes and returns."""
    graph = onnx.load_from_string(made.files["slim.onnx"]).graph

    def sizes(values: Any) -> dict[str, list[Any]]:
        shapes = {v.name: v.type.tensor_type.shape.dim for v in values}
        return {n: [d.dim_param or d.dim_value for d in dims] for n, dims in shapes.items()}

    return sizes(graph.input), sizes(graph.output)


# --- What it gives -------------------------------------------------------------------------------


def test_convolutions(tmp_path: Path) -> None:
    made = convolutions(out=tmp_path / "out")
    assert signature(made) == ({"image": ["N", 3, 8, 8]}, {"output": ["N", 4]})
    check = made.report.checks[-1]
    assert (check.name, check.passed) == ("the ONNX file is the slim model", True)
    assert check.detail.startswith("2 cases in onnxruntime, relative error")
    assert check.detail in str(made.report)
    data = (tmp_path / "out" / "slim.onnx").read_bytes()
    lock = json.loads((tmp_path / "out" / "slim.lock.json").read_text())
    assert lock["files"]["slim.onnx"] == hashlib.sha256(data).hexdigest()
    assert lock["spec"]["emit"]["formats"] == [{"name": "onnx", "opset": 20, "tolerance": 1e-4}]
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)


def test_a_transformer_with_dynamic_tokens() -> None:
    ids = torch.arange(14).reshape(2, 7)
    made = prunec.compile(SPEC, model=seeded(Transformer), args=(ids, torch.ones_like(ids)))
    inputs, outputs = signature(made)
    assert inputs == {"ids": ["N", "T"], "mask": ["N", "T"]}
    assert list(outputs) == ["hidden", "logits_0"]
    assert made.report.checks[-1].detail.startswith("3 cases in onnxruntime")
    assert made.report.checks[-1].passed


def test_renumbered_tokens() -> None:
    ids = torch.arange(14).reshape(2, 7)
    spec = "target params <= 97%\nprune vocabulary { score random(seed=0) }\nrepair none\n"
    made = prunec.compile(
        f"{spec}emit Slim with onnx\n", model=seeded(Transformer), args=(ids, torch.ones_like(ids))
    )
    assert signature(made)[1]["logits_0"] == ["N", "T", 15]
    assert made.report.checks[-1].passed


def test_nested_inputs_and_outputs() -> None:
    items = [torch.randn(2, 6), {"k": torch.randn(2, 6)}]
    kwargs = {"last": torch.randn(2, 5)}
    made = prunec.compile(SPEC, model=seeded(Nested), args=(items,), kwargs=kwargs)
    inputs, outputs = signature(made)
    assert list(inputs) == ["items_0", "items_1_k", "last"]
    assert list(outputs) == ["last_out", "both_0", "both_1"]


def test_it_says_nothing_of_the_machine(capfd: pytest.CaptureFixture[str]) -> None:
    made = convolutions()
    assert capfd.readouterr() == ("", "")
    data = made.files["slim.onnx"]
    assert not any(word in data for word in (b".py", b"site-packages", os.getcwd().encode()))
    proto = onnx.load_from_string(data)
    assert (proto.producer_name, proto.graph.name) == ("prunec", "Slim")
    assert not proto.metadata_props
    assert not any(n.metadata_props or n.doc_string for n in proto.graph.node)


def test_same_input_same_bytes_in_any_process(tmp_path: Path) -> None:
    here = convolutions(check=False).files["slim.onnx"]
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_onnx import convolutions\n"
        "sys.stdout.buffer.write(convolutions(check=False).files['slim.onnx'])\n"
    )
    there = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "3", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=True,
    )
    assert there.stdout == here


def test_opset() -> None:
    made = convolutions(SPEC.replace("onnx", "onnx(opset=18)"))
    assert onnx.load_from_string(made.files["slim.onnx"]).opset_import[0].version == 18


def test_large_weights_lie_in_a_file_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "LARGEST", 1000)
    made = convolutions()
    assert len(made.files["slim.onnx.data"]) > 1000
    assert made.report.checks[-1].passed


def test_verify_looks_at_the_file_again() -> None:
    made = convolutions(check=False)
    assert prunec.verify(seeded(Convolutions), made, args=(IMAGE,)).passed
    changed = {**made.files, "slim.onnx": _doubled(made.files["slim.onnx"])}
    found = prunec.verify(seeded(Convolutions), replace(made, files=changed), args=(IMAGE,))
    assert not found.passed
    assert [d.code for d in found.diagnostics] == ["P0840"]


def _doubled(data: bytes) -> bytes:
    """The same model with another weight."""
    proto = onnx.load_from_string(data)
    weight = next(w for w in proto.graph.initializer if w.name == "head.weight")
    values = 2 * onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    return bytes(proto.SerializeToString())


def test_the_command_line_shows_and_checks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    Path("net.prune").write_text(f'{NET_SPEC}{BARE}emit Slim to "out" with onnx\n')
    assert main(["compile", "net.prune", "--format", "json"]) == 0
    out, err = capsys.readouterr()
    check = json.loads(out)["checks"][-1]
    assert (check["name"], check["passed"]) == ("the ONNX file is the slim model", True)
    assert err == "wrote slim.py, slim.safetensors, slim.onnx, slim.lock.json to out\n"
    assert main(["check", "net.prune", "--artifact", "out"]) == 0
    Path("out/slim.onnx").write_bytes(b"")
    assert main(["check", "net.prune", "--artifact", "out"]) == 1
    assert "P0821" in capsys.readouterr().err


# --- What it refuses -----------------------------------------------------------------------------


def test_above_the_tolerance_nothing_is_written(tmp_path: Path) -> None:
    spec = SPEC.replace("onnx", "onnx(tolerance=1e-12)")
    assert code(spec, out=tmp_path / "out") == "P0840"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("extra", [torch.digamma, lambda x: (x, 3)])
def test_what_onnx_does_not_know(extra: Any, tmp_path: Path) -> None:
    class Strange(Convolutions):
        def forward(self, image: Tensor) -> Any:
            return extra(super().forward(image))

    with pytest.raises(PruneError) as caught:
        prunec.compile(SPEC, model=seeded(Strange), args=(IMAGE,), out=tmp_path / "out")
    assert caught.value.diagnostics[0].code == "P0722"
    assert caught.value.diagnostics[0].span is not None
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "slim.onnx").write_bytes(b"no model")
    net = seeded(Convolutions)
    graph = trace.run(net, (IMAGE,)).graph
    found = onnx_file.run(tmp_path, graph, Removed(), net, (IMAGE,), tolerance=1.0)
    assert not found.equal
    assert [d.code for d in found.diagnostics] == ["P0841"]
    assert str(tmp_path) not in str(found.diagnostics[0])


def test_another_opset_than_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = onnx.helper.make_model(
        onnx.helper.make_graph([], "g", [], []), opset_imports=[onnx.helper.make_opsetid("", 17)]
    )
    made = SimpleNamespace(model_proto=proto)
    monkeypatch.setattr(torch.onnx, "export", lambda *args, **kwargs: made)
    assert code(SPEC) == "P0723"


def test_missing_packages_are_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"onnxruntime", "onnxscript"}
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name in absent else name)
    with pytest.raises(PruneError) as caught:
        prunec.compile("model no.such:module\n" + SPEC)
    found = caught.value.diagnostics[0]
    assert found.code == "P0721"
    assert found.message.endswith("`onnxscript`, `onnxruntime`")
    assert found.help == 'pip install "prunec[onnx]"'
