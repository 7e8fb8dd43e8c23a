"""How far plans are from the best possible, and what solving takes.

    python -m examples.benchmarks.allocation [MODEL ...] [--solvers milp dp] [--metrics macs params]

Models of torchvision with random weights at 224 pixels, and the tiny Llama of ``$PRUNEC_DATA`` or
``../shared/data`` beside the checkout, scored by `l2`, at 70, 50 and 30% of what they cost. Then a
problem of 100 groups with 64 widths each and three budgets, whose costs are chains of products: of
convex losses, and of losses that are not. The gap is (loss - bound) / loss; seconds are those of
solving, in one thread. Needs torchvision, and transformers for the Llama.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from examples.benchmarks.torchvision_models import build, register
from examples.resnet56 import data
from prunec import planning, prepare
from prunec.ir.axis import Atom
from prunec.ir.group import Group
from prunec.ir.plan import Plan, Ranking
from prunec.passes import allocate
from prunec.passes.allocate import Budget, Problem
from prunec.passes.cost import Costs, Sum, Term
from prunec.prepare import Job, Memory
from prunec.spec import SOLVERS, Lp, Solver

MODELS = ("resnet50", "mobilenet_v3_small", "vit_b_16", "densenet121", "tiny_llama")
SHARES = (70, 50, 30)
METRICS: tuple[Sum, ...] = ("macs", "params", "weights")
SPEC = "target macs <= 50%\ntarget params <= 50%\nprune channels { score l2 }\nrepair none\n"
GROUPS, WIDTHS = 100, 64


def main() -> None:
    """Print one line for every model, budget and solver."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    parser.add_argument("--solvers", nargs="+", default=["milp"], choices=SOLVERS)
    parser.add_argument("--metrics", nargs="+", default=["macs"], choices=METRICS[:2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    solvers = [_solver(name) for name in options.solvers]
    print(f"{'':>32} {'solver':>8} {'loss':>11} {'bound':>11} {'gap':>8} {'seconds':>8}")
    for name in options.models:
        problem = _problem(name)
        for share in SHARES:
            asked = replace(problem, budgets=tuple(_budgets(problem, share, options.metrics)))
            for solver in solvers:
                _line(f"{name} {share}%", solver, allocate.run(solver, asked))
    for convex in (True, False):
        for solver in solvers:
            found = allocate.run(solver, synthetic(convex))
            _line(f"{GROUPS} x {WIDTHS} x 3, {'' if convex else 'not '}convex", solver, found)


def _line(name: str, solver: Solver, plan: Plan) -> None:
    numbers = f"{plan.objective:>11.4f} {plan.bound:>11.4f} {plan.gap:>8.3%} {plan.seconds:>8.2f}"
    print(f"{name:>32} {solver.name:>8} {numbers}", flush=True)


def _solver(name: str) -> Solver:
    return Lp(importance="score") if name == "lp" else SOLVERS[name]()


def _problem(name: str) -> Problem:
    model, example = _model(name)
    spec, folder = prepare.read(SPEC, in_memory=True)
    job = Job(spec, folder, Memory(model, (example,)))
    return planning.prepared(job, prepare.run(job)).problem


def _model(name: str) -> tuple[nn.Module, Tensor]:
    if name != "tiny_llama":
        return build(name), torch.zeros(2, 3, 224, 224)
    register()
    from transformers import LlamaConfig, LlamaForCausalLM

    config = json.loads((data.folder() / "tiny_llama.json").read_text())
    model = LlamaForCausalLM(LlamaConfig(**config | {"use_cache": False}))
    model.load_state_dict(load_file(data.folder() / "tiny_llama.safetensors"), strict=False)
    return model.eval(), torch.zeros(2, 64, dtype=torch.int64)


def _budgets(problem: Problem, share: int, metrics: Sequence[Sum]) -> Iterator[Budget]:
    for metric in metrics:
        bound = problem.costs.total(metric) * share // 100
        yield Budget(metric, bound, f"{metric} <= {share}%")


def synthetic(convex: bool, seed: int = 0) -> Problem:
    """A chain of groups under three budgets with weights of their own; losses drawn at random."""
    rng = np.random.default_rng(seed)
    terms = []
    for metric in METRICS:
        alone = {(g,): int(rng.integers(1, 1000)) for g in range(GROUPS)}
        links = {pair: int(rng.integers(1, 100)) for pair in pairwise(range(GROUPS))}
        terms.append(Term(metric, metric, frozenset({""}), {**alone, **links}))
    groups = tuple(Group(f"g{g}", Atom(g, WIDTHS), "channels", (), (), ()) for g in range(GROUPS))
    steps = rng.exponential(size=(GROUPS, WIDTHS)) * rng.exponential(size=(GROUPS, 1))
    steps = np.sort(steps, axis=1) if convex else steps
    losses = np.cumsum(np.pad(steps, ((0, 0), (1, 0))), axis=1)
    rankings = {
        g.name: Ranking(np.arange(WIDTHS), row) for g, row in zip(groups, losses, strict=True)
    }
    costs = Costs(tuple(terms), dict.fromkeys(range(GROUPS), WIDTHS))
    shares = zip(METRICS, (0.5, 0.45, 0.5), strict=True)
    budgets = tuple(
        Budget(m, int(costs.total(m) * share), f"{m} <= {share:.0%}") for m, share in shares
    )
    return Problem(groups, rankings, costs, budgets, {})


if __name__ == "__main__":
    main()
