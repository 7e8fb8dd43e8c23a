"""What a compile has to tell: the report as data, as tables for people and as text for machines."""

from __future__ import annotations

from prunec.report.analysis import Analysis as Analysis
from prunec.report.data import Accuracy as Accuracy
from prunec.report.data import Check as Check
from prunec.report.data import Report as Report
