"""Forward functions: dead branches, nested outputs, optional inputs, in-place writes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.cases.case import Case, Conv, Imaged, image, sequence


class Dead(Imaged):
    """A branch whose result nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Conv(16, 24), Conv(24, 16)
        self.unused = Conv(24, 32)

    def body(self, x: Tensor) -> Tensor:
        x = self.first(x)
        self.unused(x)
        return self.second(x)


class InputTwice(nn.Module):
    """The input enters at the start, and again in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Conv(3, 16), nn.Conv2d(19, 32, 3)
        self.head = nn.Conv2d(32, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.second(torch.cat([x, self.first(x)], 1))))


class Outputs(nn.Module):
    """Two heads, their results in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Conv(3, 16), Conv(16, 32)
        self.head, self.box = nn.Conv2d(32, 5, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.second(self.first(x))
        return {"classes": self.head(x), "boxes": self.box(x)}


@dataclass
class Detection:
    """Classes and boxes."""

    classes: Tensor
    boxes: Tensor


torch.export.register_dataclass(Detection, serialized_type_name="tests.cases.Detection")


class Dataclass(Outputs):
    """Two heads, their results in a dataclass."""

    def forward(self, x: Tensor) -> Detection:  # type: ignore[override]
        return Detection(**super().forward(x))


class Keywords(nn.Module):
    """One input by position, one by keyword, one optional that is there and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.context = nn.Linear(12, 24), nn.Linear(10, 24)
        self.second, self.head = nn.Linear(24, 32), nn.Linear(32, 5)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        context: Tensor,
        scale: Tensor | None = None,
    ) -> Tensor:
        x = torch.relu(self.first(x) + self.context(context).mean(1, keepdim=True))
        if mask is not None:
            x = x * mask[..., None]
        if scale is not None:
            x = x * scale
        return self.head(torch.relu(self.second(x)))


class InPlace(Imaged):
    """relu_, add_, +=, and a write into a slice of the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.other, self.part = (nn.Conv2d(16, n, 3, padding=1) for n in (24, 24, 4))
        self.second = nn.Conv2d(24, 16, 3)

    def body(self, x: Tensor) -> Tensor:
        y = self.first(x).relu_()
        y.add_(self.other(x), alpha=0.5)
        y += self.other(x)
        y[:, :4] = self.part(x)
        return self.second(y.relu_())


class Views(Imaged):
    """A view of a view, written through."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 24, 3), nn.Conv2d(24, 16, 3)

    def body(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first(x))
        rows = y.flatten(2).transpose(1, 2)
        rows[:, :, 8:].mul_(2).sub_(0.25)
        return self.second(y)


PLAIN = (("first.weight", 0), ("second.weight", 1))
CONVS = (("first.conv.weight", 0), ("first.norm.weight", 0), ("second.conv.weight", 1))
PAIR = (("second.conv.weight", 0), ("head.weight", 1), ("box.weight", 1))

CASES = {
    "a dead branch": Case(Dead, image(), CONVS),
    "an input used twice": Case(
        InputTwice, image(), (("first.conv.weight", 0), ("second.weight", 1))
    ),
    "outputs in a dict": Case(Outputs, image(), PAIR),
    "outputs in a dataclass": Case(Dataclass, image(), PAIR),
    "optional and keyword arguments": Case(
        Keywords,
        sequence(),
        (("first.weight", 0), ("context.weight", 0), ("second.weight", 1)),
        kwargs={"context": sequence(10, 5)[0], "scale": torch.tensor(0.5)},
    ),
    "in-place operators": Case(InPlace, image(), (("first.weight", 0), ("other.weight", 0))),
    "a write into a slice of channels": Case(
        InPlace, image(), (("part.weight", 0), ("second.weight", 1))
    ),
    "views of views": Case(Views, image(), PLAIN),
}
