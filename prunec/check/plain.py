"""Plain: operators that may be evaluated at full size, whatever is removed.

An element-wise operator computes each index on its own, and an operator of layout moves indices
about without reading across them: what a removed channel held ends where the original puts it, and
there the mask of the result must cover it.
"""

from __future__ import annotations

import torch

ELEMENTWISE = frozenset(
    """hardswish hardsigmoid log_sigmoid softsign where copy rrelu mish silu logit prelu dropout
    alpha_dropout feature_dropout feature_alpha_dropout clone contiguous to _to_copy type_as detach
    alias fill masked_fill glu outer complex view_as_real view_as_complex real imag""".split()
)
LAYOUT = frozenset(
    """view _unsafe_view reshape reshape_as view_as flatten unflatten unsqueeze squeeze permute
    transpose swapaxes swapdims t numpy_T mT movedim moveaxis expand expand_as broadcast_to repeat
    tile repeat_interleave stack cat concat slice narrow select split split_with_sizes chunk
    tensor_split unsafe_split unsafe_chunk unsafe_split_with_sizes unbind pad constant_pad_nd roll
    flip index index_select gather embedding slice_scatter select_scatter scatter index_put triu
    tril diagonal pixel_shuffle pixel_unshuffle channel_shuffle meshgrid""".split()
)
FILLED = frozenset(
    """zeros ones full empty new_zeros new_ones new_full new_empty zeros_like ones_like full_like
    empty_like arange linspace eye scalar_tensor tensor lift_fresh_copy tril_indices
    triu_indices""".split()
)
PLAIN = ELEMENTWISE | LAYOUT | FILLED


def is_plain(op: object, base: str) -> bool:
    """Whether the operator reads no index when it computes another."""
    tags = getattr(op, "tags", ())
    return base in PLAIN or torch.Tag.pointwise in tags
