"""Names that are no identifiers, or mean something else, stay what they are and never become code."""

import torch
from torch import nn

EVIL = '"); import os; ("'


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module("class", nn.Linear(4, 4))
        self.add_module(EVIL, nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
        self.register_parameter("0", nn.Parameter(torch.randn(4)))
        self.register_buffer("a b\n", torch.randn(4))
        self.groups = nn.ModuleDict({"it's": nn.Linear(4, 2)})
        self.torch = nn.Linear(4, 4)

    def forward(self, self_, F):
        x = getattr(self, EVIL)(getattr(self, "class")(self_)) * getattr(self, "0")
        return {EVIL: self.groups["it's"](self.torch(x) + getattr(self, "a b\n")), "F": F}


def example():
    return Net(), (torch.randn(2, 4), torch.randn(2, 4)), {}
