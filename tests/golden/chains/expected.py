# Written by prunec from case.prune.

from torch import nn


class ConvNorm(nn.Sequential):
    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        groups=1,
        activation=None,
    ):
        super().__init__(
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride=stride,
                padding=kernel_size // 2,
                groups=groups,
                bias=False,
            ),
            nn.BatchNorm2d(out_channels),
        )
        if activation is not None:
            self.append(activation())


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            ConvNorm(3, 6, 3, stride=2, activation=nn.ReLU),
            ConvNorm(6, 6, 5, groups=6, activation=nn.Hardswish),
            ConvNorm(6, 4, 1),
            ConvNorm(4, 8, 3, activation=nn.ReLU),
            ConvNorm(8, 8, 3, groups=8, activation=nn.Hardswish),
            ConvNorm(8, 4, 1),
            ConvNorm(4, 8, 5, stride=2, activation=nn.Hardswish),
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
        )

    def forward(self, x):
        return self.head(self.features(x))


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
