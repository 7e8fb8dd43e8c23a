# Written by prunec from case.prune.

from torch import nn


class Shuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 3, padding=1, groups=6)

    def forward(self, x):
        x = self.conv(x).unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
        x = x.view(x.shape[0], 6, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1)
        x = x.reshape(-1, 16, 6).softmax(-1).view(x.shape[0], 2, 2, 4, 4, 6)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(x.shape[0], 6, 8, 8)


class Shuffle2(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, groups=8)

    def forward(self, x):
        x = self.conv(x).unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
        x = x.view(x.shape[0], 8, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1)
        x = x.reshape(-1, 16, 8).softmax(-1).view(x.shape[0], 2, 2, 4, 4, 8)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(x.shape[0], 8, 8, 8)


class Slim(nn.Sequential):
    def __init__(self):
        super().__init__(Shuffle(), nn.Conv2d(6, 8, 1), Shuffle2())


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
