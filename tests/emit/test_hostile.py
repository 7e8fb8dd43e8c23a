"""What a user, a model or a file name says becomes no code, and shadows nothing of the source."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import io
import os
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunec import emit, trace
from prunec.diagnostics import PruneError
from prunec.emit import files, names
from prunec.emit.expr import literal, quote
from tests.emit import goldens

EVIL = (
    '"); import os; ("',
    "'''\nimport os\n'''",
    '"""',
    "\\",
    "a\nb\r\x0b\x0c\x1c\x85\u2028\u2029c",
    "\x00\x1b[31m",
    "caf\u00e9 \u202e \ufeff \u200b",
    "\ud800",
    "{x}",
    "__debug__",
    "__class__",
    "__name",
    "\ufb01",
    "class",
    "lambda x: 0",
    "coding: utf-7",
    "#",
)
"""Texts that would be code, or nothing Python takes, if they were printed as they are."""


def written(net: nn.Module, *args: Any) -> tuple[str, nn.Module]:
    """Source, which is a fixed point, and module."""
    found = trace.run(net.eval(), args)
    source = emit.run(found.graph, class_name="Slim", header="x", weights=found.weights)
    source.encode()
    model = emit.load(source, found.weights, "Slim")
    again = trace.run(model, args)
    assert emit.run(again.graph, class_name="Slim", header="x", weights=again.weights) == source
    return source, model


@pytest.mark.parametrize("text", EVIL)
def test_a_text_is_quoted_on_one_line(text: str) -> None:
    shown = quote(text)
    assert ast.literal_eval(shown) == text
    assert shown.splitlines() == [shown]
    assert shown.isprintable()
    assert literal(text).text == shown


@pytest.mark.parametrize("text", [t for t in EVIL if "." not in t])
def test_names_of_modules_weights_and_outputs_stay_what_they_are(text: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            plain = text.replace(".", "") or "x"
            if not hasattr(self, plain):
                self.add_module(plain, nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
                self.register_parameter(f"{plain}_p", nn.Parameter(torch.randn(3)))
                self.register_buffer(f"{plain}_b", torch.randn(3))
            self.rows = nn.ModuleDict({f"{plain} ": nn.Linear(3, 3)})
            self.own = nn.ParameterDict({f"{plain} ": nn.Parameter(torch.randn(3))})
            self.plain = plain

        def forward(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
            found = self.rows[f"{self.plain} "](x[text]) + self.own[f"{self.plain} "]
            if f"{self.plain}_p" in self._parameters:
                found = getattr(self, self.plain)(found) * getattr(self, f"{self.plain}_p")
                found = found + getattr(self, f"{self.plain}_b")
            return {text: found}

    net = Net()
    given = {text: torch.randn(2, 3)}
    source, model = written(net, given)
    torch.testing.assert_close(model(given), net(given))
    assert list(model.state_dict()) == list(net.state_dict())
    assert [type(n).__name__ for n in ast.parse(source).body] == [
        *["Import"] * ("import torch\n" in source),
        "ImportFrom",
        "ClassDef",
        "FunctionDef",
    ]


def test_names_of_classes_become_identifiers_of_their_own() -> None:
    def made(name: str) -> nn.Module:
        def forward(self: Any, x: Tensor) -> Tensor:
            return F.relu(self.fc(x)) * float(len(name) + 1)

        cls = type(name, (nn.Module,), {"forward": forward, "__qualname__": name})
        module: nn.Module = cls()
        module.fc = nn.Linear(3, 3)
        return module

    texts = [t for t in EVIL if "\x00" not in t and "\ud800" not in t]
    said = ("torch", "nn", "F", "zip", "super", "range", "Slim", "load", "None", "_1", "")
    net = nn.Sequential(*map(made, [*texts, *said]))
    source, _ = written(nn.Sequential(net, nn.ReLU()), torch.randn(2, 3))
    classes = [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]
    assert len(classes) == len(set(classes))
    assert not {*classes[:-1]} & {*names.RESERVED, "Slim"}
    assert all(name.isidentifier() and name.isascii() for name in classes)


def test_texts_among_the_arguments_of_operators_stay_texts() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = F.pad(torch.einsum("b i , i j -> b j", x, x.new_ones(4, 4)), (1, 1), "reflect")
            return x.div(3, rounding_mode="floor")

    source, _ = written(Net(), torch.randn(2, 4))
    texts = {n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)}
    assert {"reflect", "floor"} <= texts
    assert any(isinstance(t, str) and "->" in t for t in texts)


@pytest.mark.parametrize("text", EVIL)
def test_a_header_is_a_comment_and_says_no_encoding(text: str, tmp_path: Path) -> None:
    found = trace.run(nn.Linear(2, 2).eval(), (torch.randn(1, 2),))
    attack = f"from {text}.prune -*- coding: utf-7 -*- coding=utf-7 vim:fileencoding=utf-7"
    header = f"{attack} +AAo-raise SystemExit(1)\n{text}\ncoding:utf-7 +AAo-raise SystemExit(1)"
    source = emit.run(found.graph, class_name="Slim", header=header)
    data = source.encode()
    assert tokenize.detect_encoding(io.BytesIO(data).readline)[0] == "utf-8"
    files.write(tmp_path / "out", {"slim.py": data})
    spec = importlib.util.spec_from_file_location("slim_of_test", tmp_path / "out" / "slim.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert issubclass(module.Slim, nn.Module)
    kinds = [type(n).__name__ for n in ast.parse(source).body]
    assert [k for k in kinds if not k.startswith("Import")] == ["ClassDef", "FunctionDef"]


@pytest.mark.parametrize("name", [*EVIL, *sorted(names.RESERVED | names.LOADING)])
def test_a_class_name_that_the_source_cannot_have_is_refused(name: str) -> None:
    found = trace.run(nn.Linear(2, 2).eval(), (torch.randn(1, 2),))
    if name == "__class__":
        pytest.skip("an identifier like any other")
    with pytest.raises(PruneError) as error:
        emit.run(found.graph, class_name=name, header="")
    assert error.value.diagnostics[0].code == "P0701"


def test_arguments_named_like_what_the_source_says() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(3, 3) for _ in range(4))

        def forward(self, range: Tensor, torch: Tensor, nn: Tensor, zip: Tensor) -> Tensor:
            for block in self.blocks:
                range = block(range).relu()
            return range.new_ones(3) * torch + nn - F.softplus(zip) ** float("inf")

    x = [torch.randn(2, 3) for _ in range(4)]
    source, _ = written(Net(), *x)
    assert "def forward(self, range_, torch_, nn_, zip_):" in source


def test_builtins_that_goldens_say_are_reserved() -> None:
    said: set[str] = set()
    for name in goldens.CASES:
        tree = ast.parse((goldens.ROOT / name / "expected.py").read_text())
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                inside = [n for n in ast.walk(function) if isinstance(n, ast.Name)]
                bound = {n.id for n in inside if isinstance(n.ctx, ast.Store)}
                bound |= {a.arg for a in ast.walk(function) if isinstance(a, ast.arg)}
                said |= {n.id for n in inside} - bound
    assert {n for n in said if hasattr(builtins, n)} <= names.BUILTINS
    assert all(hasattr(builtins, n) for n in names.BUILTINS)


def test_builtins_that_the_emitter_spells_are_reserved() -> None:
    """Calls of builtins in the text of emission's own modules, by the texts that they hold."""
    folder = Path(names.__file__).parent
    texts = " ".join(
        str(n.value)
        for file in folder.glob("*.py")
        for n in ast.walk(ast.parse(file.read_text()))
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and "\n" not in n.value
    )
    for name in ("enumerate", "zip", "reversed", "len", "isinstance", "int", "float", "range"):
        if f" {name}(" in f" {texts}":
            assert name in names.RESERVED


def test_the_same_bytes_under_every_hash_seed() -> None:
    script = (
        "from tests.emit import goldens\n"
        "for name in ('residual_stages', 'captured_values', 'hostile_names', 'loops'):\n"
        "    case = goldens.example(name)\n"
        "    print(goldens.source(goldens.traced(case.model, case)))\n"
    )
    root = Path(__file__).parents[2]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
        )
        for seed in ("0", "1", "4294967295")
    ]
    texts = {process.communicate()[0] for process in running}
    assert len(texts) == 1
    assert texts.pop().count(b"\nclass ") > 6
