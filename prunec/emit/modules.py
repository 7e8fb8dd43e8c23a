"""Modules: which torch.nn classes are one operator, and how it shows their settings."""

from __future__ import annotations

from collections.abc import Mapping

from prunec.emit import constructors
from prunec.emit.constructors import UPSAMPLE_MODES, Leaf, Setting


def _table() -> dict[str, Leaf]:
    weight, bias = ("weight", "weight"), ("bias", "bias")
    norm = frozenset({"eps", "normalized_shape", "cudnn_enable", "cudnn_enabled"})
    table: dict[str, Leaf] = {
        "Linear": Leaf(("linear",), constructors.linear, frozenset(), (weight, bias), "input"),
        "NonDynamicallyQuantizableLinear": Leaf(
            ("linear",), constructors.linear, frozenset(), (weight, bias), "input"
        ),
        "LayerNorm": Leaf(("layer_norm",), constructors.layer_norm, norm, (weight, bias), "input"),
        "RMSNorm": Leaf(("rms_norm",), constructors.rms_norm, norm, (weight,), "input"),
        "GroupNorm": Leaf(
            ("group_norm",), constructors.group_norm, norm | {"num_groups"}, (weight, bias), "input"
        ),
        "Embedding": Leaf(
            ("embedding",),
            constructors.embedding,
            frozenset({"padding_idx", "scale_grad_by_freq", "sparse"}),
            (weight,),
            "indices",
        ),
        "PReLU": Leaf(("prelu",), constructors.prelu, frozenset(), (weight,)),
        "ReLU": constructors.plain("ReLU", "relu"),
        "ReLU6": constructors.bounded("ReLU6", "hardtanh relu6", 0.0, 6.0),
        "Hardtanh": constructors.plain(
            "Hardtanh", "hardtanh", Setting("min_val", -1.0), Setting("max_val", 1.0)
        ),
        "GELU": constructors.plain("GELU", "gelu", Setting("approximate", "none")),
        "SiLU": constructors.plain("SiLU", "silu"),
        "Mish": constructors.plain("Mish", "mish"),
        "SELU": constructors.plain("SELU", "selu"),
        "Sigmoid": constructors.plain("Sigmoid", "sigmoid"),
        "LogSigmoid": constructors.plain("LogSigmoid", "log_sigmoid"),
        "Tanh": constructors.plain("Tanh", "tanh"),
        "Hardswish": constructors.plain("Hardswish", "hardswish"),
        "Hardsigmoid": constructors.plain("Hardsigmoid", "hardsigmoid"),
        "LeakyReLU": constructors.plain("LeakyReLU", "leaky_relu", Setting("negative_slope", 0.01)),
        "RReLU": constructors.plain(
            "RReLU", "rrelu", Setting("lower", 1 / 8), Setting("upper", 1 / 3)
        ),
        "ELU": constructors.plain("ELU", "elu", Setting("alpha", 1.0)),
        "CELU": constructors.plain("CELU", "celu", Setting("alpha", 1.0)),
        "Softplus": constructors.plain(
            "Softplus", "softplus", Setting("beta", 1.0), Setting("threshold", 20.0)
        ),
        "GLU": constructors.plain("GLU", "glu", Setting("dim", -1)),
        "Softmax": constructors.plain("Softmax", "softmax", Setting("dim", None)),
        "LogSoftmax": constructors.plain("LogSoftmax", "log_softmax", Setting("dim", None)),
        "Flatten": constructors.plain(
            "Flatten", "flatten", Setting("start_dim", 1), Setting("end_dim", -1)
        ),
        "Unflatten": constructors.plain(
            "Unflatten",
            "unflatten",
            Setting("dim"),
            Setting("unflattened_size", source="sizes", whole=True),
        ),
        "PixelShuffle": constructors.plain(
            "PixelShuffle", "pixel_shuffle", Setting("upscale_factor")
        ),
        "PixelUnshuffle": constructors.plain(
            "PixelUnshuffle", "pixel_unshuffle", Setting("downscale_factor")
        ),
        "ChannelShuffle": constructors.plain(
            "ChannelShuffle", "channel_shuffle", Setting("groups")
        ),
        "Upsample": Leaf(
            tuple(UPSAMPLE_MODES),
            constructors.upsample,
            frozenset({"output_size", "scale_factors", "align_corners"}),
            (),
            "input",
        ),
        "Dropout": constructors.dropout("Dropout", "dropout"),
        "AlphaDropout": constructors.dropout("AlphaDropout", "alpha_dropout"),
        "FeatureAlphaDropout": constructors.dropout("FeatureAlphaDropout", "feature_alpha_dropout"),
        "Unfold": constructors.plain(
            "Unfold",
            "im2col",
            Setting("kernel_size"),
            Setting("dilation", 1),
            Setting("padding", 0),
            Setting("stride", 1),
        ),
        "Fold": constructors.plain(
            "Fold",
            "col2im",
            Setting("output_size"),
            Setting("kernel_size"),
            Setting("dilation", 1),
            Setting("padding", 0),
            Setting("stride", 1),
        ),
    }
    padding, ceil = Setting("padding", 0), Setting("ceil_mode", False)
    counted = Setting("count_include_pad", True)
    for n in (1, 2, 3):
        table[f"Conv{n}d"] = constructors.conv(f"Conv{n}d", f"conv{n}d")
        table[f"ConvTranspose{n}d"] = constructors.conv_transpose(
            f"ConvTranspose{n}d", f"conv_transpose{n}d"
        )
        table[f"BatchNorm{n}d"] = constructors.stats_norm(
            f"BatchNorm{n}d", "batch_norm", True, True
        )
        table[f"InstanceNorm{n}d"] = constructors.stats_norm(
            f"InstanceNorm{n}d", "instance_norm", False, False
        )
        table[f"Dropout{n}d"] = constructors.dropout(f"Dropout{n}d", "feature_dropout")
        table[f"MaxPool{n}d"] = constructors.pool(
            f"MaxPool{n}d", f"max_pool{n}d", padding, Setting("dilation", 1), ceil
        )
        divisor = () if n == 1 else (Setting("divisor_override", None),)
        table[f"AvgPool{n}d"] = constructors.pool(
            f"AvgPool{n}d", f"avg_pool{n}d", padding, ceil, counted, *divisor
        )
        table[f"AdaptiveAvgPool{n}d"] = constructors.plain(
            f"AdaptiveAvgPool{n}d", f"adaptive_avg_pool{n}d", Setting("output_size")
        )
        table[f"ZeroPad{n}d"] = constructors.pad(f"ZeroPad{n}d", "constant")
        table[f"ConstantPad{n}d"] = constructors.pad(f"ConstantPad{n}d", "constant")
        table[f"ReflectionPad{n}d"] = constructors.pad(f"ReflectionPad{n}d", "reflect")
        table[f"ReplicationPad{n}d"] = constructors.pad(f"ReplicationPad{n}d", "replicate")
        table[f"CircularPad{n}d"] = constructors.pad(f"CircularPad{n}d", "circular")
    table["SyncBatchNorm"] = constructors.stats_norm("SyncBatchNorm", "batch_norm", True, True)
    return table


LEAVES: Mapping[str, Leaf] = _table()
"""torch.nn classes that are one operator each, by class name."""


def find(cls: str) -> Leaf | None:
    """The entry of a qualified class name, if it is one of torch's own."""
    return LEAVES.get(cls.rsplit(".", 1)[-1]) if cls.startswith("torch.nn.modules.") else None
