"""Device profiles: `run` measures what a model still lacks, `timed` says what it takes at other
widths, `measure` what it really takes.
"""

from __future__ import annotations

from prunec.profile.build import Meter as Meter
from prunec.profile.build import key as key
from prunec.profile.build import run as run
from prunec.profile.clock import Sample as Sample
from prunec.profile.clock import measure as measure
from prunec.profile.inputs import Example as Example
from prunec.profile.inputs import example as example
from prunec.profile.machine import differences as differences
from prunec.profile.machine import this as this
from prunec.profile.predict import timed as timed
from prunec.profile.store import Profile as Profile
from prunec.profile.store import default_path as default_path
from prunec.profile.store import read as read
