# Written by prunec from case.prune.

from torch import nn


class ConvNorm(nn.Sequential):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(
            nn.Conv2d(
                in_channels, out_channels, 3, stride=stride, padding=1, bias=False
            ),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            ConvNorm(3, 6, stride=2),
            nn.Sequential(
                nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=False),
                nn.BatchNorm2d(6),
                nn.Hardswish(),
            ),
            nn.Sequential(nn.Conv2d(6, 4, 1, bias=False), nn.BatchNorm2d(4)),
            ConvNorm(4, 8),
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
