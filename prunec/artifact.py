"""The artefact: the files of a compile, made in memory, written all or nothing.

``slim.py`` is the source, ``slim.safetensors`` its weights, ``slim.lock.json`` what they were made
from; beside them what `emit ... with` asks for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from prunec import emit, lock, vocabulary
from prunec.emit import files
from prunec.formats import Slim
from prunec.ir.axis import Mask
from prunec.planning import Planned
from prunec.prepare import Job, Subject

SOURCE, WEIGHTS = "slim.py", "slim.safetensors"


def class_name(job: Job, subject: Subject) -> str:
    """The name after `emit`, or that of the model's class with ``Slim`` before it."""
    if job.spec.emit is not None:
        return job.spec.emit.name
    return f"Slim{re.sub(r'[^0-9A-Za-z_]', '', type(subject.module).__name__)}"


def header(job: Job, renumbered: Mapping[str, Mask]) -> str:
    """The comment on top of the source, which also says what is renumbered: no path but the spec's
    own name, so that it is the same everywhere.
    """
    name = Path(job.spec.source.name).name
    made = "a spec in memory" if name.startswith("<") else name
    return "\n".join([f"Made by prunec from {made}.", *vocabulary.comment(renumbered)])


def build(planned: Planned, slim: Slim, more: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files by name; ``more`` are those of other formats."""
    job, traced = planned.job, planned.model.traced
    made = {
        SOURCE: slim.source.encode(),
        WEIGHTS: files.weights_bytes(emit.stored(slim.graph, slim.weights)),
        **more,
    }
    ids = {name: vocabulary.ranges(found) for name, found in slim.renumbered.items()}
    profile = planned.devices.digest
    inputs = lock.inputs(job.spec.source.text, traced.graph, traced.weights, profile)
    return {**made, lock.NAME: lock.write(inputs, job.spec.as_dict(), planned.plan, made, ids)}


def write(job: Job, made: Mapping[str, bytes]) -> Path | None:
    """Write the files to the caller's folder, or to the one after `emit ... to`; the folder, if
    any.
    """
    out = folder(job)
    if out is not None:
        files.write(out, made)
    return out


def folder(job: Job) -> Path | None:
    """Where a compile writes; None where it writes nothing."""
    if job.out is not None:
        return job.out
    told = job.spec.emit and job.spec.emit.out
    return job.folder / told if told else None
