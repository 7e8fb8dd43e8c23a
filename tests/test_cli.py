"""The command line: exit codes, what goes to stdout and to stderr, and never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from prunec.cli import main
from prunec.cli.guard import guarded

MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(6, 16)
        self.two = nn.Linear(16, 3)

    def forward(self, x):
        return self.two(torch.relu(self.one(x)))


def net(noise=False):
    torch.manual_seed(0)
    if noise:
        print("noise of the user's own")
    return Net()


def batches():
    for seed in range(2):
        torch.manual_seed(seed)
        yield torch.randn(8, 6), torch.randint(3, (8,))
"""
SPEC = """\
model cli_model:net(noise=true) {
  input x: float32[N, 6]
}
data evaluate = cli_model:batches

target macs <= 50%

prune channels {
  score l1
}

repair none
emit   Slim to "out"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cli_model.py").write_text(MODEL)
    (tmp_path / "net.prune").write_text(SPEC)
    return Path("net.prune")


def run(*argv: object) -> int:
    return main([str(a) for a in argv])


Captured = pytest.CaptureFixture[str]


# --- Verbs ---------------------------------------------------------------------------------------


def test_plan(file: Path, capsys: Captured) -> None:
    assert run("plan", file) == 0
    out, err = capsys.readouterr()
    assert "macs" in out
    assert "\x1b" not in out + err
    assert err == "noise of the user's own\n"
    assert not Path("out").exists()


def test_plan_as_json(file: Path, capsys: Captured) -> None:
    assert run("plan", file, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["groups"] == [
        {"name": "one", "kind": "channels", "size": 16, "kept": 8, "exact": True}
    ]


def test_compile_then_check(file: Path, capsys: Captured) -> None:
    assert run("compile", file) == 0
    assert "the files run without prunec" in capsys.readouterr().out
    assert sorted(p.name for p in Path("out").iterdir()) == [
        "slim.lock.json",
        "slim.py",
        "slim.safetensors",
    ]
    assert run("check", file, "--artifact", "out") == 0
    assert "all checks hold" in capsys.readouterr().out

    file.write_text(SPEC.replace("50%", "60%"))
    assert run("check", file, "--artifact", "out") == 1
    assert "P0830" in capsys.readouterr().err

    file.write_text(SPEC)
    with Path("out/slim.py").open("a") as source:
        source.write("# a small improvement\n")
    assert run("check", file, "--artifact", "out", "--format", "json") == 1
    found = json.loads(capsys.readouterr().out)["diagnostics"]
    assert [d["code"] for d in found] == ["P0821"]


def test_check_needs_no_data_and_knows_what_cannot_be_met(file: Path, capsys: Captured) -> None:
    text = SPEC.replace("score l1", "score obs").replace("repair none\n", "")
    file.write_text(text.replace("evaluate = cli_model:batches", "calibrate = absent:batches"))
    assert run("check", file) == 0
    file.write_text(text.replace("50%", "1%"))
    assert run("check", file) == 1
    assert "P0601" in capsys.readouterr().err
    assert run("check", file, "--artifact", "absent") == 1


def test_groups_and_explain(file: Path, capsys: Captured) -> None:
    assert run("groups", file) == 0
    assert "exact" in capsys.readouterr().out
    assert run("groups", file, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["groups"][0]["producers"] == ["one"]
    assert run("explain", file) == 0
    assert "frozen because" in capsys.readouterr().out
    assert run("explain", file, "one") == 0
    assert "removing a channel equals zeroing it" in capsys.readouterr().out
    assert run("explain", file, "two") == 0
    assert "frozen: the model returns it" in " ".join(capsys.readouterr().out.split())
    assert run("explain", file, "tow") == 1
    assert "did you mean `two`" in capsys.readouterr().err


def test_every_code_has_a_page(capsys: Captured) -> None:
    assert run("explain", "p0601") == 0
    assert "P0601" in capsys.readouterr().out
    assert run("explain", "P9999") == 1
    assert "P0901" in capsys.readouterr().err


def test_fmt(file: Path, capsys: Captured) -> None:
    file.write_text("target   macs<=50%   # half\n")
    assert run("fmt", "--check", file) == 1
    assert run("fmt", "--diff", file) == 1
    assert "-target   macs<=50%" in capsys.readouterr().out
    assert file.read_text() == "target   macs<=50%   # half\n"
    assert run("fmt", file) == 0
    assert "# half" in file.read_text()
    assert run("fmt", "--check", file) == 0
    assert [p.name for p in Path().iterdir() if p.suffix not in (".py", ".prune")] in (
        [],
        ["__pycache__"],
    )


def test_new_is_a_file_that_compiles(file: Path, capsys: Captured) -> None:
    assert run("new", "cli_model:net") == 2
    assert "net.prune: File exists" in capsys.readouterr().err
    assert run("new", "cli_model:net", "--out", "start.prune") == 0
    assert "float32[N, 6]" in Path("start.prune").read_text()
    assert run("fmt", "--check", "start.prune") == 0
    assert run("compile", "start.prune") == 0
    assert run("new", "cli_model:net", "--out", "-") == 0
    assert capsys.readouterr().out.endswith(Path("start.prune").read_text())


# --- Faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv", [["frob"], ["plan"], ["plan", "--frob", "x"], ["new", "no_colon"], ["fmt"]]
)
def test_wrong_usage(argv: list[str], capsys: Captured) -> None:
    assert run(*argv) == 2
    out, err = capsys.readouterr()
    assert "Usage: prunec" in err
    assert out == ""


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("target macs", "target mcas", "P0202"),
        ("cli_model:net(", "cli_absent:net(", "P0301"),
        ("cli_model:net(", "cli_model:nett(", "P0302"),
        ("noise=true", "nose=true", "P0303"),
        ("cli_model:net(noise=true)", "cli_model:batches", "P0304"),
        ("  input x: float32[N, 6]\n", "", "P0309"),
        ("score l1", 'score l1 in "three"', "P0204"),
        ("50%", "100%", "P0602"),
    ],
)
def test_faults_of_the_user(file: Path, capsys: Captured, old: str, new: str, code: str) -> None:
    assert old in SPEC
    file.write_text(SPEC.replace(old, new))
    assert run("compile", file) == 1
    out, err = capsys.readouterr()
    assert f"error[{code}]" in err
    assert "Traceback" not in err
    assert out == ""
    assert not Path("out").exists()


def test_no_file(capsys: Captured) -> None:
    assert run("plan", "absent.prune") == 1
    assert "P0108" in capsys.readouterr().err


def test_diagnostics_for_machines(file: Path, capsys: Captured) -> None:
    file.write_text(SPEC.replace("target macs", "target mcas"))
    assert run("plan", file, "--format", "github") == 1
    assert capsys.readouterr().err.startswith("::error title=P0202,file=net.prune,line=6,")
    assert run("plan", file, "--format", "sarif") == 1
    assert json.loads(capsys.readouterr().err)["version"] == "2.1.0"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyError("x"), 2, "defect of prunec"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_what_nobody_expects(error: BaseException, code: int, said: str, capsys: Captured) -> None:
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error

    assert guarded(app, []) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


# --- Plans ---------------------------------------------------------------------------------------


def test_a_plan_is_written_and_applied(file: Path, capsys: Captured) -> None:
    assert run("plan", file, "-o", "plan.json") == 0
    assert "macs" in capsys.readouterr().out
    assert run("compile", file, "--plan", "plan.json", "--out", "applied") == 0
    assert run("compile", file, "--out", "solved") == 0
    for solved in Path("solved").iterdir():
        assert (Path("applied") / solved.name).read_bytes() == solved.read_bytes()
    file.write_text(SPEC.replace("50%", "60%"))
    capsys.readouterr()
    assert run("compile", file, "--plan", "plan.json") == 1
    assert "the text of the spec differs" in capsys.readouterr().err
    assert not Path("out").exists()


def test_diff(file: Path, capsys: Captured) -> None:
    assert run("plan", file, "-o", "a.json") == 0
    assert run("compile", file) == 0
    capsys.readouterr()
    assert run("diff", "a.json", "out/slim.lock.json") == 0
    assert "hold the same plan" in capsys.readouterr().out
    file.write_text(SPEC.replace("50%", "25%"))
    assert run("plan", file, "-o", "b.json") == 0
    capsys.readouterr()
    assert run("diff", "a.json", "b.json") == 1
    out = capsys.readouterr().out
    assert "made from other inputs: the text of the spec" in out
    assert "one 8 4 16 -4 4 0" in " ".join(out.split())
    assert run("diff", "a.json", "b.json", "--format", "json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["equal"] is False
    assert found["groups"] == [
        {"name": "one", "size": 16, "a": 8, "b": 4, "only_a": 4, "only_b": 0}
    ]
    assert run("diff", "a.json", "absent.json") == 1
    assert "P0641" in capsys.readouterr().err


def test_sweep(file: Path, capsys: Captured) -> None:
    pytest.importorskip("matplotlib")
    files = ("-o", "f.json", "-o", "f.svg", "-o", "f.PNG")
    assert run("plan", file, "--sweep", "macs=70%..1%", "--steps", 4, *files) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    targets = [row[2] for row in rows if row[:2] == ["macs", "<="]]
    assert targets == ["70%", "47%", "24%", "1%"]
    assert rows[-1][3:] == ["cannot", "be", "met"]
    assert json.loads(Path("f.json").read_text())["steps"][0]["target"] == "macs <= 70%"
    assert Path("f.svg").read_text().startswith("<?xml")
    assert Path("f.PNG").read_bytes().startswith(b"\x89PNG")
    before = {name: Path(name).read_bytes() for name in ("f.json", "f.svg", "f.PNG")}
    assert run("plan", file, "--sweep", "macs=70%..1%", "--steps", 4, *files) == 0
    assert before == {name: Path(name).read_bytes() for name in before}
    capsys.readouterr()
    assert run("plan", file, "--sweep", "macs=70%..60%", "--format", "json") == 0
    assert len(json.loads(capsys.readouterr().out)["steps"]) == 9


def test_sweeps_that_are_none(file: Path, capsys: Captured) -> None:
    for argv, code in (
        (("--sweep", "macs"), "P0646"),
        (("--sweep", "macs=70%..30%", "-o", "front.txt"), "P0648"),
        (("-o", "plan.svg"), "P0648"),
        (("--sweep", "macs=1%..0.5%"), "P0601"),
    ):
        assert run("plan", file, *argv) == 1
        assert code in capsys.readouterr().err
    assert sorted(p.name for p in Path().iterdir() if p.name != "__pycache__") == [
        "cli_model.py",
        "net.prune",
    ]
