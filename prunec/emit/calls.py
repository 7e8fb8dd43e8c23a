"""Calls: how each operator is written in plain torch.

First come Python's operators, then the table of functions whose public name or order of arguments differs from
the operator's, then a few special spellings. Everything else follows one rule: an operator is the tensor method, or
the torch function, of its own name, with arguments in the order of its schema. ``torch.ops`` is the last resort.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch

from prunec.emit import expr, schema
from prunec.emit.construct import same
from prunec.emit.expr import ATOM, COMPARE, PRODUCT, SUM, UNARY, Expr, binary, call, named
from prunec.emit.modules import UPSAMPLE_MODES, square, whole
from prunec.emit.schema import MISSING, Param
from prunec.emit.simplify import LAST
from prunec.ir.graph import Argument, Node, TensorType, TorchName, Type


class Render(Protocol):
    """What a spelling needs from the function that it stands in."""

    def show(self, argument: Argument) -> Expr:
        """An argument; a value by its name or as the expression that makes it."""

    def type(self, argument: Argument) -> Type:
        """The type of a value or weight."""

    def number(self, argument: Argument) -> Expr | None:
        """The value of a constant without dimensions that the source writes out."""

    def dtype(self, name: str) -> Expr:
        """A dtype; a floating one as that of a tensor at hand, where there is one."""

    def device(self) -> Expr | None:
        """The device of a tensor at hand."""


OPERATORS: Mapping[str, tuple[str, int]] = {
    "add": ("+", SUM),
    "sub": ("-", SUM),
    "mul": ("*", PRODUCT),
    "div": ("/", PRODUCT),
    "floor_divide": ("//", PRODUCT),
    "remainder": ("%", PRODUCT),
    "matmul": ("@", PRODUCT),
    "bitwise_and": ("&", expr.AND),
    "bitwise_or": ("|", expr.OR),
    "bitwise_xor": ("^", expr.XOR),
    "__and__": ("&", expr.AND),
    "__or__": ("|", expr.OR),
    "__xor__": ("^", expr.XOR),
    "eq": ("==", COMPARE),
    "ne": ("!=", COMPARE),
    "lt": ("<", COMPARE),
    "le": ("<=", COMPARE),
    "gt": (">", COMPARE),
    "ge": (">=", COMPARE),
}

FUNCTIONS: Mapping[str, tuple[str, str]] = {
    "linear": ("F.linear", "input weight bias"),
    "embedding": ("F.embedding", "indices weight padding_idx= scale_grad_by_freq= sparse="),
    "batch_norm": (
        "F.batch_norm",
        "input running_mean running_var weight= bias= training= momentum= eps=",
    ),
    "instance_norm": (
        "F.instance_norm",
        "input running_mean= running_var= weight= bias= use_input_stats= momentum= eps=",
    ),
    "layer_norm": ("F.layer_norm", "input normalized_shape weight bias eps="),
    "group_norm": ("F.group_norm", "input num_groups weight bias eps="),
    "rms_norm": ("F.rms_norm", "input normalized_shape weight eps="),
    "dropout": ("F.dropout", "input p training:train="),
    "alpha_dropout": ("F.alpha_dropout", "input p training:train="),
    "feature_alpha_dropout": ("F.feature_alpha_dropout", "input p training:train="),
    "feature_dropout": ("torch.feature_dropout", "input p train"),
    "relu": ("F.relu", "self"),
    "relu6": ("F.relu6", "self"),
    "gelu": ("F.gelu", "self approximate="),
    "silu": ("F.silu", "self"),
    "mish": ("F.mish", "self"),
    "selu": ("F.selu", "self"),
    "celu": ("F.celu", "self alpha="),
    "elu": ("F.elu", "self alpha="),
    "leaky_relu": ("F.leaky_relu", "self negative_slope="),
    "prelu": ("F.prelu", "self weight"),
    "softplus": ("F.softplus", "self beta= threshold="),
    "log_sigmoid": ("F.logsigmoid", "self"),
    "hardswish": ("F.hardswish", "self"),
    "hardsigmoid": ("F.hardsigmoid", "self"),
    "hardtanh": ("F.hardtanh", "self min_val max_val"),
    "glu": ("F.glu", "self dim="),
    "one_hot": ("F.one_hot", "self num_classes"),
    "pad": ("F.pad", "self pad mode= value="),
    "pixel_shuffle": ("F.pixel_shuffle", "self upscale_factor"),
    "pixel_unshuffle": ("F.pixel_unshuffle", "self downscale_factor"),
    "channel_shuffle": ("F.channel_shuffle", "self groups"),
    "im2col": ("F.unfold", "self kernel_size dilation= padding= stride="),
    "col2im": ("F.fold", "self output_size kernel_size dilation= padding= stride="),
    "scaled_dot_product_attention": (
        "F.scaled_dot_product_attention",
        "query key value attn_mask= dropout_p= is_causal= scale= enable_gqa=",
    ),
    "sigmoid": ("torch.sigmoid", "self"),
    "tanh": ("torch.tanh", "self"),
    "exp": ("torch.exp", "self"),
    "log": ("torch.log", "self"),
    "sqrt": ("torch.sqrt", "self"),
    "rsqrt": ("torch.rsqrt", "self"),
    "maximum": ("torch.maximum", "self other"),
    "minimum": ("torch.minimum", "self other"),
    "bmm": ("torch.bmm", "self mat2"),
    "addmm": ("torch.addmm", "self mat1 mat2 beta= alpha="),
    "baddbmm": ("torch.baddbmm", "self batch1 batch2 beta= alpha="),
    "outer": ("torch.outer", "self vec2"),
    **{
        f"conv{n}d": (f"F.conv{n}d", "input weight bias stride= padding= dilation= groups=")
        for n in (1, 2, 3)
    },
    **{
        f"conv_transpose{n}d": (
            f"F.conv_transpose{n}d",
            "input weight bias stride= padding= output_padding= groups= dilation=",
        )
        for n in (1, 2, 3)
    },
    **{
        f"max_pool{n}d{suffix}": (
            f"F.max_pool{n}d",
            "self kernel_size stride= padding= dilation= ceil_mode=",
        )
        for n in (1, 2, 3)
        for suffix in ("", "_with_indices")
    },
    **{
        f"avg_pool{n}d": (
            f"F.avg_pool{n}d",
            "self kernel_size stride= padding= ceil_mode= count_include_pad="
            + (" divisor_override=" if n > 1 else ""),
        )
        for n in (1, 2, 3)
    },
    **{
        f"adaptive_{kind}_pool{n}d": (f"F.adaptive_{kind}_pool{n}d", "self output_size")
        for n in (1, 2, 3)
        for kind in ("avg", "max")
    },
}
"""Operator to public function, and its arguments: ``python_name:schema_name=``, with ``=`` as keywords."""

DEFAULTS: Mapping[tuple[str, str], Argument] = {
    ("batch_norm", "momentum"): 0.1,
    ("batch_norm", "eps"): 1e-5,
    ("batch_norm", "weight"): None,
    ("batch_norm", "bias"): None,
    ("batch_norm", "training"): False,
    ("instance_norm", "momentum"): 0.1,
    ("instance_norm", "eps"): 1e-5,
    ("instance_norm", "weight"): None,
    ("instance_norm", "bias"): None,
    ("instance_norm", "running_mean"): None,
    ("instance_norm", "running_var"): None,
    ("instance_norm", "use_input_stats"): True,
    ("im2col", "dilation"): 1,
    ("im2col", "padding"): 0,
    ("im2col", "stride"): 1,
    ("col2im", "dilation"): 1,
    ("col2im", "padding"): 0,
    ("col2im", "stride"): 1,
}
"""Defaults of the public function where the schema has none."""

FIRST_ONLY = frozenset(
    f"{name}{n}d{suffix}"
    for n in (1, 2, 3)
    for name, suffix in (("adaptive_max_pool", ""), ("max_pool", "_with_indices"))
)
"""Operators that return indices too, which the public function leaves out unless asked."""

SHAPED = frozenset({"view", "reshape", "permute", "expand", "repeat", "flip", "tile"})
"""Methods that take their sizes one by one."""

FACTORIES = frozenset(
    {"arange", "zeros", "ones", "empty", "full", "eye", "linspace", "scalar_tensor"}
)

HIDDEN = frozenset({"device", "layout", "pin_memory", "implicit", "non_blocking"})
"""Arguments that say where, not what: the slim model goes where it is moved to."""

FOLLOWS = frozenset({"train", "training", "use_input_stats"})
"""Flags that are off in eval mode, in which models are traced; in the source they follow the module's mode."""

HEAVY = frozenset(
    {"scaled_dot_product_attention", "cat", "stack", "einsum", "where", "lstm", "gru"}
)
LIGHT = frozenset({"slice", "select", "unsqueeze", "neg", "bitwise_not", *OPERATORS})


def effort(node: Node) -> float:
    """How much of a line's readability an operator takes: 1 for a plain call."""
    base = schema.base(node.op)
    if base in HEAVY:
        return 2
    return 0.5 if base in LIGHT or (base not in FUNCTIONS and hasattr(torch.Tensor, base)) else 1


def public(node: Node) -> bool:
    """Whether there is a spelling other than ``torch.ops``."""
    base = schema.base(node.op)
    known = base in OPERATORS or base in FUNCTIONS or base in SPECIAL
    return known or _callee(base, schema.params(node.op)) is not None


def spell(node: Node, render: Render) -> Expr:
    """The expression for a node."""
    base = schema.base(node.op)
    bound = schema.bind(node)
    if base in OPERATORS and bound.get("alpha", 1) == 1 and bound.get("rounding_mode") is None:
        return _operator(base, bound, render)
    if base in SPECIAL:
        found = SPECIAL[base](node, bound, render)
        if found is not None:
            return found
    if base in FUNCTIONS:
        return _function(node, base, bound, render)
    return _generic(node, base, bound, render)


def _operator(base: str, bound: Mapping[str, Argument], render: Render) -> Expr:
    text, level = OPERATORS[base]
    values = tuple(bound.values())
    return binary(text, level, render.show(values[0]), render.show(values[1]))


def _function(node: Node, base: str, bound: Mapping[str, Argument], render: Render) -> Expr:
    callee, spec = FUNCTIONS[base]
    known = {p.name: p for p in schema.params(node.op)}
    items: list[Expr] = []
    skipped = False
    for part in spec.split():
        public_name, _, source = part.rstrip("=").rpartition(":")
        value = _value(base, source, bound)
        default = DEFAULTS.get((base, source), known[source].default)
        follows = (
            source in FOLLOWS and value is False and bound.get("running_mean", True) is not None
        )
        same_value = same(square(value), square(default)) or (source == "stride" and value == ())
        if same_value and not follows:
            skipped = True
            continue
        shown = _argument(known[source], value, render)
        keyword = part.endswith("=") or skipped
        items.append(named(public_name or source, shown) if keyword else shown)
    return call(callee, items)


def _value(base: str, name: str, bound: Mapping[str, Argument]) -> Argument:
    value = bound[name]
    if name == "stride" and "pool" in base and square(value) == square(bound["kernel_size"]):
        return ()
    if name == "padding_idx" and value is None:
        return -1
    return value


def _generic(node: Node, base: str, bound: Mapping[str, Argument], render: Render) -> Expr:
    known = [p for p in schema.params(node.op) if p.name not in HIDDEN and p.name in bound]
    callee = _callee(base, known)
    if callee is None:
        namespace, name, overload = node.op.split(".")
        return call(f"torch.ops.{namespace}.{name}.{overload}", _arguments(known, bound, render))
    if callee == "method":
        receiver, rest = render.show(bound["self"]).at(ATOM), known[1:]
        sizes = bound[rest[0].name] if rest else None
        if base in SHAPED and isinstance(sizes, tuple):
            return call(f"{receiver}.{base}", map(render.show, sizes))
        return call(f"{receiver}.{base}", _arguments(rest, bound, render))
    return call(callee, _arguments(known, bound, render))


def _callee(base: str, known: Sequence[Param]) -> str | None:
    if (
        known
        and known[0].name == "self"
        and known[0].kind == "Tensor"
        and hasattr(torch.Tensor, base)
    ):
        return "method"
    if not base.startswith("_") and hasattr(torch, base):
        return f"torch.{base}"
    for room in ("linalg", "special", "fft"):
        if base.startswith(f"{room}_"):
            return f"torch.{room}.{base.removeprefix(f'{room}_')}"
    return None


def _arguments(known: Sequence[Param], bound: Mapping[str, Argument], render: Render) -> list[Expr]:
    """Arguments in schema order, defaults left out; flags and whatever follows a gap by keyword."""
    items: list[Expr] = []
    gap = False
    for param in known:
        value = bound[param.name]
        if same(value, param.default) or same(square(value), square(param.default)):
            gap = True
            continue
        flag = param.default is not MISSING and isinstance(value, bool | None | str | TorchName)
        gap = gap or param.keyword_only or flag
        shown = _argument(param, value, render)
        items.append(named(param.name, shown) if gap else shown)
    return items


def _argument(param: Param, value: Argument, render: Render) -> Expr:
    if param.name in FOLLOWS and value is False:
        return Expr("self.training")
    if param.name == "dtype" and isinstance(value, TorchName):
        return render.dtype(value.name)
    if isinstance(value, tuple) and param.size is not None and len(value) > 0:
        value = square(value) if param.size > 1 or len(value) == 1 else value
    return render.show(value)


Special = Callable[[Node, Mapping[str, Argument], Render], "Expr | None"]


def _negative(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    sign = "~" if schema.base(node.op) == "bitwise_not" else "-"
    return Expr(f"{sign}{render.show(bound['self']).at(UNARY)}", UNARY)


def _reversed(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr | None:
    if bound.get("alpha", 1) != 1:
        return None
    return binary("-", SUM, render.show(bound["other"]), render.show(bound["self"]))


def _cast(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr | None:
    if not isinstance(node.type, TensorType) or "other" in bound:
        return None
    items = [render.dtype(node.type.dtype)] if bound.get("dtype") is not None else []
    layout = bound.get("memory_format")
    if isinstance(layout, TorchName) and layout.name != "preserve_format":
        items.append(named("memory_format", render.show(layout)))
    if bound.get("copy"):
        items.append(named("copy", Expr("True")))
    return call(f"{render.show(bound['self']).at(ATOM)}.to", items) if items else None


def _factory(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    base = schema.base(node.op)
    shape = bound.get("size")
    items = [] if shape is None else [render.show(shape)]
    for param in schema.params(node.op):
        if not (
            param.keyword_only or param.name == "size" or same(bound[param.name], param.default)
        ):
            items.append(render.show(bound[param.name]))
    if base == "arange" and "start" in bound and bound["start"] == 0 and bound.get("step", 1) == 1:
        items = [render.show(bound["end"])]
    if base in ("zeros", "ones", "empty") and isinstance(shape, tuple) and shape:
        items = [render.show(s) for s in shape]
    assert isinstance(node.type, TensorType)
    dtype = bound.get("dtype")
    if isinstance(dtype, TorchName) and not (base == "arange" and dtype.name == "int64"):
        items.append(named("dtype", render.dtype(dtype.name)))
    device = render.device()
    if device is not None:
        items.append(named("device", device))
    return call("torch.tensor" if base == "scalar_tensor" else f"torch.{base}", items)


def _index(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    indices = bound["indices"]
    assert isinstance(indices, tuple)
    shown = [":" if i is None else render.show(i).text for i in indices]
    return Expr(f"{render.show(bound['self']).at(ATOM)}[{', '.join(shown)}]")


def _index_put(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr | None:
    indices = bound["indices"]
    if not isinstance(indices, tuple) or None not in indices:
        return None
    head = f"torch.ops.{node.op}"
    return call(head, _arguments(schema.params(node.op), bound, render))


def _einsum(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    tensors = bound["tensors"]
    assert isinstance(tensors, tuple)
    return call("torch.einsum", [render.show(bound["equation"]), *map(render.show, tensors)])


def _meshgrid(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    tensors = bound["tensors"]
    assert isinstance(tensors, tuple)
    indexing = named("indexing", render.show(bound.get("indexing", "ij")))
    return call("torch.meshgrid", [*map(render.show, tensors), indexing])


def _interpolate(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr | None:
    if not node.op.endswith(".vec"):
        return None
    base = schema.base(node.op)
    smooth = base.endswith("_aa")
    mode = UPSAMPLE_MODES[base.removesuffix("_aa").lstrip("_") if smooth else base]
    items = [render.show(bound["input"])]
    size, factors = bound["output_size"], bound["scale_factors"]
    if size is not None:
        items.append(named("size", render.show(square(size))))
    if isinstance(factors, tuple):
        items.append(named("scale_factor", render.show(square(tuple(map(whole, factors))))))
    if mode != "nearest":
        items.append(named("mode", render.show(mode)))
    if bound.get("align_corners"):
        items.append(named("align_corners", Expr("True")))
    if smooth:
        items.append(named("antialias", Expr("True")))
    return call("F.interpolate", items)


def _flatten(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    return _flat(render.show(bound["self"]), bound["start_dim"], bound["end_dim"])


def _flat(receiver: Expr, start: Argument, end: Argument) -> Expr:
    """``x.flatten()``, ``x.flatten(1)`` or ``x.flatten(0, 1)``."""
    given = [] if (start, end) == (0, -1) else [start] if end == -1 else [start, end]
    return call(f"{receiver.at(ATOM)}.flatten", map(expr.literal, given))


def _fill(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    value = render.number(bound["value"]) or render.show(bound["value"])
    return call("torch.full_like", [render.show(bound["self"]), value])


def _scatter(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    """``x.slice_scatter(y, dim, start, end)``, an open end left out."""
    open_ended = {**bound, "end": None} if bound.get("end") == LAST else dict(bound)
    if open_ended.get("start") == 0:
        open_ended["start"] = None
    known = [p for p in schema.params(node.op) if p.name != "self"]
    receiver = render.show(bound["self"]).at(ATOM)
    return call(f"{receiver}.slice_scatter", _arguments(known, open_ended, render))


def _reshape(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr | None:
    """A view that merges dimensions or splits one says so, without the sizes of the others."""
    source = render.type(bound["self"])
    if not isinstance(source, TensorType) or not isinstance(node.type, TensorType):
        return None
    old = list(zip(source.shape, source.symbols, strict=True))
    new = list(zip(node.type.shape, node.type.symbols, strict=True))
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    merged, split = len(old) - head - tail, len(new) - head - tail
    shown = render.show(bound["self"])
    receiver = shown.at(ATOM)
    if split == 1 and merged > 1:
        return _flat(shown, head, head + merged - 1 if tail else -1)
    if merged == 1 and split > 1:
        sizes = bound.get("size", bound.get("shape"))
        assert isinstance(sizes, tuple)
        parts = [*sizes[head : len(sizes) - tail - 1], -1]
        if -1 in parts[:-1]:
            parts[-1] = sizes[len(sizes) - tail - 1]
        return call(f"{receiver}.unflatten", [Expr(str(head)), render.show(tuple(parts))])
    if (merged, split) in ((0, 1), (1, 0)):
        return call(f"{receiver}.{'un' * split}squeeze", [Expr(str(head))])
    return None


def _common(a: Sequence[object], b: Sequence[object]) -> int:
    """How many items two sequences have in common at their start."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def _expand(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr | None:
    """Sizes that stay are written -1."""
    source, sizes = render.type(bound["self"]), bound["size"]
    if not isinstance(source, TensorType) or not isinstance(node.type, TensorType):
        return None
    assert isinstance(sizes, tuple)
    added = node.type.rank - source.rank
    kept = [None] * added + list(zip(source.shape, source.symbols, strict=True))
    now = zip(node.type.shape, node.type.symbols, strict=True)
    shown = [-1 if k == n else s for k, n, s in zip(kept, now, sizes, strict=True)]
    return call(f"{render.show(bound['self']).at(ATOM)}.expand", map(render.show, shown))


def _split(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    sizes = bound.get("split_sizes", bound.get("split_size"))
    items = [render.show(sizes)]
    if bound["dim"] != 0:
        items.append(render.show(bound["dim"]))
    return call(f"{render.show(bound['self']).at(ATOM)}.split", items)


def _hardtanh(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr | None:
    if (bound["min_val"], bound["max_val"]) == (0, 6):
        return call("F.relu6", [render.show(bound["self"])])
    return None


def _item(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    source, index = node.args
    return Expr(f"{render.show(source).at(ATOM)}[{index}]")


def _transposed(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    return Expr(f"{render.show(bound['self']).at(ATOM)}.T")


SPECIAL: Mapping[str, Special] = {
    "neg": _negative,
    "bitwise_not": _negative,
    "rsub": _reversed,
    "to": _cast,
    "_to_copy": _cast,
    "index": _index,
    "index_put": _index_put,
    "einsum": _einsum,
    "meshgrid": _meshgrid,
    "split": _split,
    "split_with_sizes": _split,
    "hardtanh": _hardtanh,
    "numpy_T": _transposed,
    "view": _reshape,
    "reshape": _reshape,
    "expand": _expand,
    "flatten": _flatten,
    "fill": _fill,
    "slice_scatter": _scatter,
    **dict.fromkeys(FACTORIES, _factory),
    **dict.fromkeys(UPSAMPLE_MODES, _interpolate),
    "_upsample_bicubic2d_aa": _interpolate,
    "_upsample_bilinear2d_aa": _interpolate,
}
"""Spellings that follow no table; None hands over to the general rule."""


def scalar(node: Node, show: Callable[[Argument], Expr]) -> Expr:
    """A number computed from sizes."""
    name = node.op.removeprefix("scalar.")
    args = [show(a) for a in node.args]
    if name in SCALAR_OPERATORS:
        text, level = SCALAR_OPERATORS[name]
        return binary(text, level, args[0], args[1])
    match name:
        case "neg":
            return Expr(f"-{args[0].at(UNARY)}", UNARY)
        case "ceil":
            return call("int", [Expr(f"-(-{args[0].at(UNARY)} // 1)", UNARY)])
        case "floor" | "trunc":
            return call("int", [args[0]])
        case "pos":
            return args[0]
        case "ite":
            return Expr(f"({args[1]} if {args[0]} else {args[2]})")
        case _:
            return call(name, args)


SCALAR_OPERATORS: Mapping[str, tuple[str, int]] = {
    "add": ("+", SUM),
    "sub": ("-", SUM),
    "mul": ("*", PRODUCT),
    "truediv": ("/", PRODUCT),
    "floordiv": ("//", PRODUCT),
    "mod": ("%", PRODUCT),
    "and": ("&", expr.AND),
    "or": ("|", expr.OR),
    "eq": ("==", COMPARE),
    "ne": ("!=", COMPARE),
    "lt": ("<", COMPARE),
    "le": ("<=", COMPARE),
    "gt": (">", COMPARE),
    "ge": (">=", COMPARE),
}
