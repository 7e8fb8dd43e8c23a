"""torchvision 0.28: classifiers, segmentation and video models, and the backbones of detectors.

Left out: quantised models, and those whose weights exceed 1 GB in float32 (regnet_y_128gf,
vit_h_14, vit_l_16, vit_l_32).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import nn

import tests.torchvision_ops  # noqa: F401  declares operators that torchvision looks for
from tests.coverage.zoo.case import BATCH, Built, Case

IMAGES = """
squeezenet1_1 squeezenet1_0 mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3 shufflenet_v2_x0_5
shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0 mobilenet_v3_small mobilenet_v3_large
mobilenet_v2 resnet18 resnet34 resnet50 regnet_x_400mf regnet_y_400mf regnet_x_800mf regnet_y_800mf
googlenet densenet121 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3
regnet_x_1_6gf regnet_y_1_6gf regnet_x_3_2gf regnet_y_3_2gf resnext50_32x4d resnet101
densenet169 densenet201 densenet161 inception_v3 swin_t swin_v2_t convnext_tiny swin_s swin_v2_s
convnext_small efficientnet_b4 efficientnet_v2_s
""".split()
LARGE = """
resnet152 regnet_x_8gf regnet_y_8gf alexnet
wide_resnet50_2 efficientnet_b5 efficientnet_b6 efficientnet_v2_m vit_b_32 vit_b_16 swin_b
swin_v2_b resnext101_32x8d resnext101_64x4d convnext_base efficientnet_b7 maxvit_t
efficientnet_v2_l vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn regnet_x_16gf
regnet_y_16gf wide_resnet101_2 regnet_x_32gf regnet_y_32gf convnext_large
""".split()
SIZES = {"inception_v3": 96, "alexnet": 64, "maxvit_t": 224}
"""Pixels where 64 are not enough: seven windows must fit everywhere in a maxvit."""
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "inception_v3": {"init_weights": False},
    "googlenet": {"init_weights": False},
    "vit_b_16": {"image_size": 64},
    "vit_b_32": {"image_size": 64},
}
SEGMENTATION = """
lraspp_mobilenet_v3_large deeplabv3_mobilenet_v3_large fcn_resnet50 deeplabv3_resnet50
fcn_resnet101 deeplabv3_resnet101
""".split()
VIDEO = {
    "r3d_18": (4, 32),
    "mc3_18": (4, 32),
    "r2plus1d_18": (4, 32),
    "s3d": (16, 224),
    "mvit_v1_b": (4, 64),
    "mvit_v2_s": (4, 64),
    "swin3d_t": (4, 64),
    "swin3d_s": (4, 64),
    "swin3d_b": (4, 64),
}
"""Frames and pixels; s3d ends in a pool of 2 x 7 x 7."""
DETECTORS = """
fasterrcnn_mobilenet_v3_large_fpn ssdlite320_mobilenet_v3_large fasterrcnn_resnet50_fpn
maskrcnn_resnet50_fpn keypointrcnn_resnet50_fpn retinanet_resnet50_fpn fcos_resnet50_fpn
ssd300_vgg16
""".split()
SMALL = {"min_size": 64, "max_size": 64}
"""What the two-stage detectors scale their images to."""
BACKBONE_SIZES = {"ssd300_vgg16": 300, "ssdlite320_mobilenet_v3_large": 320}


def _image(name: str) -> Built:
    size = SIZES.get(name, 64)
    return Built(_model(name, **OPTIONS.get(name, {})), (torch.randn(BATCH, 3, size, size),))


def _segmentation(name: str) -> Built:
    model = _model(name, weights_backbone=None)
    return Built(model, (torch.randn(BATCH, 3, 64, 64),))


def _video(name: str, frames: int, size: int) -> Built:
    with _mvit_of(frames, size):
        model = _model(name)
    return Built(model, (torch.randn(BATCH, 3, frames, size, size),))


def _backbone(name: str) -> Built:
    """The backbone of a detector, as the detector calls it; its heads depend on data."""
    size = BACKBONE_SIZES.get(name, 64)
    model = _model(name, weights_backbone=None, **({} if "ssd" in name else SMALL))
    return Built(model, ([*torch.rand(BATCH, 3, size, size)],), part="backbone")


def _model(name: str, **options: Any) -> nn.Module:
    from torchvision import models

    torch.manual_seed(0)
    model: nn.Module = models.get_model(name, weights=None, **options)
    return model.eval()


@contextmanager
def _mvit_of(frames: int, size: int) -> Iterator[None]:
    """Build a mvit for smaller clips: its functions fix 16 frames of 224 pixels."""
    from torchvision.models.video import mvit

    def smaller(**given: Any) -> nn.Module:
        sizes = {"spatial_size": (size, size), "temporal_size": frames}
        model: nn.Module = build(**{**given, **sizes})
        return model

    build = mvit._mvit
    with mock.patch.object(mvit, "_mvit", smaller):
        yield


def _case(name: str, build: Any, *options: Any) -> Case:
    return Case("torchvision", name, functools.partial(build, name, *options))


def _detector(name: str) -> Case:
    return Case("torchvision", f"{name}.backbone", functools.partial(_backbone, name))


CASES = (
    *(_case(name, _image) for name in IMAGES),
    *(_case(name, _segmentation) for name in SEGMENTATION),
    *(_detector(name) for name in DETECTORS),
    *(_case(name, _video, *sizes) for name, sizes in VIDEO.items()),
    *(_case(name, _image) for name in LARGE),
)
