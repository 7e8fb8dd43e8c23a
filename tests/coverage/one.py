"""Measure one model and print its record, one line of JSON.

python -m tests.coverage.one NAME [--timeout 300] [--memory 14] [--sources FOLDER]
"""

from __future__ import annotations

import argparse
import re
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from prunec import driver, prepare
from prunec.diagnostics import PruneError
from prunec.driver import Compiled
from prunec.prepare import Job, Memory
from tests.coverage import facts, sources, zoo
from tests.coverage.record import Record, Status
from tests.coverage.zoo.case import Built, Case

SPEC = """target {target}
prune channels {{
  score random(seed=0)
  keep >= 10%
}}
repair none
"""
ASKED = ("macs <= 60%", "params <= 60%")
"""Targets in order: parameters where frozen products of attention hold the MACs."""
WRONG = frozenset({"P0801", "P0804", "P0807", "P0811"})
"""Codes of a proof that found the output different from what it should be."""


class OutOfTime(BaseException):
    """The time is up. Not an `Exception`: torch.export turns those into its own."""


class Clock:
    """Seconds by stage; called with a stage's name when that begins."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.began = time.perf_counter()

    def __call__(self, stage: str) -> None:
        now, record = time.perf_counter(), self.record
        record.seconds[record.stage] = record.seconds.get(record.stage, 0) + now - self.began
        record.stage, self.began = stage, now


def main() -> None:
    """Print the record of the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="suite/model")
    parser.add_argument("--timeout", type=float, default=300, help="seconds")
    parser.add_argument("--memory", type=float, default=14, help="GiB of address space")
    parser.add_argument("--sources", type=Path, help="where the emitted file is left")
    options = parser.parse_args()
    found = zoo.find([options.name], ())
    if len(found) != 1:
        parser.error(f"there is no model `{options.name}`; names are `suite/model`")
    limit = int(options.memory * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    warnings.simplefilter("ignore")
    print(measure(found[0], options.timeout, options.sources).json(), flush=True)


def measure(case: Case, timeout: float = 300, folder: Path | None = None) -> Record:
    """Build, compile and prove a model; whatever goes wrong is in the record. The emitted file is
    left in the folder.
    """
    record = Record(case.full)
    clock = Clock(record)
    with facts.watching() as seen:
        try:
            with _limit(timeout):
                compiled = _run(case, record, clock, seen)
                if compiled is not None:
                    _source(record, compiled, clock, seen, folder)
        except OutOfTime:
            record.status = "timeout"
            record.reason = f"not done after {timeout:.0f} s, while {record.stage}"
        except PruneError as error:
            wrong = any(d.code in WRONG for d in error.diagnostics)
            record.status, record.reason = "wrong" if wrong else "refused", str(error)
        except ImportError as error:
            record.status, record.reason = _absent(case, error)
        except Exception as error:
            record.status, record.reason = _crash(error)
        clock(record.stage)
    return record


def _run(case: Case, record: Record, clock: Clock, seen: facts.Watch) -> Compiled | None:
    built = case.build()
    asked: str | None = None
    for target in ASKED:
        try:
            compiled = _compile(built, target, clock)
        except PruneError as error:
            _understood(record, seen)
            if error.diagnostics[0].code != "P0601":
                record.target = target
                raise
            record.least.append(str(error))
            asked = _milder(error, target)
        else:
            _filled(record, compiled, target, seen)
            record.status = "equal"
            return compiled
        finally:
            _understood(record, seen)
    if asked is None:
        record.status, record.reason = "refused", "\n\n".join(record.least)
        return None
    record.target = asked
    compiled = _compile(built, asked, clock)
    _filled(record, compiled, asked, seen)
    record.status, record.reason = "above", "\n\n".join(record.least)
    return compiled


def _source(
    record: Record, compiled: Compiled, clock: Clock, seen: facts.Watch, folder: Path | None
) -> None:
    """What the emitted file is like. A model that is proved stays so, whatever this comes to."""
    assert seen.understood is not None
    clock("reading the source")
    if folder is not None:
        sources.keep(folder, record.name, compiled.source)
    sources.fill(record, compiled.source)
    clock("emitting again")
    try:
        record.fixed = sources.is_fixed(compiled, seen.understood.subject)
    except OutOfTime:
        record.notes.append("the time was up before the file was emitted again")
    except Exception as error:
        record.fixed = False
        record.notes.append(f"the slim model cannot be emitted again: {_crash(error)[1]}")


def _compile(built: Built, target: str, clock: Clock) -> Compiled:
    part = f'model {{ part "{built.part}" }}\n' if built.part else ""
    spec, folder = prepare.read(part + SPEC.format(target=target), in_memory=True)
    given = Memory(built.module, built.args, built.kwargs)
    return driver.compile(Job(spec, folder, given, stage=clock))


def _understood(record: Record, seen: facts.Watch) -> None:
    """What the analysis says, once there is one."""
    model = seen.understood
    if model is None or record.nodes is not None:
        return
    graph = model.traced.graph
    record.frontend, record.nodes, record.groups = (
        graph.frontend,
        len(graph.nodes),
        len(model.groups),
    )
    record.known = 1 - len(model.axes.unknown) / max(len(graph.nodes), 1)
    record.refused = facts.refusals(model)
    record.notes = [str(note) for note in model.traced.notes]
    record.parameters, record.reachable, record.held = facts.reach(model)


def _filled(record: Record, compiled: Compiled, target: str, seen: facts.Watch) -> None:
    """What the compile says. It raises unless all of its checks hold."""
    _understood(record, seen)
    record.target = target
    record.modes = {} if seen.compared is None else facts.modes(seen.compared)
    costs = {c.metric: (c.dense, c.slim) for c in compiled.plan.costs if c.scope is None}
    record.macs, record.params = costs.get("macs"), costs.get("params")
    for check in compiled.report.checks:
        if "twin" in check.name:
            record.error = float(check.detail.rpartition(" ")[2])
        elif "without prunec" in check.name:
            record.clean_room = check.passed


def _milder(error: PruneError, target: str) -> str | None:
    """A target half way between the least that can be reached and the dense model, where that is
    any less.
    """
    text = str(error.diagnostics[0])
    least, dense = (re.search(rf"{word}:? ([\d._]+)([KMGT]?)", text) for word in ("least", "dense"))
    if least is None or dense is None:
        return None
    share = 100 * _number(least) / max(_number(dense), 1)
    asked = round((share + 100) / 2)
    return f"{target.split(maxsplit=1)[0]} <= {asked}%" if share < asked < 100 else None


def _number(match: re.Match[str]) -> float:
    scale = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    return float(match[1].replace("_", "")) * scale[match[2]]


def _absent(case: Case, error: ImportError) -> tuple[Status, str]:
    if case.suite in zoo.missing([case]):
        return "unavailable", f"{case.suite} is not installed: `pip install {case.suite}`"
    return _crash(error)


def _crash(error: Exception) -> tuple[Status, str]:
    """What was raised, and the innermost places that it passed through."""
    text = " ".join(str(error).split())[:800]
    if isinstance(error, MemoryError) or "allocate memory" in text:
        return "memory", text or "out of memory"
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    return "crash", f"{type(error).__name__}: {text} (at {places})"


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in the body after so many seconds, and again where that is swallowed."""

    def late(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main()
