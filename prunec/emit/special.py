"""Special spellings: operators whose best spelling depends on their arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prunec.emit import arguments, expr, helpers, schema
from prunec.emit.arguments import Render
from prunec.emit.construct import same
from prunec.emit.constructors import UPSAMPLE_MODES, square, whole
from prunec.emit.expr import ATOM, SUM, UNARY, Expr, binary, call, named
from prunec.emit.schema import LAST
from prunec.emit.spellings import FACTORIES
from prunec.ir.graph import Argument, Node, TensorType, TorchName

Special = Callable[[Node, Mapping[str, Argument], Render], "Expr | None"]


def _grouped_mm(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr | None:
    """``grouped_mm(x, weight, ends)``, by the helper that the file brings along."""
    x, weight, ends, *others = bound.values()
    if any(other is not None for other in others):
        return None
    return call(helpers.NAMES[node.op], map(render.show, (x, weight, ends)))


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
    return call(head, arguments.row(schema.params(node.op), bound, render))


def _einsum(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    tensors = bound["tensors"]
    assert isinstance(tensors, tuple)
    return call("torch.einsum", [render.show(bound["equation"]), *map(render.show, tensors)])


def _variadic(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    """``torch.block_diag(x, y)``: the list is spread out."""
    tensors = bound["tensors" if "tensors" in bound else "matrices"]
    assert isinstance(tensors, tuple)
    return call(f"torch.{schema.base(node.op)}", map(render.show, tensors))


def _tensordot(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    dims = (bound["dims_self"], bound["dims_other"])
    items = [render.show(bound[name]) for name in ("self", "other")]
    return call("torch.tensordot", [*items, named("dims", render.show(dims))])


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
    """``x.flatten()``, ``x.flatten(1)`` or ``x.flatten(0, 1)``."""
    start, end = bound["start_dim"], bound["end_dim"]
    given = [] if (start, end) == (0, -1) else [start] if end == -1 else [start, end]
    return call(f"{render.show(bound['self']).at(ATOM)}.flatten", map(expr.literal, given))


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
    return call(f"{receiver}.slice_scatter", arguments.row(known, open_ended, render))


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


def _stft(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr | None:
    """The method pads unless told not to; the operator without ``center`` never does."""
    if "center" in bound:
        return None
    known = [p for p in schema.params(node.op) if p.name != "self" and p.name in bound]
    items = [*arguments.row(known, bound, render), named("center", Expr("False"))]
    return call(f"{render.show(bound['self']).at(ATOM)}.stft", items)


def _vector_norm(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    """Without its order where that is 2, however it was written."""
    plain = {**bound, "ord": 2} if bound["ord"] == 2 else bound
    known = [p for p in schema.params(node.op) if p.name in bound]
    return call("torch.linalg.vector_norm", arguments.row(known, plain, render))


def _property(node: Node, bound: Mapping[str, Argument], render: Render) -> Expr:
    name = schema.base(node.op).removeprefix("numpy_").removeprefix("matrix_")
    return Expr(f"{render.show(bound['self']).at(ATOM)}.{name}")


SPECIAL: Mapping[str, Special] = {
    "neg": _negative,
    "bitwise_not": _negative,
    "rsub": _reversed,
    "to": _cast,
    "_to_copy": _cast,
    "index": _index,
    **dict.fromkeys(("_grouped_mm", "transformers.grouped_mm_fallback.default"), _grouped_mm),
    "index_put": _index_put,
    "einsum": _einsum,
    "meshgrid": _meshgrid,
    "tensordot": _tensordot,
    **dict.fromkeys(
        ("block_diag", "cartesian_prod", "broadcast_tensors", "chain_matmul"), _variadic
    ),
    "split": _split,
    "split_with_sizes": _split,
    "hardtanh": _hardtanh,
    **dict.fromkeys(("numpy_T", "matrix_H", "mT", "mH", "real", "imag"), _property),
    "flatten": _flatten,
    "linalg_vector_norm": _vector_norm,
    "stft": _stft,
    "fill": _fill,
    "slice_scatter": _scatter,
    **dict.fromkeys(FACTORIES, _factory),
    **dict.fromkeys(UPSAMPLE_MODES, _interpolate),
    "_upsample_bicubic2d_aa": _interpolate,
    "_upsample_bilinear2d_aa": _interpolate,
}
"""Spellings that follow no table; None hands over to the general rule."""
