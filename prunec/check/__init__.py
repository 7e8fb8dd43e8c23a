"""Check: the proof beside the output, by a path that shares no code with the compiler.

- `twin`: the original with the removed channels masked equals the slim module, in float64.
- `fidelity`: the traced graph equals the original module, in float64.
- `state`: the slim module has the original's state-dict keys and the predicted shapes.
- `clean_room`: the emitted file runs in a process that has torch and no prunec.
- `artifact`: a folder holds what its lock says.
- `taint`: which slices of an operator's output depend on which slices of its inputs.

Nothing here imports ``prunec.passes`` or ``prunec.emit``.
"""

from __future__ import annotations

from prunec.check.removed import Removed as Removed
