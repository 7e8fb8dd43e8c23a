"""The modules of a ResNet-56: path and class, the root first."""

from __future__ import annotations

from collections.abc import Iterator


def _modules() -> Iterator[tuple[str, str]]:
    yield "", "zoo.cifar.ResNet"
    yield "conv1", "torch.nn.modules.conv.Conv2d"
    yield "bn1", "torch.nn.modules.batchnorm.BatchNorm2d"
    for stage in (1, 2, 3):
        yield f"layer{stage}", "torch.nn.modules.container.Sequential"
        for block in range(9):
            path = f"layer{stage}.{block}"
            yield path, "zoo.cifar.BasicBlock"
            for n in (1, 2):
                yield f"{path}.conv{n}", "torch.nn.modules.conv.Conv2d"
                yield f"{path}.bn{n}", "torch.nn.modules.batchnorm.BatchNorm2d"
    yield "linear", "torch.nn.modules.linear.Linear"


MODULES = tuple(_modules())
