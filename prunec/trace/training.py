"""Training: what a model does in training mode that its graph, drawn in eval mode, cannot show.

The model is called once in training mode, on stand-ins without values where that goes. Whatever it
draws at random, and wherever it cuts gradients off, is noted with the module that does it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from prunec.trace.capture import evaluating, quiet
from prunec.trace.inputs import Example

ATTENTION = "scaled_dot_product_attention"
DROPOUTS = frozenset(
    """dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout
    feature_alpha_dropout""".split()
)
DRAWS = frozenset(
    """rand rand_like randn randn_like randint randint_like randperm bernoulli multinomial normal
    uniform exponential gumbel_softmax""".split()
)
LARGEST = 2**31
"""A model of more numbers than this is not called for real."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One random operation: the module that does it, the function, and how likely it drops."""

    path: str
    function: str
    p: float | None


@dataclass
class Seen:
    """Everything that one call of a model in training mode showed, in order.

    ``attentions`` are the dropouts of the weights of each attention by module, ``cut`` the modules
    that detach something from its gradients.
    """

    draws: list[Draw] = field(default_factory=list)
    attentions: dict[str, list[float]] = field(default_factory=dict)
    cut: dict[str, None] = field(default_factory=dict)


def run(module: nn.Module, example: Example) -> Seen:
    """Call a module in training mode; it and all random state are left as they were.

    Without values and with gradients, or else without gradients, or else for real.

    Raises:
        Exception: what the model raises in training mode.
    """
    for gradients in (True, False):
        try:
            return _without_values(module, example, gradients=gradients)
        except Exception as error:  # the model's code may raise anything
            last = error
    tensors = (*module.parameters(), *module.buffers())
    if any(t.is_meta for t in tensors) or sum(t.numel() for t in tensors) > LARGEST:
        raise last
    devices = sorted({t.get_device() for t in tensors if t.is_cuda})
    with torch.random.fork_rng(devices=devices):
        args, kwargs = copy.deepcopy((example.args, example.kwargs))
        return _watched(copy.deepcopy(module), lambda m: m(*args, **kwargs), gradients=False)


def _without_values(module: nn.Module, example: Example, *, gradients: bool) -> Seen:
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:

        def fake(value: Any) -> Any:
            return mode.from_tensor(value) if isinstance(value, Tensor) else value

        args, kwargs = pytree.tree_map(fake, (example.args, example.kwargs))
        with _replaced(module, fake):
            return _watched(module, lambda m: m(*args, **kwargs), gradients=gradients)


@contextmanager
def _replaced(module: nn.Module, by: Callable[[Any], Any]) -> Iterator[None]:
    """Other parameters and buffers for a while; tied ones stay tied."""
    held: list[dict[str, Any]] = []
    for m in module.modules():
        held += (m._parameters, m._buffers)
    before = [dict(tensors) for tensors in held]
    made: dict[int, Any] = {}
    try:
        for tensors in held:
            for name, tensor in tensors.items():
                if id(tensor) not in made:
                    made[id(tensor)] = by(tensor)
                tensors[name] = made[id(tensor)]
        yield
    finally:
        for tensors, original in zip(held, before, strict=True):
            tensors.clear()
            tensors.update(original)


def _watched(module: nn.Module, call: Callable[[nn.Module], object], *, gradients: bool) -> Seen:
    seen = Seen()
    with _as_before(module), _places(module) as place, torch.set_grad_enabled(gradients):
        module.train()
        with quiet(), _Watch(seen, place):
            call(module)
    if not gradients:
        seen.cut.clear()
    return seen


@contextmanager
def _as_before(module: nn.Module) -> Iterator[None]:
    """Afterwards every attribute of every module is what it was."""
    before = [(m, dict(m.__dict__)) for m in module.modules()]
    with evaluating(module):
        try:
            yield
        finally:
            for submodule, attributes in before:
                submodule.__dict__.update(attributes)


@contextmanager
def _places(module: nn.Module) -> Iterator[Callable[[], str]]:
    """Tells, while a model runs, the path of the module that is open."""
    paths = {m: path for path, m in module.named_modules()}
    open_ = [""]
    opened = hooks.register_module_forward_pre_hook(
        lambda m, _: open_.append(paths.get(m, open_[-1]))
    )

    def close(*_: object) -> None:
        open_.pop()

    closed = hooks.register_module_forward_hook(close, always_call=True)
    try:
        yield lambda: open_[-1]
    finally:
        opened.remove()
        closed.remove()


class _Watch(TorchFunctionMode):
    """Notes random functions and cut gradients."""

    def __init__(self, seen: Seen, place: Callable[[], str]) -> None:
        super().__init__()
        self.seen = seen
        self.place = place
        self.stopped = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        self._note(name.removesuffix("_"), args, given)
        if name == "batch_norm":  # with one value per channel torch refuses to train
            return args[0].clone()
        if name == "rand" and _is_single(args):  # whether to skip a layer: none is skipped
            return torch.tensor(1.0)
        if name == "_set_grad_enabled":
            self.stopped = not args[0]
        result = func(*args, **given)
        detaches = name in ("detach", "detach_") and torch.is_grad_enabled()
        if (detaches or (self.stopped and name != "__get__")) and _is_cut(args, given, result):
            self.seen.cut.setdefault(self.place())
        return result

    def _note(self, name: str, args: tuple[Any, ...], given: Mapping[str, Any]) -> None:
        if name == ATTENTION:
            self._attends(_argument(args, given, 4, "dropout_p", 0.0))
        elif name == "multi_head_attention_forward":
            p = float(_argument(args, given, 10, "dropout_p", 0.0))
            p = p if _argument(args, given, 13, "training", True) else 0.0
            if not _argument(args, given, 15, "need_weights", True):
                self._attends(p)
            elif p > 0:
                self._draws("dropout", p)
        elif name in DROPOUTS:
            p = float(_argument(args, given, 1, "p", 0.5))
            training = given.get("train", _argument(args, given, 2, "training", True))
            if training and p > 0:
                self._draws(name, p)
        elif name in DRAWS:
            self._draws(name, _missing(name, args, given))

    def _attends(self, p: float) -> None:
        self.seen.attentions.setdefault(self.place(), []).append(float(p))

    def _draws(self, name: str, p: float | None) -> None:
        self.seen.draws.append(Draw(self.place(), name, p))


def _argument(
    args: tuple[Any, ...], given: Mapping[str, Any], position: int, name: str, default: Any
) -> Any:
    return args[position] if len(args) > position else given.get(name, default)


def _missing(name: str, args: tuple[Any, ...], given: Mapping[str, Any]) -> float | None:
    """How likely a coin that is thrown falls on 0."""
    kept = _argument(args, given, 1, "p", None) if name == "bernoulli" else None
    return round(1 - kept, 12) if isinstance(kept, float) else None


def _is_single(args: tuple[Any, ...]) -> bool:
    sizes = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else args
    return all(size == 1 for size in sizes)


def _is_cut(args: tuple[Any, ...], given: Mapping[str, Any], result: object) -> bool:
    """Whether a function takes what has a gradient and gives what has none."""
    if not isinstance(result, Tensor) or result.requires_grad or not result.is_floating_point():
        return False
    leaves = pytree.tree_leaves((args, given))
    return any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves)
