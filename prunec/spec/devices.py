"""Devices outside of a file: ``--on "cpu(threads=1)"``, and those that a spec's targets name."""

from __future__ import annotations

from prunec.diagnostics import Source
from prunec.spec.methods import Cpu, Device
from prunec.spec.resolve import load
from prunec.spec.schema import Spec


def device(text: str) -> Device:
    """The device that a text names.

    Raises:
        PruneError: the faults of the text, in a target that has it.
    """
    found = load(Source("--on", f"target latency <= 100% on {text}"), in_memory=True)
    named = found.targets[0].device
    assert named is not None, "a target of latency without a device is refused"
    return named


def devices(spec: Spec) -> tuple[Device, ...]:
    """The devices of a spec's targets, each once; one thread of the CPU where there is none."""
    named = tuple(dict.fromkeys(t.device for t in spec.targets if t.device is not None))
    return named or (Cpu(),)
