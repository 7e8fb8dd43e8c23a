# Written by prunec from case.prune.

import torch
from torch import nn


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_parameter("0", nn.Parameter(torch.empty(4)))
        self.register_buffer("a b\n", torch.empty(4))
        self.add_module("class", nn.Linear(4, 4))
        self.add_module('"); import os; ("', nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
        self.groups = nn.ModuleDict({"it's": nn.Linear(4, 2)})
        self.torch = nn.Linear(4, 4)

    def forward(self, self_, F_):
        """Return a dict of the original's output fields."""
        x = getattr(self, "class")(self_)
        x = getattr(self, '"); import os; ("')(x) * getattr(self, "0")
        x = self.torch(x) + getattr(self, "a b\n")
        return {'"); import os; ("': self.groups["it's"](x), "F": F_}


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
