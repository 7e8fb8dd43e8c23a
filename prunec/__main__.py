"""``python -m prunec`` is ``prunec``."""

from __future__ import annotations

import sys

from prunec.cli import main

sys.exit(main())
