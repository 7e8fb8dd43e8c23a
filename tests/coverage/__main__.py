"""Measure the model zoos, one process a model, and write the table.

    python -m tests.coverage [NAME-GLOB ...] [--suite timm] [--jobs 1] [--timeout 300]
    python -m tests.coverage render [--out build/coverage]

Records lie in OUT/records, one JSON file each; a model that has one is passed over, unless --fresh.
The emitted files lie in OUT/sources, or in the folder after --sources.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.coverage import record, sources, table, zoo
from tests.coverage.record import Record
from tests.coverage.zoo.case import Case

ROOT = Path(__file__).parents[2]
GRACE = 30
"""Seconds that a process gets, beyond its time, to write its record."""


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; 1 where an output was wrong."""
    options = _options(given)
    folder: Path = options.out
    (folder / "records").mkdir(parents=True, exist_ok=True)
    if options.globs != ["render"]:
        cases = zoo.find(options.globs, options.suite or zoo.PUBLIC)
        if not cases:
            print("no model has such a name", file=sys.stderr)
            return 2
        for suite in zoo.missing(cases):
            print(f"{suite} is not installed, its models are left out: `pip install {suite}`")
        gone = {*zoo.missing(cases)}
        ready = [case for case in cases if case.suite not in gone]
        _run([c for c in ready if options.fresh or not _done(folder, c)], options)
    sources.check_types(folder, _sources(options))
    print(f"wrote {table.render(folder)}")
    return int(any(r.status == "wrong" for r in record.load(folder)))


def _options(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.coverage", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("globs", nargs="*", metavar="NAME-GLOB", help="or `render`: write only")
    parser.add_argument("--suite", action="append", choices=tuple(zoo.SUITES))
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--timeout", type=float, default=300, help="seconds a model")
    parser.add_argument("--memory", type=float, default=14, help="GiB a model")
    parser.add_argument("--out", type=Path, default=Path("build/coverage"))
    parser.add_argument("--sources", type=Path, help="where emitted files lie (OUT/sources)")
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    return parser.parse_args(given)


def _sources(options: argparse.Namespace) -> Path:
    folder: Path = options.sources or options.out / "sources"
    return folder.resolve()


def _done(folder: Path, case: Case) -> bool:
    file = record.path(folder, case.full)
    try:
        record.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _run(cases: Sequence[Case], options: argparse.Namespace) -> None:
    """Measure cases, a bar and a line each; the tables are written anew after every one."""
    revision = record.revision()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(width=None if sys.stdout.isatty() else 160)
    with (
        Progress(*columns, TimeElapsedColumn(), console=console) as progress,
        ThreadPoolExecutor(options.jobs) as pool,
    ):
        bar = progress.add_task("models", total=len(cases))
        told = (options.timeout, options.memory, _sources(options))
        work = [pool.submit(one, case, *told) for case in cases]
        try:
            for done in as_completed(work):
                found = replace(done.result(), revision=revision)
                _write(options.out, found)
                table.render(options.out)
                progress.advance(bar)
                progress.console.print(_line(found), highlight=False, markup=False)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise


def one(case: Case, timeout: float, memory: float = 14, folder: Path | None = None) -> Record:
    """Measure a model in a process of its own; a process that dies or hangs is a record too."""
    command = [sys.executable, "-m", "tests.coverage.one", case.full]
    command += ["--timeout", str(timeout), "--memory", str(memory)]
    command += ["--sources", str(folder)] if folder is not None else []
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        cwd=ROOT,
    )
    try:
        out, err = process.communicate(timeout=timeout + GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        reason = f"not done after {timeout:.0f} s, and did not stop"
        return Record(case.full, "timeout", "", reason, seconds={"": timeout + GRACE})
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    try:
        return record.parse(out.strip().rpartition("\n")[2])
    except ValueError:
        spent = {"": time.perf_counter() - start}
        return _dead(case, process.returncode, err, spent)


def _dead(case: Case, code: int, err: str, spent: dict[str, float]) -> Record:
    """The record of a process that printed none."""
    told = " ".join(err.strip().splitlines()[-3:])[-500:]
    if code == -signal.SIGKILL or "bad_alloc" in err:
        reason = f"killed, most likely for its memory (status {code}): {told}"
        return Record(case.full, "memory", "", reason, seconds=spent)
    return Record(case.full, "crash", "", f"the process ended with {code}: {told}", seconds=spent)


def _write(folder: Path, found: Record) -> None:
    """A record is whole or not there at all."""
    file = record.path(folder, found.name)
    part = file.with_suffix(".part")
    part.write_text(found.json() + "\n", encoding="utf-8")
    part.replace(file)


def _line(r: Record) -> str:
    why = r.reason if r.status not in {"equal", "above"} else (r.least[-1:] or [""])[0]
    first = why.split("\n")[0][:200]
    reach = "-" if r.reachable is None else f"{r.reachable:.0%}"
    return f"{r.name:45} {r.status:8} reach {reach:>4} {r.total:6.1f} s  {first}"


if __name__ == "__main__":
    sys.exit(main())
