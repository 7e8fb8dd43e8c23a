"""The machine that measures: what it is called, and how torch is set up while it does."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.graph import Graph
from prunec.profile.store import Machine
from prunec.spec import Cpu, Cuda, Device

HEAP = 31 << 20
"""Bytes, just below the largest block for which glibc adapts when it maps and returns memory."""


def this(device: Device, graph: Graph) -> Machine:
    """This machine, as a profile names it.

    Raises:
        PruneError: P0624 if the device is not here.
    """
    match device:
        case Cpu():
            name, threads = _processor(), device.threads
        case Cuda():
            if not torch.cuda.is_available():
                raise PruneError(_no_device(device))
            name, threads = torch.cuda.get_device_name(), 1
    floats = [w.type.dtype for w in graph.weights if "float" in w.type.dtype]
    return Machine(
        kind="cpu" if isinstance(device, Cpu) else "cuda",
        name=name,
        threads=threads,
        batch=device.batch,
        torch=str(torch.__version__).partition("+")[0],
        dtype=floats[0] if floats else "float32",
        memory_format="contiguous",
    )


@contextmanager
def flushing() -> Iterator[None]:
    """Take denormal numbers for zero: weights that are random, or await their repair, may make
    some, which are many times slower.
    """
    before = bool((torch.full((1,), 1e-38) * 1e-2 == 0).all())
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@contextmanager
def ready(device: Device) -> Iterator[torch.device]:
    """Torch as the device asks for, while something is measured; the torch device to measure on.
    Denormal numbers are flushed meanwhile.

    One large block is allocated and freed first. From then on glibc keeps the memory of smaller
    ones, as in any process that has run for a while; before, a forward may spend most of its time
    on asking the system for pages, depending on what ran earlier.
    """
    before = torch.get_num_threads()
    block = torch.empty(HEAP, dtype=torch.uint8)
    del block
    try:
        if isinstance(device, Cpu):
            torch.set_num_threads(device.threads)
        with torch.inference_mode(), flushing():
            yield torch.device(device.name)
    finally:
        torch.set_num_threads(before)


def differences(found: Machine, wanted: Machine) -> tuple[Diagnostic, ...]:
    """Warnings about a profile that was made elsewhere.

    Raises:
        PruneError: P0622 if it answers another question: other threads, batch, kind or dtype.
    """
    asked = ("kind", "threads", "batch", "dtype", "memory_format")
    wrong = [k for k in asked if getattr(found, k) != getattr(wanted, k)]
    if wrong:
        raise PruneError(_another(found, wanted, wrong))
    other = [k for k in ("name", "torch") if getattr(found, k) != getattr(wanted, k)]
    return tuple(
        Diagnostic(
            "P0623",
            f"the device profile was measured with another {_WORDS[key]}: "
            f"{getattr(found, key)}, here {getattr(wanted, key)}",
            severity="warning",
            help="`prunec profile FILE --again` measures here",
        )
        for key in other
    )


_WORDS = {"name": "device", "torch": "torch"}


def _processor() -> str:
    """The processor's name and its vector instructions."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        name = next(named, name)
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def _another(found: Machine, wanted: Machine, wrong: list[str]) -> Diagnostic:
    what = ", ".join(f"{k} {getattr(found, k)}, asked {getattr(wanted, k)}" for k in wrong)
    return Diagnostic(
        "P0622",
        f"the device profile was measured for something else: {what}",
        help="a profile is for one device, number of threads, batch and dtype: run `prunec "
        "profile FILE --on ...` for this one",
    )


def _no_device(device: Device) -> Diagnostic:
    return Diagnostic(
        "P0624",
        f"there is no `{device.name}` device here",
        help="measure on a machine that has one, with the same torch, and bring the profile",
    )
