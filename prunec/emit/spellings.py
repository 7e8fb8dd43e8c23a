"""Spellings: the public names of operators, as tables."""

from __future__ import annotations

from collections.abc import Mapping

from prunec.emit import expr
from prunec.emit.expr import COMPARE, PRODUCT, SUM
from prunec.ir.graph import Argument

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
    "rrelu": ("F.rrelu", "self lower= upper= training="),
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
"""Public function and arguments: ``python_name:schema_name=``, those with ``=`` by keyword."""

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
"""Flags that are off in eval mode, when models are traced; they follow the module's mode."""

HEAVY = frozenset(
    {"scaled_dot_product_attention", "cat", "stack", "einsum", "where", "lstm", "gru"}
)
LIGHT = frozenset({"slice", "select", "unsqueeze", "neg", "bitwise_not", *OPERATORS})

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
