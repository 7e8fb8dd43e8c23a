"""Latency: the time of a model as the sum of what its operators take, as a function of widths."""

from __future__ import annotations

from prunec.passes.latency.cost import Correction as Correction
from prunec.passes.latency.cost import Latency as Latency
from prunec.passes.latency.surface import Surface as Surface
from prunec.passes.latency.surface import fit as fit
from prunec.passes.latency.units import Unit as Unit
from prunec.passes.latency.units import Units as Units
from prunec.passes.latency.units import run as run
