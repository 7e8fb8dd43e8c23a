# Written by prunec from case.prune.

import torch
from torch import nn


class LSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight_ih_l0 = nn.Parameter(torch.empty(24, 4))
        self.weight_hh_l0 = nn.Parameter(torch.empty(24, 6))
        self.bias_ih_l0 = nn.Parameter(torch.empty(24))
        self.bias_hh_l0 = nn.Parameter(torch.empty(24))
        self.weight_ih_l0_reverse = nn.Parameter(torch.empty(24, 4))
        self.weight_hh_l0_reverse = nn.Parameter(torch.empty(24, 6))
        self.bias_ih_l0_reverse = nn.Parameter(torch.empty(24))
        self.bias_hh_l0_reverse = nn.Parameter(torch.empty(24))

    def forward(self, x):
        y = torch.zeros(2, x.shape[0], 6, dtype=x.dtype, device=x.device)
        y1, y2, _ = torch.lstm(
            x,
            [y, y],
            [
                self.weight_ih_l0,
                self.weight_hh_l0,
                self.bias_ih_l0,
                self.bias_hh_l0,
                self.weight_ih_l0_reverse,
                self.weight_hh_l0_reverse,
                self.bias_ih_l0_reverse,
                self.bias_hh_l0_reverse,
            ],
            True,
            1,
            0.0,
            self.training,
            True,
            True,
        )
        return y1, y2


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = LSTM()
        self.fc = nn.Linear(12, 3)

    def forward(self, x):
        lstm1, lstm2 = self.lstm(x)
        return self.fc(lstm1[:, -1]), lstm2


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
