"""torch.nn layers with settings other than the default ones, in float64."""

import torch
from torch import nn


def example():
    net = nn.Sequential(
        nn.Conv2d(4, 6, (3, 1), padding=(1, 0), padding_mode="reflect", bias=False),
        nn.GroupNorm(3, 6, eps=1e-3),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(6, 8, 2, stride=2),
        nn.InstanceNorm2d(8, affine=True),
        nn.PReLU(8),
        nn.Identity(),
        nn.ReflectionPad2d(1),
        nn.AvgPool2d(3, 2, count_include_pad=False),
        nn.Upsample(scale_factor=2.0, mode="bilinear"),
        nn.Conv2d(8, 8, 3, padding="same", dilation=2, groups=4),
        nn.PixelShuffle(2),
        nn.Hardtanh(-2.0, 2.0),
        nn.AdaptiveAvgPool2d((2, 1)),
        nn.Flatten(),
        nn.Unflatten(1, (2, 2)),
        nn.RMSNorm(2),
        nn.Softmax(dim=-1),
    )
    return net.double(), (torch.randn(2, 4, 8, 8, dtype=torch.float64),), {}
