"""Constructor settings read back from torch.nn modules build the same module again."""

from __future__ import annotations

import pytest
from torch import nn

from prunec.trace import modules

MODULES = [
    nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2, bias=False),
    nn.Conv2d(4, 6, (3, 5), padding="same", padding_mode="reflect"),
    nn.Conv3d(2, 2, 3, dilation=2),
    nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, bias=False),
    nn.Linear(3, 4, bias=False),
    nn.Bilinear(2, 3, 4),
    nn.BatchNorm2d(4, eps=1e-3, momentum=None, affine=False),
    nn.BatchNorm1d(4, track_running_stats=False),
    nn.InstanceNorm2d(4, affine=True),
    nn.GroupNorm(2, 4, affine=False),
    nn.LayerNorm([4, 5], eps=1e-6, bias=False),
    nn.RMSNorm(4, eps=1e-5),
    nn.Embedding(10, 4, padding_idx=1, max_norm=2.0),
    nn.EmbeddingBag(10, 4, mode="sum", include_last_offset=True),
    nn.Dropout(0.3, inplace=True),
    nn.Dropout2d(0.2),
    nn.ReLU(inplace=True),
    nn.GELU(approximate="tanh"),
    nn.LeakyReLU(0.2),
    nn.Hardtanh(-2.0, 3.0),
    nn.PReLU(4, init=0.1),
    nn.Softmax(dim=-1),
    nn.Threshold(0.1, 20.0),
    nn.GLU(1),
    nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
    nn.AvgPool2d(3, count_include_pad=False, divisor_override=2),
    nn.AdaptiveAvgPool2d((1, None)),
    nn.AdaptiveMaxPool1d(3),
    nn.LPPool2d(2.0, 3),
    nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
    nn.PixelShuffle(2),
    nn.ChannelShuffle(2),
    nn.Flatten(2),
    nn.Unflatten(1, (2, 3)),
    nn.Fold((4, 4), 2),
    nn.Unfold(3, padding=1),
    nn.ConstantPad2d(1, 0.5),
    nn.ReflectionPad2d((1, 2, 3, 4)),
    nn.ZeroPad2d(2),
    nn.LocalResponseNorm(4, alpha=1e-3),
    nn.CosineSimilarity(dim=2),
    nn.Identity(),
    nn.LSTM(4, 6, num_layers=2, batch_first=True, bidirectional=True, bias=False),
    nn.GRU(4, 6, dropout=0.1, num_layers=2),
    nn.RNN(4, 6, nonlinearity="relu"),
    nn.LSTMCell(4, 6, bias=False),
    nn.MultiheadAttention(8, 2, dropout=0.1, bias=False, batch_first=True, kdim=4, vdim=6),
    nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True, norm_first=True),
    nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, bias=False),
]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: type(m).__name__)
def test_settings_rebuild_the_module(module):
    again = type(module)(**dict(modules.config(module)))
    assert repr(again) == repr(module)
    shapes = [(k, t.shape) for k, t in module.state_dict().items()]
    assert [(k, t.shape) for k, t in again.state_dict().items()] == shapes


def test_containers_and_other_classes_have_no_settings():
    class Mine(nn.Linear):
        pass

    assert modules.config(nn.Sequential(nn.ReLU())) == ()
    assert modules.config(Mine(2, 3)) == ()
