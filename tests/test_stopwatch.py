"""What is measured, and that what cannot be measured is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import prunec
from prunec import PruneError, planning, prepare, slim, stopwatch
from prunec.driver import Compiled
from prunec.prepare import Job, Memory
from prunec.profile import Sample, clock, machine
from tests import profiles

X = torch.zeros(3, 3, 8, 8)
REST = "prune channels { score l2 }\nrepair none\n"


class Scale(nn.Module):
    """Holds a convolution that its parent reads the weight of, and never calls."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.conv.weight)


class Net(nn.Module):
    """A stem, two branches and a head; notes how many samples it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.body = nn.ModuleList([nn.Conv2d(16, 16, 3), nn.Conv2d(16, 16, 3)])
        self.scale = Scale()
        self.head = nn.Linear(16, 4)
        self.register_forward_pre_hook(self.note)
        self.seen: set[int] = set()

    @staticmethod
    def note(net: nn.Module, args: tuple[Tensor, ...]) -> None:
        if type(args[0]) is Tensor:
            net.seen.add(args[0].shape[0])  # type: ignore[operator,union-attr]

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        for each in self.body:
            x = torch.relu(each(x))
        return self.head(self.scale(x).mean(dim=(2, 3)))


class Half(nn.Module):
    """Calls one of two modules and computes itself what the other does."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.body = nn.ModuleList([conv])
        self.stem = nn.Conv2d(3, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.body[0](self.stem(x))


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """With a clock that runs everything once, and finds that the slim model takes nothing."""

    def interleaved(runs: Sequence[clock.Run], *, turns: int, turn: int) -> list[list[Sample]]:
        taken = [sum(run()) for run in runs]
        assert all(ns > 0 for ns in taken)
        return [[Sample(1000, 10, 1)], [Sample(1, 0, 1)]]

    monkeypatch.setattr(clock, "interleaved", interleaved)
    torch.manual_seed(0)
    return Net().eval()


def compiled(net: nn.Module, target: str) -> Compiled:
    known = profiles.of(net, X)
    return prunec.compile(
        f"target {target}\n{REST}", model=net, args=(X,), profile=known, check=False
    )


def code(net: nn.Module, target: str) -> str:
    with pytest.raises(PruneError) as caught:
        compiled(net, target)
    return caught.value.diagnostics[0].code


def test_the_whole_model_is_run_as_it_is(net: nn.Module) -> None:
    net.train()
    made = compiled(net, "latency <= 60% on cpu")
    assert made.report.timings[0].dense == 1000
    assert net.training
    assert 1 in net.seen  # type: ignore[operator]


@pytest.mark.parametrize(
    "where", ['"stem"', '"body"', '"body.*"', "type Conv2d", '"stem" or "scale"']
)
def test_a_scope_is_measured_inside_its_modules(net: nn.Module, where: str) -> None:
    (timing,) = compiled(net, f"latency <= 60% in {where} on cpu").report.timings
    assert (timing.dense, timing.slim, timing.bound) == (1000, 1, 600)
    assert timing.scope is not None
    assert all(not m._forward_hooks for m in net.modules())


def test_modules_that_are_never_called_are_named(net: nn.Module) -> None:
    both = 'latency <= 60% in "scale.conv" on cpu\ntarget macs <= 50%'
    assert code(net, both) == "P0631"


def test_modules_that_the_emitted_source_does_not_call_are_named(net: nn.Module) -> None:
    spec, folder = prepare.read(f'target latency <= 60% in "body" on cpu\n{REST}', in_memory=True)
    job = Job(spec, folder, Memory(net, (X,)), profile=profiles.of(net, X))
    planned = planning.run(job, prepare.run(job))
    shrunk = slim.shrunk(planned)
    made = slim.run(planned, shrunk, shrunk.weights)
    ((target, budget),) = planned.asked
    assert stopwatch.run(planned, made, target, budget).slim.ns == 1
    other = Half(made.module.get_submodule("body.0"))
    with pytest.raises(PruneError, match=r"P0631.*`body\.1`"):
        stopwatch.run(planned, replace(made, module=other), target, budget)


def test_another_number_of_threads_is_another_profile(net: nn.Module) -> None:
    assert code(net, "latency <= 60% on cpu(threads=2)") == "P0622"


def test_a_profile_that_is_not_there_is_told_how_to_make(net: nn.Module) -> None:
    with pytest.raises(PruneError, match="P0620") as caught:
        prunec.plan(f"target latency <= 60% on cpu\n{REST}", model=net, args=(X,))
    (found,) = caught.value.diagnostics
    assert found.help is not None
    assert 'prunec profile FILE --on "cpu(threads=1, batch=1)"' in found.help


def test_a_profile_of_another_model_lacks_operators(net: nn.Module) -> None:
    known = profiles.of(nn.Linear(3, 4), torch.zeros(2, 3))
    with pytest.raises(PruneError, match="P0621"):
        prunec.plan(f"target latency <= 60% on cpu\n{REST}", model=net, args=(X,), profile=known)


def test_modules_on_a_gpu_are_refused_before_anything_is_done() -> None:
    spec = 'target latency <= 60% in "stem" on cuda'
    with pytest.raises(PruneError, match="P0632"):
        prunec.compile(spec, model=nn.Linear(3, 4), args=(X,))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_here_can_be_planned_for_and_not_compiled_for(net: nn.Module) -> None:
    known = profiles.of(net, X)
    known.machine.kind, known.machine.name = "cuda", "a GPU elsewhere"
    spec = f"target latency <= 60% on cuda\n{REST}"
    assert prunec.plan(spec, model=net, args=(X,), profile=known).keep
    with pytest.raises(PruneError, match="P0624"):
        prunec.compile(spec, model=net, args=(X,), profile=known, check=False)


@pytest.mark.parametrize("before", [False, True])
def test_denormal_numbers_are_flushed_meanwhile_only(before: bool) -> None:
    def flushed() -> bool:
        return float(torch.full((1,), 1e-38) * 1e-2) == 0.0

    torch.set_flush_denormal(before)
    try:
        with machine.flushing():
            assert flushed()
        assert flushed() is before
    finally:
        torch.set_flush_denormal(False)


def test_renumbered_integers_fit_both_models(monkeypatch: pytest.MonkeyPatch) -> None:
    largest: list[int] = []

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.words, self.head = nn.Embedding(40, 16), nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(self.words(x))).mean(dim=1)

    def measure(modules: Sequence[nn.Module], args: Sequence[Tensor], *_: object) -> object:
        largest.append(int(args[0].max()))
        for module in modules:
            module(*args)
        return Sample(1000, 0, 1), Sample(1, 0, 1)

    monkeypatch.setattr(clock, "measure", measure)
    tokens, net = torch.full((2, 5), 39), Tokens().eval()
    spec = "target latency <= 90% on cpu\ntarget params <= 60%\nrepair none\n"
    spec += "prune vocabulary { score l2 }\n"
    known = profiles.of(net, tokens, renumber=True)
    made = prunec.compile(spec, model=net, args=(tokens,), profile=known, check=False)
    assert largest[0] < made.module.words.num_embeddings < 40  # type: ignore[union-attr,operator]
