"""Latency targets, held: what was asked, predicted and measured; beside it torch-pruning's uniform
ratio at the same multiply-adds.

    python -m examples.benchmarks.latency [--model resnet56 ...] [--folder build/latency] [--again]

Four models at 80, 60 and 40 per cent of the dense model's latency, one thread, one sample. Each is
profiled first (a minute or two), then compiled to every target; weights are random, which latency
does not depend on. Predicted and measured are the compiler's; then the dense model, the emitted one
and torch-pruning's are measured again, in the same turns: target, again and uniform. Results and
profiles stay in the folder; a model that is in it is not done again. Run it on a quiet machine.
Needs torchvision and torch-pruning.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import prunec
from examples.benchmarks.torchvision_models import build, register
from examples.resnet56.model import ResNet
from prunec import prepare, profile, understand
from prunec.spec import Cpu

SHARES = (80, 60, 40)
DEVICE = Cpu()
SPEC = """
target latency <= {share}% on cpu(threads=1, batch=1)
prune channels {{ score l2 keep multiple of auto }}
repair none
"""
Result = dict[str, Any]


def main() -> None:
    """Print one line a target, then the errors over all; exit 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="*", default=tuple(MODELS), choices=tuple(MODELS))
    parser.add_argument("--folder", type=Path, default=Path("build/latency"))
    parser.add_argument("--again", action="store_true", help="profile and compile anew")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    register()
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "results.json"
    known: dict[str, list[Result]] = json.loads(file.read_text()) if file.exists() else {}
    print(HEAD)
    for name in options.model:
        if options.again or name not in known:
            known[name] = run(name, options.folder, again=options.again)
            file.write_text(json.dumps(known, indent=1) + "\n")
        for result in known[name]:
            print(line(name, result), flush=True)
    done = [r for name in options.model for r in known[name]]
    print(summary(done))
    raise SystemExit(any(r["slim"] > 1.03 * r["target"] for r in done))


def run(name: str, folder: Path, *, again: bool = False) -> list[Result]:
    """Profile a model and compile it to every target."""
    module, example = MODELS[name]()
    module.eval()
    subject = prepare.given(module, (example,), {})
    path = folder / f"{name}.cpu-1t-b1.profile.json"
    profile.run(understand.run(subject), DEVICE, path, again=again)
    return [_target(name, module, example, path, share) for share in SHARES]


def _target(name: str, module: nn.Module, example: Tensor, path: Path, share: int) -> Result:
    spec = SPEC.format(share=share)
    found = prunec.compile(spec, model=module, args=(example,), profile=path, check=False)
    (timing,) = found.report.timings
    macs = next(c for c in found.plan.costs if c.metric == "macs")
    other = uniform(module, example, macs.slim / macs.dense)
    subjects = [module, found.module, *([] if other is None else [other])]
    dense, slim, *rest = profile.measure(subjects, (example[:1],), {}, DEVICE)
    return {
        "share": share,
        "dense": dense.ns,
        "target": round(dense.ns * share / 100),
        "predicted": timing.predicted,
        "measured": timing.slim,
        "profiled": timing.profiled_slim,
        "slim": slim.ns,
        "spread": slim.spread,
        "tries": timing.tries,
        "macs": macs.slim / macs.dense,
        "uniform": rest[0].ns if rest else None,
    }


def uniform(module: nn.Module, example: Tensor, share: float) -> nn.Module | None:
    """The model as torch-pruning prunes it: the one ratio for all layers that gives this share of
    the multiply-adds, by bisection; None where it cannot prune the model.
    """
    best: nn.Module | None = None
    low, high = 0.0, 1.0
    for _ in range(9):
        ratio = (low + high) / 2
        try:
            slim, left = _pruned(module, example[:1], ratio)
        except Exception as problem:  # it raises what it likes
            print(f"torch-pruning at {ratio:.2f}: {type(problem).__name__}: {problem}")
            return best
        if left > share:
            low = ratio
        else:
            best, high = slim, ratio
    return best


def _pruned(module: nn.Module, example: Tensor, ratio: float) -> tuple[nn.Module, float]:
    import torch_pruning as tp

    slim = copy.deepcopy(module)
    attentions = [m for m in slim.modules() if hasattr(m, "qkv") and hasattr(m, "num_heads")]
    for attention in attentions:
        attention.forward = partial(_attend, attention)  # as in torch-pruning's own example
    heads = {m.qkv: m.num_heads for m in attentions}
    last = [m for m in slim.modules() if isinstance(m, nn.Linear)][-1]
    before, _ = tp.utils.count_ops_and_params(slim, example)
    pruner = tp.pruner.BasePruner(
        slim,
        example,
        importance=tp.importance.MagnitudeImportance(p=2),
        pruning_ratio=ratio,
        ignored_layers=[last],
        num_heads=heads,
        prune_num_heads=False,
        prune_head_dims=True,
    )
    pruner.step()
    for attention in attentions:
        attention.head_dim = attention.qkv.out_features // (3 * attention.num_heads)
    slim(example)
    after, _ = tp.utils.count_ops_and_params(slim, example)
    return slim, after / before


def _attend(attention: nn.Module, x: Tensor, *_: object, **__: object) -> Tensor:
    """Attention of timm, whose heads may have become narrower than the stream."""
    q, k, v = attention.qkv(x).unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    return attention.proj(mixed)


HEAD = (
    f"{'model':>18} {'ask':>4} {'target':>8} {'predicted':>9} {'measured':>8} {'pred/meas':>9} "
    f"{'again':>8} {'again/target':>12} {'tries':>5} {'MACs':>6} {'uniform':>8}"
)


def line(name: str, r: Result) -> str:
    """One target: times in milliseconds."""
    shown = "-" if r["uniform"] is None else f"{r['uniform'] / 1e6:.2f}"
    return (
        f"{name:>18} {r['share']:>3}% {r['target'] / 1e6:>8.2f} {r['predicted'] / 1e6:>9.2f} "
        f"{r['measured'] / 1e6:>8.2f} {r['predicted'] / r['measured']:>9.3f} "
        f"{r['slim'] / 1e6:>8.2f} {r['slim'] / r['target']:>12.3f} "
        f"{r['tries']:>5} {r['macs']:>6.1%} {shown:>8}"
    )


def summary(done: list[Result]) -> str:
    """The errors of the predictions, and how far measurements are from targets."""
    errors = [abs(r["predicted"] / r["measured"] - 1) for r in done]
    raw = statistics.median(abs(r["profiled"] / r["measured"] - 1) for r in done)
    over = max(r["slim"] / r["target"] for r in done)
    faster = [r["uniform"] / r["slim"] for r in done if r["uniform"]]
    gain = f"; uniform/ours {statistics.median(faster):.2f} in the middle" if faster else ""
    return (
        f"predicted/measured: median error {statistics.median(errors):.1%}, "
        f"worst {max(errors):.1%} (of the profile's own times {raw:.1%} in the middle); "
        f"measured/target at most {over:.3f}{gain}"
    )


def _vit() -> nn.Module:
    try:
        import timm
    except ImportError:
        from torchvision.models import VisionTransformer

        return VisionTransformer(224, 16, 12, 3, 192, 768)
    return timm.create_model("vit_tiny_patch16_224")


def _image(make: Callable[[], nn.Module], size: int) -> Callable[[], tuple[nn.Module, Tensor]]:
    def made() -> tuple[nn.Module, Tensor]:
        torch.manual_seed(0)
        return make(), torch.randn(2, 3, size, size)

    return made


MODELS: Mapping[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "resnet18": _image(lambda: build("resnet18"), 224),
    "mobilenet_v3_small": _image(lambda: build("mobilenet_v3_small"), 224),
    "vit_tiny": _image(_vit, 224),
    "resnet56": _image(lambda: ResNet(9), 32),
}

if __name__ == "__main__":
    main()
