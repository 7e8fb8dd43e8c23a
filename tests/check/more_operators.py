"""More calls for `operators`: joins, indexing, positions, reductions, windows, fused kernels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

Call: TypeAlias = tuple[Callable[..., Any], tuple[tuple[int, ...] | Tensor, ...]]
A: Any = torch.ops.aten
L: Any = torch.linalg
X, IMAGE, LINE, VOLUME = ((2, 6, 5),), ((2, 4, 6, 6),), ((2, 4, 6),), ((2, 3, 4, 4, 4),)
SQUARE = ((4, 3, 3),)
ROWS = torch.tensor([2, 0, 1])
PICK = torch.tensor([[0, 1, 0, 3], [2, 0, 1, 1]])
BITS = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 1, 1]]).bool()
EDGES = torch.tensor([-1.0, 0.0, 0.5, 2.0])
PLACES = torch.arange(3 * 4).reshape(1, 3, 2, 2) % 4 * 5


def _matrices() -> Tensor:
    drawn = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0))
    return drawn @ drawn.mT + 4 * torch.eye(3)


POSITIVE = (_matrices(),)
LOWER = _matrices().tril()
SIGNS = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0))
SAMPLES = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(0))


MORE: dict[str, Call] = {
    # contractions
    "linalg_matmul": (L.matmul, ((2, 3), (3, 4))),
    "linalg_multi_dot": (lambda a, b, c: L.multi_dot([a, b, c]), ((2, 3), (3, 4), (4, 5))),
    "linalg_multi_dot vectors": (lambda a, b, c: L.multi_dot([a, b, c]), ((3,), (3, 4), (4,))),
    "chain_matmul": (lambda a, b: A.chain_matmul.default([a, b]), ((2, 3), (3, 4))),
    "linalg_vecdot": (lambda a, b: L.vecdot(a, b, dim=1), ((2, 3, 4), (2, 3, 4))),
    "inner": (torch.inner, ((2, 3, 4), (5, 4))),
    "vdot": (torch.vdot, ((4,), (4,))),
    "ger": (torch.ger, ((3,), (4,))),
    "tensordot": (lambda a, b: torch.tensordot(a, b, ([1, 2], [1, 0])), ((2, 3, 4), (4, 3, 5))),
    "addmv": (torch.addmv, ((3,), (3, 4), (4,))),
    "addr": (torch.addr, ((3, 4), (3,), (4,))),
    "addbmm": (torch.addbmm, ((3, 5), (2, 3, 4), (2, 4, 5))),
    "einsum ellipsis": (lambda a, b: torch.einsum("...i,ij->...j", a, b), ((2, 3, 4), (4, 5))),
    "einsum implicit": (lambda a, b: torch.einsum("...ij,jk", a, b), ((2, 3, 4), (4, 5))),
    "einsum diagonal": (lambda a: torch.einsum("nii->ni", a), ((2, 3, 3),)),
    "einsum trace": (lambda a: torch.einsum("nii->n", a), ((2, 3, 3),)),
    "einsum outer": (lambda a, b: torch.einsum("bi,bj->bij", a, b), ((2, 3), (2, 4))),
    "convolution": (
        lambda x, w, b: A.convolution.default(x, w, b, [1], [1], [1], False, [0], 2),
        ((2, 4, 5), (6, 2, 3), (6,)),
    ),
    "convolution transposed": (
        lambda x, w, b: A.convolution.default(x, w, b, [1], [0], [1], True, [0], 1),
        ((2, 4, 5), (4, 3, 2), (3,)),
    ),
    "_convolution": (
        lambda x, w, b: A._convolution.default(
            x, w, b, [1], [1], [1], False, [0], 1, False, False, False, False
        ),
        ((2, 4, 5), (6, 4, 3), (6,)),
    ),
    "cdist": (torch.cdist, ((2, 3, 4), (2, 5, 4))),
    # re-arranging and joining
    "ravel": (torch.ravel, X),
    "swapdims": (lambda x: A.swapdims.default(x, 0, 2), X),
    "moveaxis": (lambda x: A.moveaxis.intlist(x, [0], [2]), X),
    "matrix_H": (A.matrix_H.default, ((2, 3),)),
    "mH": (A.mH.default, X),
    "adjoint": (A.adjoint.default, X),
    "concatenate": (lambda x, y: A.concatenate.default([x, y], 1), ((2, 3), (2, 4))),
    "atleast_1d": (A.atleast_1d.default, X),
    "atleast_2d": (A.atleast_2d.default, ((4,),)),
    "atleast_3d": (A.atleast_3d.default, ((4, 3),)),
    "atleast_3d list": (lambda x, y: A.atleast_3d.Sequence([x, y]), ((4,), (2, 3))),
    "hstack": (lambda x, y: torch.hstack([x, y]), ((2, 3), (2, 4))),
    "hstack vectors": (lambda x, y: torch.hstack([x, y]), ((3,), (4,))),
    "vstack": (lambda x, y: torch.vstack([x, y]), ((3,), (2, 3))),
    "row_stack": (lambda x, y: A.row_stack.default([x, y]), ((4, 3), (2, 3))),
    "dstack": (lambda x, y: torch.dstack([x, y]), ((2, 3), (2, 3))),
    "column_stack": (lambda x, y: torch.column_stack([x, y]), ((3,), (3, 2))),
    "hsplit": (lambda x: torch.hsplit(x, 2), X),
    "vsplit": (lambda x: torch.vsplit(x, 2), X),
    "dsplit": (lambda x: torch.dsplit(x, 5), X),
    "block_diag": (torch.block_diag, ((2, 3), (3, 2), (4,))),
    "meshgrid": (lambda x, y: A.meshgrid.indexing([x, y], indexing="xy"), ((3,), (4,))),
    "meshgrid ij": (lambda x, y: A.meshgrid.default([x, y]), ((3,), (4,))),
    "cartesian_prod": (torch.cartesian_prod, ((3,), (4,))),
    "broadcast_tensors": (lambda x, y: A.broadcast_tensors.default([x, y]), ((2, 1, 3), (4, 1))),
    "kron": (torch.kron, ((2, 3), (4, 5))),
    "kron ranks": (torch.kron, ((3,), (2, 4))),
    "diagonal": (lambda x: x.diagonal(0, 1, 2), ((2, 3, 3),)),
    "diagonal beside": (lambda x: x.diagonal(1), ((4, 4, 3),)),
    "diag_embed": (torch.diag_embed, ((2, 3),)),
    "diag_embed beside": (lambda x: torch.diag_embed(x, 1, 0, 2), ((2, 3),)),
    "diag": (torch.diag, ((3,),)),
    "diag of a matrix": (torch.diag, ((3, 3),)),
    "diag oblong": (torch.diag, ((3, 4),)),
    "trace": (torch.trace, ((3, 3),)),
    "diagonal_scatter": (lambda x, y: torch.diagonal_scatter(x, y, 0, 1, 2), ((4, 3, 3), (4, 3))),
    "slice strided to an end": (lambda x: x[:, 0:5:2], X),
    "repeat_interleave flat": (lambda x: x.repeat_interleave(2), ((2, 3),)),
    "repeat_interleave sized": (
        lambda x: x.repeat_interleave(2, 1, output_size=6),
        ((2, 3),),
    ),
    "repeat_interleave by a tensor": (
        lambda x, n: x.repeat_interleave(n, 1, output_size=4),
        ((2, 3), torch.tensor([1, 2, 1])),
    ),
    "native_channel_shuffle": (
        lambda x: A.native_channel_shuffle.default(x, 3),
        ((1, 6, 2, 2),),
    ),
    # indexing
    "_unsafe_index": (lambda x, i: A._unsafe_index.Tensor(x, [None, i]), ((2, 4), ROWS)),
    "index_put": (
        lambda x, i, y: A.index_put.default(x, [None, i], y),
        ((2, 4, 3), ROWS, (2, 3, 3)),
    ),
    "index_put masked": (
        lambda x, i, y: A.index_put.default(x, [i], y),
        ((4, 3, 2), BITS, ()),
    ),
    "index_put masked inside": (
        lambda x, i, y: A.index_put.default(x, [None, i], y),
        ((2, 4, 3, 5), BITS, (5,)),
    ),
    "index_put accumulated": (
        lambda x, i, y: A.index_put.default(x, [i], y, True),
        ((4, 3), ROWS, (3,)),
    ),
    "_unsafe_index_put": (
        lambda x, i, y: A._unsafe_index_put.default(x, [i], y),
        ((4, 3), ROWS, (3, 3)),
    ),
    "gather": (lambda x, i: x.gather(1, i), ((2, 4), PICK)),
    "gather part": (lambda x, i: x.gather(1, i), ((3, 4), PICK)),
    "take_along_dim": (lambda x, i: torch.take_along_dim(x, i, 1), ((2, 4), PICK[:1])),
    "scatter": (
        lambda x, i, y: x.scatter(1, i, y),
        ((2, 4), torch.tensor([[0, 2], [3, 1]]), (2, 2)),
    ),
    "scatter number": (lambda x, i: x.scatter(1, i, 2.0), ((2, 4), PICK)),
    "scatter_add": (lambda x, i, y: x.scatter_add(1, i, y), ((2, 4), PICK, (2, 4))),
    "scatter_add part": (lambda x, i, y: x.scatter_add(1, i, y), ((3, 4), PICK, (2, 5))),
    "scatter_reduce": (
        lambda x, i, y: x.scatter_reduce(1, i, y, "amax"),
        ((2, 4), PICK, (2, 4)),
    ),
    "index_add": (lambda x, i, y: x.index_add(0, i, y), ((4, 5), ROWS, (3, 5))),
    "index_copy": (lambda x, i, y: x.index_copy(0, i, y), ((4, 5), ROWS, (3, 5))),
    "index_reduce": (
        lambda x, i, y: x.index_reduce(0, i, y, "amax"),
        ((4, 5), ROWS, (3, 5)),
    ),
    "index_fill": (lambda x, i: x.index_fill(1, i, 2.0), ((2, 4), ROWS)),
    "take": (torch.take, ((2, 4), ROWS)),
    "bucketize": (torch.bucketize, ((2, 6), EDGES)),
    "searchsorted": (torch.searchsorted, (EDGES, (2, 6))),
    "searchsorted rows": (
        torch.searchsorted,
        (torch.stack([EDGES, EDGES + 1]), (2, 6)),
    ),
    "isin": (torch.isin, (PICK, ROWS)),
    "one_hot": (lambda x: F.one_hot(x, 4), (PICK,)),
    "masked_fill": (lambda x, m: x.masked_fill(m, 1.0), ((2, 4, 3), BITS)),
    # positions along an axis
    **{
        name: (getattr(torch, name), X)
        for name in "cumulative_trapezoid trapezoid trapz msort nanmedian mode".split()
    },
    "topk": (lambda x: x.topk(2, 1), X),
    "kthvalue": (lambda x: x.kthvalue(2, 1), X),
    "diff": (lambda x, y: torch.diff(x, dim=1, prepend=y), ((2, 6, 5), (2, 1, 5))),
    "unfold": (lambda x: x.unfold(1, 3, 2), X),
    "quantile": (lambda x: x.quantile(0.3, 1), X),
    "quantile several": (lambda x, q: x.quantile(q, 1), ((2, 6, 5), torch.tensor([0.1, 0.5]))),
    "nanquantile": (lambda x: x.nanquantile(0.3, 1, True), X),
    "rot90": (lambda x: torch.rot90(x, 1, [1, 2]), X),
    "fliplr": (torch.fliplr, X),
    "flipud": (torch.flipud, X),
    "cross": (lambda x, y: torch.cross(x, y, 1), ((2, 3, 4), (2, 3, 4))),
    "linalg_cross": (lambda x, y: L.cross(x, y, dim=1), ((2, 3, 4), (2, 3, 4))),
    **{
        f"fft_{name}": (partial(getattr(torch.fft, name), dim=1), X)
        for name in "fft ifft rfft irfft hfft ihfft fftshift ifftshift".split()
    },
    **{
        f"fft_{name}{n}": (getattr(torch.fft, f"{name}{n}"), ((3, 6, 4),))
        for name in "fft ifft rfft irfft hfft ihfft".split()
        for n in "2n"
    },
    "fft_fftn two": (lambda x: torch.fft.fftn(x, (4, 4)), ((3, 6, 4),)),
    # complex numbers
    "view_as_complex": (torch.view_as_complex, ((3, 4, 2),)),
    "view_as_real": (torch.view_as_real, (torch.complex(SAMPLES, SAMPLES),)),
    "complex": (torch.complex, ((2, 3), (2, 3))),
    "polar": (torch.polar, ((2, 3), (2, 3))),
    # over an axis
    "aminmax": (lambda x: torch.aminmax(x, dim=1), X),
    "max of two": (torch.max, ((2, 3), (3,))),
    "count_nonzero": (lambda x: torch.count_nonzero(x, 1), X),
    "nansum": (lambda x: x.nansum(1), X),
    "nanmean": (lambda x: x.nanmean(1), X),
    "frobenius_norm": (lambda x: A.frobenius_norm.dim(x, [1]), X),
    "special_logsumexp": (lambda x: torch.special.logsumexp(x, 1), X),
    "special_softmax": (lambda x: torch.special.softmax(x, 1), X),
    "special_log_softmax": (lambda x: torch.special.log_softmax(x, 1), X),
    "linalg_norm": (lambda x: L.norm(x, dim=1), X),
    "linalg_matrix_norm": (L.matrix_norm, X),
    "nuclear_norm": (lambda x: A.nuclear_norm.dim(x, [1, 2]), X),
    "cosine_similarity": (F.cosine_similarity, ((2, 3, 4), (2, 3, 4))),
    "pairwise_distance": (F.pairwise_distance, ((2, 3, 4), (2, 3, 4))),
    "_weight_norm": (torch._weight_norm, ((4, 3, 2), (4, 1, 1))),
    "_weight_norm inner": (lambda v, g: torch._weight_norm(v, g, 1), ((4, 3, 2), (1, 3, 1))),
    "norm_except_dim": (lambda v: torch.norm_except_dim(v, 2, 0), ((4, 3, 2),)),
    # matrices
    **{
        f"linalg_{name}": (getattr(L, name), SQUARE)
        for name in (
            "inv inv_ex det qr svd svdvals lu lu_factor pinv matrix_exp matrix_rank "
            "eig eigvals cond"
        ).split()
    },
    **{f"linalg_{name}": (getattr(L, name), POSITIVE) for name in "eigh eigvalsh".split()},
    **{
        name: (getattr(torch, name), SQUARE)
        for name in "inverse det slogdet svd pinverse matrix_exp".split()
    },
    "logdet": (torch.logdet, POSITIVE),
    "linalg_slogdet": (L.slogdet, (0.1 * SIGNS,)),
    "linalg_cholesky_ex": (L.cholesky_ex, POSITIVE),
    "cholesky_inverse": (torch.cholesky_inverse, (LOWER,)),
    "cholesky_solve": (torch.cholesky_solve, ((4, 3, 2), LOWER)),
    "linalg_solve": (L.solve, ((4, 3, 3), (4, 3, 2))),
    "linalg_solve_triangular": (
        lambda a, b: L.solve_triangular(a, b, upper=False),
        (LOWER, (4, 3, 2)),
    ),
    "triangular_solve": (A.triangular_solve.default, ((4, 3, 2), LOWER)),
    "linalg_matrix_power": (lambda x: L.matrix_power(x, 2), SQUARE),
    "matrix_power": (lambda x: torch.matrix_power(x, 2), SQUARE),
    # through a window
    "max_pool1d_with_indices": (lambda x: A.max_pool1d_with_indices.default(x, [2]), LINE),
    "reflection_pad1d": (lambda x: A.reflection_pad1d.default(x, [1, 2]), LINE),
    "reflection_pad2d": (lambda x: A.reflection_pad2d.default(x, [1, 2, 1, 1]), IMAGE),
    "reflection_pad3d": (lambda x: A.reflection_pad3d.default(x, [1, 1, 1, 1, 2, 1]), VOLUME),
    "replication_pad1d": (lambda x: A.replication_pad1d.default(x, [1, 2]), LINE),
    "replication_pad2d": (lambda x: A.replication_pad2d.default(x, [1, 2, 1, 1]), IMAGE),
    "replication_pad3d": (lambda x: A.replication_pad3d.default(x, [1, 1, 1, 1, 2, 1]), VOLUME),
    "max_unpool2d": (
        lambda x, i: A.max_unpool2d.default(x, i, [4, 4]),
        ((1, 3, 2, 2), PLACES),
    ),
    "max_unpool3d": (
        lambda x, i: A.max_unpool3d.default(x, i, [4, 4, 1], [2, 2, 1], [0, 0, 0]),
        ((1, 3, 2, 2, 1), PLACES[..., None]),
    ),
    "fractional_max_pool2d": (
        lambda x, s: A.fractional_max_pool2d.default(x, [2, 2], [3, 3], s),
        ((2, 4, 6, 6), SAMPLES[..., :2]),
    ),
    "fractional_max_pool3d": (
        lambda x, s: A.fractional_max_pool3d.default(x, [2, 2, 2], [2, 2, 2], s),
        ((2, 3, 4, 4, 4), SAMPLES[:, :3]),
    ),
    "im2col": (lambda x: F.unfold(x, 3, padding=1), ((2, 4, 3, 3),)),
    "im2col one image": (lambda x: F.unfold(x, (2, 1)), ((4, 3, 3),)),
    "col2im": (lambda x: F.fold(x, (4, 4), 2, stride=2), ((2, 12, 4),)),
    "grid_sampler": (
        lambda x, g: F.grid_sample(x, g, align_corners=False),
        ((2, 3, 4, 4), (2, 5, 3, 2)),
    ),
    "grid_sampler_2d": (
        lambda x, g: A.grid_sampler_2d.default(x, g, 0, 0, False),
        ((2, 3, 4, 4), (2, 5, 3, 2)),
    ),
    "grid_sampler_3d": (
        lambda x, g: A.grid_sampler_3d.default(x, g, 0, 0, False),
        ((2, 3, 4, 4, 4), (2, 5, 3, 2, 3)),
    ),
    "affine_grid_generator": (
        lambda t: F.affine_grid(t, [2, 3, 4, 5], align_corners=False),
        ((2, 2, 3),),
    ),
    # fused
    "native_layer_norm": (
        lambda x, w, b: A.native_layer_norm.default(x, [4, 3], w, b, 1e-5)[0],
        ((2, 4, 3), (4, 3), (4, 3)),
    ),
    "native_group_norm": (
        lambda x, w, b: A.native_group_norm.default(x, w, b, 2, 6, 3, 2, 1e-5)[0],
        ((2, 6, 3), (6,), (6,)),
    ),
    "_fused_rms_norm": (
        lambda x, w: A._fused_rms_norm.default(x, [4], w, 1e-5)[0],
        ((3, 4), (4,)),
    ),
    "native_batch_norm": (
        lambda x, w, b, m, v: A.native_batch_norm.default(x, w, b, m, v, False, 0.1, 1e-5)[0],
        ((2, 3, 4), (3,), (3,), (3,), torch.tensor([0.5, 1.0, 2.0])),
    ),
    "_native_batch_norm_legit_no_training": (
        lambda x, w, b, m, v: A._native_batch_norm_legit_no_training.default(
            x, w, b, m, v, 0.1, 1e-5
        )[0],
        ((2, 3, 4), (3,), (3,), (3,), torch.tensor([0.5, 1.0, 2.0])),
    ),
    "embedding_bag": (
        lambda w, i, o: A.embedding_bag.default(w, i, o)[0],
        ((4, 3), torch.tensor([0, 1, 2, 3, 1]), torch.tensor([0, 2])),
    ),
    "_embedding_bag": (
        lambda w, i, o: A._embedding_bag.default(w, i, o)[0],
        ((4, 3), torch.tensor([0, 1, 2, 3, 1]), torch.tensor([0, 2])),
    ),
}
