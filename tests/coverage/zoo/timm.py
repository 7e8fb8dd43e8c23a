"""timm 1.0: one small model of each architecture.

Models whose positions are fixed are built for small images where their constructor takes a size.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch

import tests.torchvision_ops  # noqa: F401  declares operators that torchvision looks for
from tests.coverage.zoo.case import BATCH, Built, Case

S64: Mapping[str, Any] = {"img_size": 64}
MODELS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "lcnet_050": (64, {}),
    "mobilenetv4_conv_small": (64, {}),
    "edgenext_xx_small": (64, {}),
    "convnextv2_atto": (64, {}),
    "hardcorenas_a": (64, {}),
    "ghostnetv2_100": (64, {}),
    "repvgg_a0": (64, {}),
    "rexnet_100": (64, {}),
    "fastvit_t8": (64, {}),
    "mobilevitv2_050": (64, {}),
    "pvt_v2_b0": (64, {}),
    "xcit_nano_12_p16_224": (64, {}),
    "eva02_tiny_patch14_224": (56, {"img_size": 56}),
    "pit_ti_224": (64, S64),
    "convit_tiny": (64, S64),
    "deit3_small_patch16_224": (64, S64),
    "mixer_s32_224": (64, S64),
    "visformer_tiny": (64, S64),
    "levit_128s": (224, {}),
    "crossvit_tiny_240": (240, {}),
    "poolformer_s12": (64, {}),
    "poolformerv2_s12": (64, {}),
    "efficientformer_l1": (224, {}),
    "efficientformerv2_s0": (64, S64),
    "coat_lite_tiny": (64, S64),
    "coat_tiny": (64, S64),
    "cait_xxs24_224": (64, S64),
    "gcvit_xxtiny": (64, S64),
    "maxvit_pico_rw_256": (64, S64),
    "coatnet_nano_rw_224": (64, S64),
    "mvitv2_tiny": (64, S64),
    "swinv2_tiny_window8_256": (64, S64),
    "swinv2_cr_tiny_224": (64, {"img_size": 64, "window_size": 2}),
    "focalnet_tiny_srf": (64, {}),
    "davit_tiny": (64, {}),
    "tnt_s_patch16_224": (64, S64),
    "twins_svt_small": (64, S64),
    "twins_pcpvt_small": (64, S64),
    "volo_d1_224": (64, S64),
    "beit_base_patch16_224": (64, {"img_size": 64, "depth": 4}),
    "sequencer2d_s": (64, {}),
    "convmixer_768_32": (64, {}),
    "efficientnetv2_rw_t": (64, {}),
    "mobilenetv4_hybrid_medium": (64, {}),
    "regnetz_b16": (64, {}),
    "regnetz_005": (64, {}),
    "selecsls42b": (64, {}),
    "skresnet18": (64, {}),
    "resnest14d": (64, {}),
    "resnetv2_50": (64, {}),
    "resnetv2_50x1_bit": (64, {}),
    "res2net50_26w_4s": (64, {}),
    "cspresnet50": (64, {}),
    "densenet121": (64, {}),
    "dla34": (64, {}),
    "dpn68": (64, {}),
    "hrnet_w18_small": (64, {}),
    "tresnet_m": (64, {}),
    "nfnet_l0": (64, {}),
    "xception41": (64, {}),
    "inception_v4": (96, {}),
    "nasnetalarge": (96, {}),
    "vgg11": (64, {}),
}
"""Name -> (pixels, arguments of the constructor)."""


def _build(name: str, size: int, options: Mapping[str, Any]) -> Built:
    import timm

    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, **options).eval()
    return Built(model, (torch.randn(BATCH, 3, size, size),))


CASES = tuple(
    Case("timm", name, functools.partial(_build, name, size, options))
    for name, (size, options) in MODELS.items()
)
