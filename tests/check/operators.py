"""One small call of every operator that has a signature; sizes differ wherever they can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunec.check import taint
from prunec.passes.axes import native
from tests.check.more_operators import MORE

# What to call and its operands: the shape of a random one, or a tensor.
Call: TypeAlias = tuple[Callable[..., Any], tuple[tuple[int, ...] | Tensor, ...]]
A: Any = torch.ops.aten
ROWS = torch.tensor([2, 0, 1])
BITS = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 1, 1]]).bool()
X, IMAGE, LINE, VOLUME = ((2, 6, 5),), ((2, 4, 6, 6),), ((2, 4, 6),), ((2, 3, 4, 4, 4),)


# The operator (and, after a space, which use of it) -> the call.
CALLS: dict[str, Call] = {
    # contractions
    "linear": (F.linear, ((2, 3), (4, 3), (4,))),
    "bilinear": (F.bilinear, ((2, 3), (2, 4), (5, 3, 4), (5,))),
    "conv1d": (lambda x, w, b: F.conv1d(x, w, b, groups=2), ((2, 4, 5), (6, 2, 3), (6,))),
    "conv2d": (F.conv2d, ((2, 3, 5, 5), (4, 3, 3, 3), (4,))),
    "conv2d grouped": (lambda x, w: F.conv2d(x, w, groups=2), ((1, 4, 3, 3), (6, 2, 3, 3))),
    "conv2d depthwise": (lambda x, w: F.conv2d(x, w, groups=4), ((1, 4, 3, 3), (8, 1, 3, 3))),
    "conv3d": (F.conv3d, ((1, 3, 3, 3, 3), (2, 3, 3, 3, 3))),
    "conv_transpose1d": (F.conv_transpose1d, ((2, 3, 4), (3, 5, 2), (5,))),
    "conv_transpose2d": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, groups=2),
        ((1, 4, 2, 2), (4, 3, 2, 2), (6,)),
    ),
    "conv_transpose3d": (F.conv_transpose3d, ((1, 3, 2, 2, 2), (3, 2, 2, 2, 2))),
    "matmul": (torch.matmul, ((2, 3, 4), (4, 5))),
    "matmul batched": (torch.matmul, ((2, 1, 3, 4), (1, 5, 4, 6))),
    "matmul vector": (torch.matmul, ((3,), (2, 3, 4))),
    "mm": (torch.mm, ((2, 3), (3, 4))),
    "bmm": (torch.bmm, ((2, 3, 4), (2, 4, 5))),
    "mv": (torch.mv, ((3, 4), (4,))),
    "dot": (torch.dot, ((4,), (4,))),
    "outer": (torch.outer, ((3,), (4,))),
    "addmm": (torch.addmm, ((4,), (2, 3), (3, 4))),
    "baddbmm": (torch.baddbmm, ((2, 3, 5), (2, 3, 4), (2, 4, 5))),
    "einsum": (lambda a, b: torch.einsum("nij,jk->nki", a, b), ((2, 3, 4), (4, 5))),
    "einsum batched": (lambda a, b: torch.einsum("bhd,bd->bh", a, b), ((2, 3, 4), (2, 4))),
    "scaled_dot_product_attention": (
        F.scaled_dot_product_attention,
        ((2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 7)),
    ),
    "scaled_dot_product_attention grouped": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        ((1, 4, 3, 2), (1, 2, 3, 2), (1, 2, 3, 5)),
    ),
    "embedding": (lambda w, i: F.embedding(i, w), ((4, 3), ROWS)),
    # norms
    "batch_norm": (
        lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b),
        ((2, 3, 4), (3,), (3,), (3,), torch.tensor([0.5, 1.0, 2.0])),
    ),
    "instance_norm": (
        lambda x, w, b: F.instance_norm(x, None, None, w, b),
        ((2, 3, 4), (3,), (3,)),
    ),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), ((2, 6, 3), (6,), (6,))),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4, 3), w, b), ((2, 4, 3), (4, 3), (4, 3))),
    "rms_norm": (lambda x, w: F.rms_norm(x, (4,), w), ((3, 4), (4,))),
    "prelu": (F.prelu, ((2, 3, 4), (3,))),
    # re-arranging
    "view": (lambda x: x.view(2, 3, 10), X),
    "view merged": (lambda x: x.view(12, 5), X),
    "reshape": (lambda x: x.reshape(2, 2, 3, 5), X),
    "reshape crossing": (lambda x: x.reshape(2, 15, 2), X),
    "_unsafe_view": (lambda x: A._unsafe_view.default(x, [2, 30]), X),
    "view_as": (lambda x, y: x.view_as(y), ((2, 6), (2, 2, 3))),
    "reshape_as": (lambda x, y: x.reshape_as(y), ((2, 6), (2, 2, 3))),
    "flatten": (lambda x: x.flatten(1), X),
    "unflatten": (lambda x: x.unflatten(2, (1, 5)), X),
    "unsqueeze": (lambda x: x.unsqueeze(1), X),
    "squeeze": (lambda x: x.squeeze(1), ((2, 1, 3),)),
    "permute": (lambda x: x.permute(2, 0, 1), X),
    "transpose": (lambda x: x.transpose(0, 1), X),
    "swapaxes": (lambda x: A.swapaxes.default(x, 0, 2), X),
    "t": (A.t.default, ((2, 3),)),
    "numpy_T": (A.numpy_T.default, X),
    "mT": (A.mT.default, X),
    "movedim": (lambda x: A.movedim.intlist(x, [0, 2], [2, 1]), X),
    "expand": (lambda x: x.expand(3, 4), ((1, 4),)),
    "broadcast_to": (lambda x: A.broadcast_to.default(x, [3, 4]), ((1, 4),)),
    "expand_as": (lambda x, y: x.expand_as(y), ((1, 4), (3, 4))),
    "repeat": (lambda x: x.repeat(1, 2), ((2, 3),)),
    "tile": (lambda x: x.tile(2), ((2, 3),)),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, 1), ((2, 3),)),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), ((1, 12, 2, 2),)),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), ((1, 3, 4, 4),)),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 3), ((1, 6, 2, 2),)),
    "stack": (lambda x, y: torch.stack([x, y], 1), ((2, 3), (2, 3))),
    "cat": (lambda x, y: torch.cat([x, y], 1), ((2, 3), (2, 4))),
    "concat": (lambda x, y: A.concat.default([x, y], 1), ((2, 3), (2, 4))),
    # cutting
    "slice": (lambda x: x[:, 1:4], X),
    "slice strided": (lambda x: x[:, 1::2], X),
    "narrow": (lambda x: x.narrow(1, 2, 3), X),
    "select": (lambda x: x[:, 2], X),
    "split": (lambda x: x.split(4, 1), X),
    "split_with_sizes": (lambda x: x.split([1, 3, 2], 1), X),
    "chunk": (lambda x: x.chunk(2, 1), X),
    "tensor_split": (lambda x: A.tensor_split.sections(x, 4, 1), X),
    "unsafe_split": (lambda x: A.unsafe_split.Tensor(x, 4, 1), X),
    "unsafe_chunk": (lambda x: A.unsafe_chunk.default(x, 2, 1), X),
    "unsafe_split_with_sizes": (lambda x: A.unsafe_split_with_sizes.default(x, [2, 4], 1), X),
    "unbind": (lambda x: x.unbind(1), X),
    "pad": (lambda x: F.pad(x, (0, 0, 1, 2)), X),
    "pad reflected": (lambda x: F.pad(x, (1, 1), mode="reflect"), X),
    "constant_pad_nd": (lambda x: A.constant_pad_nd.default(x, [1, 0, 2, 1]), X),
    "roll": (lambda x: x.roll(2, 1), X),
    "flip": (lambda x: x.flip(1), X),
    "index": (lambda x, i: x[:, i], ((2, 4), ROWS)),
    "index_select": (lambda x, i: x.index_select(1, i), ((2, 4), ROWS)),
    "select_scatter": (lambda x, y: torch.select_scatter(x, y, 1, 2), ((2, 4), (2,))),
    "slice_scatter": (lambda x, y: torch.slice_scatter(x, y, 1, 1, 3), ((2, 4), (2, 2))),
    # compared
    "eq": (lambda x, y: x == y, ((2, 3), (3,))),
    "ne": (lambda x, y: x != y, ((2, 3), (3,))),
    # index by index
    "add": (lambda x, y: x + y, ((2, 3, 4), (3, 1))),
    "mul": (lambda x, y: x * y, ((2, 3), (3,))),
    "where": (torch.where, (BITS, (4, 3), (4, 1))),
    "dropout": (lambda x: F.dropout(x, 0.5, False), X),
    "alpha_dropout": (lambda x: F.alpha_dropout(x, 0.5, False), X),
    "feature_dropout": (lambda x: A.feature_dropout.default(x, 0.5, False), X),
    "feature_alpha_dropout": (lambda x: A.feature_alpha_dropout.default(x, 0.5, False), X),
    "clone": (lambda x: x.clone(), X),
    "to": (lambda x: x.to(torch.float64), X),
    "_to_copy": (lambda x: A._to_copy.default(x, dtype=torch.float64), X),
    "type_as": (lambda x, y: x.type_as(y), ((2, 3), (4,))),
    "fill": (lambda x: A.fill.Scalar(x, 2.0), X),
    "zeros_like": (torch.zeros_like, X),
    "ones_like": (torch.ones_like, X),
    "full_like": (lambda x: torch.full_like(x, 2.0), X),
    "glu": (lambda x: F.glu(x, 1), X),
    # over an axis
    **{
        name: (partial(getattr(torch, name), dim=1), X)
        for name in (
            "sum mean amax amin var std prod logsumexp argmax argmin max min median var_mean "
            "std_mean sort argsort cumsum cumprod logcumsumexp cummax cummin softmax log_softmax"
        ).split()
    },
    "norm": (lambda x: A.norm.ScalarOpt_dim(x, 2, [1]), X),
    "linalg_vector_norm": (lambda x: torch.linalg.vector_norm(x, 2, 1), X),
    "any": (lambda x: x.any(1), (BITS,)),
    "all": (lambda x: x.all(1), (BITS,)),
    "_softmax": (lambda x: A._softmax.default(x, 1, False), X),
    "_log_softmax": (lambda x: A._log_softmax.default(x, 1, False), X),
    "_safe_softmax": (lambda x: A._safe_softmax.default(x, 1), X),
    "triu": (torch.triu, X),
    "tril": (torch.tril, X),
    # through a window
    "max_pool1d": (lambda x: F.max_pool1d(x, 2), LINE),
    "avg_pool1d": (lambda x: F.avg_pool1d(x, 2), LINE),
    "adaptive_avg_pool1d": (lambda x: F.adaptive_avg_pool1d(x, 2), LINE),
    "adaptive_max_pool1d": (lambda x: A.adaptive_max_pool1d.default(x, [2]), LINE),
    "upsample_linear1d": (lambda x: F.interpolate(x, 8, mode="linear"), LINE),
    "upsample_nearest1d": (lambda x: F.interpolate(x, 8), LINE),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), IMAGE),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), IMAGE),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, 1), IMAGE),
    "_adaptive_avg_pool2d": (lambda x: A._adaptive_avg_pool2d.default(x, [1, 1]), IMAGE),
    "adaptive_max_pool2d": (lambda x: A.adaptive_max_pool2d.default(x, [2, 2]), IMAGE),
    "max_pool2d_with_indices": (
        lambda x: A.max_pool2d_with_indices.default(x, [2, 2], [2, 2]),
        IMAGE,
    ),
    "upsample_bilinear2d": (lambda x: F.interpolate(x, 8, mode="bilinear"), IMAGE),
    "upsample_bicubic2d": (lambda x: F.interpolate(x, 8, mode="bicubic"), IMAGE),
    "upsample_nearest2d": (lambda x: F.interpolate(x, 8), IMAGE),
    "_upsample_nearest_exact2d": (lambda x: F.interpolate(x, 8, mode="nearest-exact"), IMAGE),
    "max_pool3d": (lambda x: F.max_pool3d(x, 2), VOLUME),
    "avg_pool3d": (lambda x: F.avg_pool3d(x, 2), VOLUME),
    "adaptive_avg_pool3d": (lambda x: F.adaptive_avg_pool3d(x, 1), VOLUME),
    "adaptive_max_pool3d": (lambda x: A.adaptive_max_pool3d.default(x, [2, 2, 2]), VOLUME),
    "upsample_trilinear3d": (lambda x: F.interpolate(x, 6, mode="trilinear"), VOLUME),
    "upsample_nearest3d": (lambda x: F.interpolate(x, 6), VOLUME),
    **MORE,
}
# Operators of which every axis freezes: nothing is claimed.
WHOLE = frozenset(name for _, names in native.WHOLE for name in names.split())
# Operators without a value to predict: random, uninitialised, made from sizes alone or from an
# integer; bookkeeping that tracing drops; and what differs from one above in name alone (a Cholesky
# factorisation raises where the one that returns a flag does not).
# Recurrent operators carry every unit into every other from one step to the next: what they claim
# is asked in tests/passes/axes/test_recurrent.py; grouped products in tests/check/test_routing.py.
EXEMPT = frozenset(
    """contiguous bernoulli rand rand_like randn randn_like randint randperm empty empty_like
    new_empty arange eye full linspace new_full new_ones new_zeros ones zeros scalar_tensor tensor
    tril_indices triu_indices getitem alias detach lift_fresh_copy _adaptive_avg_pool3d
    randint_like exponential uniform normal_functional cauchy log_normal geometric random logspace
    hann_window hamming_window blackman_window bartlett_window kaiser_window fft_fftfreq
    fft_rfftfreq _native_batch_norm_legit cholesky linalg_cholesky
    _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d
    _upsample_nearest_exact3d max_pool3d_with_indices lstm gru rnn_tanh rnn_relu lstm_cell gru_cell
    rnn_tanh_cell rnn_relu_cell _grouped_mm
    transformers.grouped_mm_fallback""".split()
).union(WHOLE)


class Operands(nn.Module):
    """The operands of every call: parameters, random by a fixed seed, and the given tensors."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for number, (_, operands) in enumerate(CALLS.values()):
            for position, operand in enumerate(operands):
                name = f"c{number}_{position}"
                if isinstance(operand, Tensor):
                    self.register_buffer(name, operand.clone())
                else:
                    setattr(self, name, nn.Parameter(torch.randn(operand, generator=generator)))

    def results(self) -> Iterator[list[Tensor]]:
        """The tensors that each call returns."""
        for number, (function, operands) in enumerate(CALLS.values()):
            given = [getattr(self, f"c{number}_{k}") for k in range(len(operands))]
            yield taint.outputs(function(*given))
