# Written by prunec from case.prune.

import torch
from torch import nn


class Slim(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(
                4,
                6,
                (3, 1),
                padding=(1, 0),
                bias=False,
                padding_mode="reflect",
                dtype=torch.float64,
            ),
            nn.GroupNorm(3, 6, eps=0.001, dtype=torch.float64),
            nn.LeakyReLU(negative_slope=0.2),
            nn.ConvTranspose2d(6, 8, 2, stride=2, dtype=torch.float64),
            nn.InstanceNorm2d(8, affine=True, dtype=torch.float64),
            nn.PReLU(num_parameters=8, dtype=torch.float64),
            nn.Identity(),
            nn.ReflectionPad2d(1),
            nn.AvgPool2d(3, stride=2, count_include_pad=False),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(
                8, 8, 3, padding="same", dilation=2, groups=4, dtype=torch.float64
            ),
            nn.PixelShuffle(2),
            nn.Hardtanh(min_val=-2.0, max_val=2.0),
            nn.AdaptiveAvgPool2d((2, 1)),
            nn.Flatten(),
            nn.Unflatten(1, (2, 2)),
            nn.RMSNorm(2, dtype=torch.float64),
            nn.Softmax(dim=-1),
        )


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
