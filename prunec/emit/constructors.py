"""Constructors: how torch.nn modules are constructed, from their calls and weights.

The original's settings serve for modules that were never called and for what an operator does not
show (``padding_mode``). Sizes always come from the weights, for those shrink.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prunec.emit.construct import Arg, Construct, dtype, same
from prunec.emit.schema import MISSING
from prunec.ir.graph import Argument, TensorType


@dataclass(frozen=True)
class Seen:
    """What is known of a module: weights by local name, operator's arguments, settings."""

    weights: Mapping[str, TensorType]
    args: Mapping[str, Argument]
    config: Mapping[str, Argument]

    def get(self, name: str, default: Any, source: str | None = None) -> Any:
        """A setting: as the operator had it (under ``source``), else as the original had it."""
        found = self.args.get(source or name, self.config.get(name, default))
        return default if found == () else found

    @property
    def dtype(self) -> Arg:
        """The dtype of the floating weights."""
        return dtype(min(self.dtypes, default="float32"))

    @property
    def dtypes(self) -> frozenset[str]:
        """The dtypes of the weights that are not counters; a constructor takes one."""
        found = (t.dtype for t in self.weights.values())
        return frozenset(d for d in found if "float" in d or "complex" in d)


@dataclass(frozen=True)
class Leaf:
    """How a torch.nn class calls its one operator, and how it is constructed.

    ``ops`` are the operators that it can be; ``weights`` maps their arguments to its weights;
    ``source`` is the argument that is the call's input; ``shown`` are arguments that the
    construction accounts for.
    """

    ops: tuple[str, ...]
    build: Callable[[Seen], Construct | None]
    shown: frozenset[str]
    weights: tuple[tuple[str, str], ...] = ()
    source: str = "self"


@dataclass(frozen=True)
class Setting:
    """A constructor's parameter, positional without a default; ``source``: the operator's name."""

    name: str
    default: Any = MISSING
    source: str = ""
    whole: bool = False


def square(value: Any) -> Any:
    """``(3, 3)`` as 3; other values unchanged."""
    if isinstance(value, tuple) and len(value) > 0 and all(same(v, value[0]) for v in value):
        return value[0]
    return value


def whole(value: Any) -> Any:
    """``2.0`` as 2; other values unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def setting(value: Any, name: str, default: Any = MISSING, noun: str = "") -> Arg:
    return Arg(value, None if default is MISSING else name, default, noun or name)


def plain(cls: str, ops: str, *settings: Setting) -> Leaf:
    """A class without weights."""

    def build(seen: Seen) -> Construct | None:
        args: list[Arg] = []
        for s in settings:
            default = None if s.default is MISSING else s.default
            value = seen.get(s.name, default, s.source)
            value = value if s.whole else square(value)
            args.append(setting(value, s.name, s.default))
        return Construct(f"nn.{cls}", tuple(args))

    return Leaf(tuple(ops.split()), build, frozenset(s.source or s.name for s in settings))


def pool(cls: str, op: str, *more: Setting) -> Leaf:
    """A pool, whose stride is the kernel's size unless given."""

    def build(seen: Seen) -> Construct | None:
        kernel = square(seen.get("kernel_size", None))
        stride = square(seen.get("stride", None))
        args = [setting(kernel, "kernel_size")]
        args.append(setting(None if stride == kernel else stride, "stride", None))
        for s in more:
            args.append(setting(square(seen.get(s.name, s.default)), s.name, s.default))
        return Construct(f"nn.{cls}", tuple(args))

    return Leaf((op,), build, frozenset({"kernel_size", "stride", *(s.name for s in more)}))


def conv(cls: str, op: str) -> Leaf:
    def build(seen: Seen) -> Construct | None:
        shape = seen.weights["weight"].shape
        groups = seen.get("groups", 1)
        inputs, outputs = shape[1] * groups, shape[0]
        mode = seen.config.get("padding_mode", "zeros")
        padding = seen.get("padding", 0) if mode == "zeros" else seen.config.get("padding", 0)
        return Construct(f"nn.{cls}", _conv_args(seen, inputs, outputs, padding, mode))

    shown = frozenset({"stride", "padding", "dilation", "groups"})
    return Leaf((op,), build, shown, (("weight", "weight"), ("bias", "bias")), "input")


def conv_transpose(cls: str, op: str) -> Leaf:
    def build(seen: Seen) -> Construct | None:
        shape = seen.weights["weight"].shape
        groups = seen.get("groups", 1)
        args = _conv_args(seen, shape[0], shape[1] * groups, seen.get("padding", 0), "zeros")
        extra = setting(square(seen.get("output_padding", 0)), "output_padding", 0)
        return Construct(f"nn.{cls}", (*args[:5], extra, *args[5:]))

    shown = frozenset({"stride", "padding", "output_padding", "dilation", "groups"})
    return Leaf((op,), build, shown, (("weight", "weight"), ("bias", "bias")), "input")


def _conv_args(seen: Seen, inputs: int, outputs: int, padding: Any, mode: Any) -> tuple[Arg, ...]:
    return (
        setting(inputs, "in_channels"),
        setting(outputs, "out_channels"),
        setting(square(seen.weights["weight"].shape[2:]), "kernel_size"),
        setting(square(seen.get("stride", 1)), "stride", 1),
        setting(square(padding), "padding", 0),
        setting(square(seen.get("dilation", 1)), "dilation", 1),
        setting(seen.get("groups", 1), "groups", 1),
        setting("bias" in seen.weights, "bias", True),
        setting(mode, "padding_mode", "zeros"),
        seen.dtype,
    )


def linear(seen: Seen) -> Construct | None:
    outputs, inputs = seen.weights["weight"].shape
    bias = setting("bias" in seen.weights, "bias", True)
    sizes = (setting(inputs, "in_features"), setting(outputs, "out_features"))
    return Construct("nn.Linear", (*sizes, bias, seen.dtype))


def stats_norm(cls: str, op: str, affine: bool, tracks: bool) -> Leaf:
    """Batch and instance norms; ``affine`` and ``tracks`` are the defaults of their class."""

    def build(seen: Seen) -> Construct | None:
        sized = seen.weights.get("weight") or seen.weights.get("running_mean")
        width = seen.get("num_features", None) if sized is None else sized.shape[0]
        momentum = seen.config.get("momentum", 0.1)
        args = (
            setting(width, "num_features", noun="channels"),
            setting(seen.get("eps", 1e-5), "eps", 1e-5),
            setting(momentum if momentum is None else seen.get("momentum", 0.1), "momentum", 0.1),
            setting("weight" in seen.weights, "affine", affine),
            setting("running_mean" in seen.weights, "track_running_stats", tracks),
            seen.dtype,
        )
        return (
            None
            if "bias" in seen.weights and "weight" not in seen.weights
            else Construct(f"nn.{cls}", args)
        )

    names = ("weight", "bias", "running_mean", "running_var")
    flags = {"training", "use_input_stats", "momentum", "eps", "cudnn_enabled"}
    return Leaf((op,), build, frozenset(flags), tuple((n, n) for n in names), "input")


def layer_norm(seen: Seen) -> Construct | None:
    shape = (
        seen.weights["weight"].shape
        if "weight" in seen.weights
        else seen.get("normalized_shape", ())
    )
    affine = "weight" in seen.weights
    args = (
        setting(shape[0] if len(shape) == 1 else shape, "normalized_shape", noun="features"),
        setting(seen.get("eps", 1e-5), "eps", 1e-5),
        setting(affine, "elementwise_affine", True),
        setting("bias" in seen.weights or not affine, "bias", True),
        seen.dtype,
    )
    return Construct("nn.LayerNorm", args)


def rms_norm(seen: Seen) -> Construct | None:
    shape = (
        seen.weights["weight"].shape
        if "weight" in seen.weights
        else seen.get("normalized_shape", ())
    )
    args = (
        setting(shape[0] if len(shape) == 1 else shape, "normalized_shape", noun="features"),
        setting(seen.get("eps", None), "eps", None),
        setting("weight" in seen.weights, "elementwise_affine", True),
        seen.dtype,
    )
    return Construct("nn.RMSNorm", args)


def group_norm(seen: Seen) -> Construct | None:
    affine = "weight" in seen.weights
    width = seen.weights["weight"].shape[0] if affine else seen.config.get("num_channels")
    args = (
        setting(seen.get("num_groups", None), "num_groups"),
        setting(width, "num_channels", noun="channels"),
        setting(seen.get("eps", 1e-5), "eps", 1e-5),
        setting(affine, "affine", True),
        seen.dtype,
    )
    return Construct("nn.GroupNorm", args)


def embedding(seen: Seen) -> Construct | None:
    if seen.config.get("max_norm") is not None:
        return None
    count, width = seen.weights["weight"].shape
    padding = seen.get("padding_idx", None)
    args = (
        setting(count, "num_embeddings"),
        setting(width, "embedding_dim"),
        setting(None if padding == -1 else padding, "padding_idx", None),
        setting(seen.get("scale_grad_by_freq", False), "scale_grad_by_freq", False),
        setting(seen.get("sparse", False), "sparse", False),
        seen.dtype,
    )
    return Construct("nn.Embedding", args)


def prelu(seen: Seen) -> Construct | None:
    width = seen.weights["weight"].shape[0]
    return Construct("nn.PReLU", (setting(width, "num_parameters", 1), seen.dtype))


UPSAMPLE_MODES: Mapping[str, str] = {
    "upsample_nearest1d": "nearest",
    "upsample_nearest2d": "nearest",
    "upsample_nearest3d": "nearest",
    "upsample_linear1d": "linear",
    "upsample_bilinear2d": "bilinear",
    "upsample_bicubic2d": "bicubic",
    "upsample_trilinear3d": "trilinear",
    "_upsample_nearest_exact1d": "nearest-exact",
    "_upsample_nearest_exact2d": "nearest-exact",
    "_upsample_nearest_exact3d": "nearest-exact",
}
"""What ``F.interpolate`` calls each operator."""


def upsample(seen: Seen) -> Construct | None:
    mode = seen.config.get("mode", "nearest")
    factors = seen.args.get("scale_factors") if seen.args else seen.config.get("scale_factor")
    size = seen.args.get("output_size") if seen.args else seen.config.get("size")
    if isinstance(factors, tuple):
        factors = tuple(map(whole, factors))
    align = seen.args.get("align_corners") if seen.args else seen.config.get("align_corners")
    args = (
        setting(square(size), "size", None),
        setting(whole(square(factors)), "scale_factor", None),
        setting(mode, "mode", "nearest"),
        setting(align or seen.config.get("align_corners"), "align_corners", None),
    )
    return Construct("nn.Upsample", args)


def pad(cls: str, mode: str) -> Leaf:
    def build(seen: Seen) -> Construct | None:
        value = seen.get("value", 0)
        given = [setting(square(seen.get("padding", 0, "pad")), "padding")]
        if cls.startswith("Constant"):
            given.append(setting(value, "value"))
        elif mode == "constant" and value not in (0, None):
            return None
        return Construct(f"nn.{cls}", tuple(given)) if seen.get("mode", mode) == mode else None

    return Leaf(("pad",), build, frozenset({"pad", "mode", "value"}))


def bounded(cls: str, ops: str, low: float, high: float) -> Leaf:
    """ReLU6, whose operator shows its bounds."""

    def build(seen: Seen) -> Construct | None:
        bounds = seen.args.get("min_val", low), seen.args.get("max_val", high)
        return Construct(f"nn.{cls}") if bounds == (low, high) else None

    return Leaf(tuple(ops.split()), build, frozenset({"min_val", "max_val"}))


def dropout(cls: str, op: str) -> Leaf:
    def build(seen: Seen) -> Construct | None:
        return Construct(f"nn.{cls}", (Arg(seen.get("p", 0.5), None, 0.5, "p"),))

    return Leaf((op,), build, frozenset({"p", "train"}), source="input")
