# Written by prunec from case.prune.

from torch import nn


class Shuffle(nn.Module):
    def __init__(self, channels, size):
        super().__init__()
        self.size = size
        self.channels = channels
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x):
        x = self.conv(x).reshape(-1, 2, self.size, 2, 4, 2, 4)
        x = x.permute(0, 3, 5, 4, 6, 2, 1).reshape(-1, 16, self.channels)
        x = x.softmax(-1).reshape(-1, 2, 2, 4, 4, self.channels)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, self.channels, 8, 8)


class Slim(nn.Sequential):
    def __init__(self):
        super().__init__(Shuffle(6, 3), nn.Conv2d(6, 8, 1), Shuffle(8, 4))


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
