# Written by prunec from case.prune.

from torch import nn


class Shuffle(nn.Module):
    def __init__(self, channels, size):
        super().__init__()
        self.size = size
        self.channels = channels
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x):
        x = self.conv(x).unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
        x = x.reshape(-1, self.size, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1)
        x = x.reshape(-1, 16, self.channels).softmax(-1)
        x = x.reshape(-1, 2, 2, 4, 4, self.channels).permute(0, 5, 1, 3, 2, 4)
        return x.reshape(-1, self.size, 8, 8)


class Slim(nn.Sequential):
    def __init__(self):
        super().__init__(Shuffle(6, 6), nn.Conv2d(6, 8, 1), Shuffle(8, 8))


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
