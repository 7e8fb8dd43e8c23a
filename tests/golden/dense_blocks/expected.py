# Written by prunec from case.prune.

import torch
from torch import nn


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.linear = nn.Linear(features, 2)

    def forward(self, features):
        return self.linear(self.norm(torch.cat(features, -1)))


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(21, 20)
        self.fc2 = nn.Linear(20, 19)
        self.fc3 = nn.Linear(19, 18)
        self.fc4 = nn.Linear(18, 17)

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return torch.tanh(x)


class Block(nn.ModuleDict):
    def forward(self, x):
        features = [x]
        for layer in self.children():
            features.append(layer(features))
        return torch.cat(features, -1)


class Slim(nn.Sequential):
    def __init__(self):
        super().__init__(
            Block(
                {
                    "layer0": Layer(3),
                    "layer1": Layer(5),
                    "layer2": Layer(7),
                    "layer3": Layer(9),
                }
            ),
            Block(
                {
                    "layer0": Layer(11),
                    "layer1": Layer(13),
                    "layer2": Layer(15),
                    "layer3": Layer(17),
                    "layer4": Layer(19),
                }
            ),
            Head(),
        )


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
