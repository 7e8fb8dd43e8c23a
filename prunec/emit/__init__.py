"""Emit: from a graph to standalone Python source, and from source to a module.

`run` writes the source, `stored` says which weights belong in the file beside it, `load` builds the
module that the source describes, and `files` writes everything to disk, all or nothing.
"""

from __future__ import annotations

from prunec.emit.load import run as load
from prunec.emit.source import run as run
from prunec.emit.source import stored as stored

__all__ = ["load", "run", "stored"]
