"""An LSTM keeps its weights' names."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 6, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(12, 3)

    def forward(self, x):
        out, (h, _) = self.lstm(x)
        return self.fc(out[:, -1]), h


def example():
    return Net(), (torch.randn(2, 5, 4),), {}
