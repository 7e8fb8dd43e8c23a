"""Images: channels that are moved, cut, joined, padded, normed and gated."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.cases.case import Case, Conv, Imaged, image


class ChannelShuffle(Imaged):
    """ShuffleNet: two grouped convolutions, and a shuffle by view and transpose between them."""

    def __init__(self, width: int) -> None:
        super().__init__(32)
        self.first = nn.Conv2d(16, width, 1, groups=4)
        self.second = nn.Conv2d(width, 32, 3, padding=1, groups=4)

    def body(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        n, c, h, w = x.shape
        x = x.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w)
        return torch.relu(self.second(x))


class Roll(Imaged):
    """Channels rolled by five."""

    def __init__(self) -> None:
        super().__init__(32)
        self.first, self.second = nn.Conv2d(16, 24, 3), nn.Conv2d(24, 32, 3)

    def body(self, x: Tensor) -> Tensor:
        return self.second(torch.roll(torch.relu(self.first(x)), 5, 1))


class Flip(Imaged):
    """Channels in reverse order."""

    def __init__(self) -> None:
        super().__init__(32)
        self.first, self.second = nn.Conv2d(16, 24, 3), nn.Conv2d(24, 32, 3)

    def body(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)).flip(1))


class PixelShuffle(Imaged):
    """Sub-pixel upsampling: four channels become one."""

    def __init__(self) -> None:
        super().__init__(16)
        self.up = nn.Conv2d(16, 64, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        self.out = nn.Conv2d(16, 16, 3, padding=1)

    def body(self, x: Tensor) -> Tensor:
        return torch.relu(self.out(self.shuffle(torch.relu(self.up(torch.relu(x))))))


class C2f(Imaged):
    """YOLOv8: chunk, a residual bottleneck on the last part, and all parts joined."""

    def __init__(self) -> None:
        super().__init__(16)
        self.split = Conv(16, 32)
        self.first, self.second = Conv(16, 16), Conv(16, 16)
        self.join = Conv(48, 16)

    def body(self, x: Tensor) -> Tensor:
        parts = list(self.split(x).chunk(2, 1))
        parts.append(parts[-1] + self.second(self.first(parts[-1])))
        return self.join(torch.cat(parts, 1))


class DenseBlock(Imaged):
    """DenseNet: every layer reads what all before it made; pre-activation norms."""

    def __init__(self) -> None:
        super().__init__(40)
        widths = (16, 24, 32)
        self.norms = nn.ModuleList(nn.BatchNorm2d(w) for w in widths)
        self.convs = nn.ModuleList(nn.Conv2d(w, 8, 3, padding=1, bias=False) for w in widths)

    def body(self, x: Tensor) -> Tensor:
        found = [x]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            found.append(conv(torch.relu(norm(torch.cat(found, 1)))))
        return torch.cat(found, 1)


class OptionA(Imaged):
    """He et al. 2015, option A: a strided shortcut, padded with zero channels on both sides."""

    def __init__(self) -> None:
        super().__init__(32)
        self.first = nn.Conv2d(16, 32, 3, 2, 1)
        self.second = nn.Conv2d(32, 32, 3, padding=1)

    def body(self, x: Tensor) -> Tensor:
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8))
        return torch.relu(self.second(torch.relu(self.first(x))) + shortcut)


class Decoder(nn.Module):
    """A GAN's generator: a linear layer whose output is seen as channels of 4 x 4 images."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 256)
        self.up = nn.ConvTranspose2d(16, 24, 4, 2, 1)
        self.head = nn.Conv2d(24, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.up(torch.relu(self.first(x)).view(-1, 16, 4, 4))))


class OneChannel(Imaged):
    """A gate with one channel, broadcast over all others (spatial attention)."""

    def __init__(self) -> None:
        super().__init__(16)
        self.gate = nn.Conv2d(16, 1, 3, padding=1)
        self.out = nn.Conv2d(16, 16, 3)

    def body(self, x: Tensor) -> Tensor:
        return self.out(x * torch.sigmoid(self.gate(x)))


class Multiplier(Imaged):
    """A depthwise convolution that makes two channels of each."""

    def __init__(self) -> None:
        super().__init__(24)
        self.depthwise = nn.Conv2d(16, 32, 3, groups=16)
        self.out = nn.Conv2d(32, 24, 1)

    def body(self, x: Tensor) -> Tensor:
        return torch.relu(self.out(torch.relu(self.depthwise(x))))


class GroupNorm(Imaged):
    """A group norm between two convolutions."""

    def __init__(self) -> None:
        super().__init__(16)
        self.first, self.norm = nn.Conv2d(16, 32, 3), nn.GroupNorm(4, 32)
        self.second = nn.Conv2d(32, 16, 3)

    def body(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.norm(self.first(x))))


class SqueezeExcite(Imaged):
    """Squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__(16)
        self.conv = nn.Conv2d(16, 32, 3)
        self.squeeze, self.excite = nn.Conv2d(32, 8, 1), nn.Conv2d(8, 32, 1)
        self.out = nn.Conv2d(32, 16, 1)

    def body(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x))
        gate = self.excite(torch.relu(self.squeeze(x.mean((2, 3), keepdim=True))))
        return self.out(x * torch.sigmoid(gate))


class PlainBatchNorm(Imaged):
    """A batch norm without affine parameters."""

    def __init__(self) -> None:
        super().__init__(16)
        self.first, self.norm = nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32, affine=False)
        self.second = nn.Conv2d(32, 16, 3)

    def body(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.norm(self.first(x))))


class ChannelsFirstNorm(Imaged):
    """ConvNeXt: convolutions without bias, and a layer norm over channels, written out."""

    def __init__(self) -> None:
        super().__init__(16)
        self.first = nn.Conv2d(16, 32, 3, bias=False)
        self.weight, self.bias = nn.Parameter(torch.ones(32)), nn.Parameter(torch.zeros(32))
        self.second = nn.Conv2d(32, 16, 3, bias=False)

    def body(self, x: Tensor) -> Tensor:
        x = self.first(x)
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + 1e-6)
        return self.second(torch.relu(self.weight[:, None, None] * x + self.bias[:, None, None]))


class PermutedNorm(Imaged):
    """nn.LayerNorm over the channels of an image, by permute."""

    def __init__(self) -> None:
        super().__init__(16)
        self.first, self.norm = nn.Conv2d(16, 32, 3, bias=False), nn.LayerNorm(32)
        self.second = nn.Conv2d(32, 16, 3, bias=False)

    def body(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.second(torch.relu(x))


SHUFFLED = (("first.weight", 0), ("first.bias", 0), ("second.weight", 1))
PLAIN = (("first.weight", 0), ("second.weight", 1))
NORMED = (*PLAIN, ("norm.weight", 0), ("norm.bias", 0))

CASES = {
    "channel shuffle by view and transpose": Case(lambda: ChannelShuffle(32), image(), SHUFFLED),
    "channel shuffle, its groups do not nest": Case(
        lambda: ChannelShuffle(24),
        image(),
        (("second.weight", 0), ("head.weight", 1)),
        frozen={("first.weight", 0): "boundaries do not fit"},
    ),
    "roll over channels": Case(Roll, image(), PLAIN),
    "flip over channels": Case(
        Flip,
        image(),
        (("second.weight", 0), ("head.weight", 1)),
        frozen={("first.weight", 0): "flip", ("second.weight", 1): "flip"},
    ),
    "pixel shuffle": Case(PixelShuffle, image(), (("up.weight", 0), ("out.weight", 1))),
    "C2f: chunk, bottleneck, cat": Case(
        C2f,
        image(),
        (("split.conv.weight", 0), ("second.conv.weight", 0), ("join.conv.weight", 1)),
    ),
    "dense block": Case(
        DenseBlock,
        image(),
        (("stem.weight", 0), ("convs.0.weight", 1), ("norms.2.weight", 0), ("head.weight", 1)),
    ),
    "option A padding": Case(
        OptionA, image(), (("stem.weight", 0), ("second.weight", 0), ("head.weight", 1))
    ),
    "linear seen as channels": Case(
        Decoder, image(2, 12), (("first.weight", 0), ("first.bias", 0), ("up.weight", 0))
    ),
    "convolution with one output channel": Case(
        OneChannel, image(), (("stem.weight", 0), ("gate.weight", 1), ("out.weight", 1))
    ),
    "depthwise with multiplier 2": Case(
        Multiplier, image(), (("stem.weight", 0), ("depthwise.weight", 0), ("out.weight", 1))
    ),
    "group norm between convolutions": Case(GroupNorm, image(), NORMED),
    "squeeze and excitation": Case(
        SqueezeExcite,
        image(),
        (("conv.weight", 0), ("squeeze.weight", 1), ("excite.weight", 0), ("out.weight", 1)),
    ),
    "batch norm without affine": Case(
        PlainBatchNorm, image(), (*PLAIN, ("norm.running_mean", 0), ("norm.running_var", 0))
    ),
    "layer norm written out, channels first": Case(
        ChannelsFirstNorm, image(), (*PLAIN, ("weight", 0), ("bias", 0))
    ),
    "layer norm by permute": Case(PermutedNorm, image(), NORMED),
}
