# Written by prunec from case.prune.

import torch
import torch.nn.functional as F
from torch import nn


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 1)

    def forward(self, x):
        x1, x2 = F.pad(self.conv(x)[:, :, ::2, 1:], (0, 1, 0, 0), value=0.5).chunk(2, 1)
        x = torch.cat([x1.flip(1), x2.roll(1, 1), x1[:, :2]], 1)
        return (x[:, 0, None] - x[..., -1:].mean()) * x.amax((2, 3), keepdim=True)


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
