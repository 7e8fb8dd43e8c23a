"""The tables: coverage.md and coverage.json, and the misses by their causes."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from tests.coverage import sources
from tests.coverage.record import Record, load

HEAD = (
    "model",
    "trace",
    "axes known",
    "reachable",
    "MACs",
    "params",
    "equal (error)",
    "alone",
    "source",
    "clean",
    "seconds",
    "reason",
)
TOTALS = (
    "suite",
    "models",
    "compiled and equal",
    "equal, milder target",
    "wrong",
    "other",
    "median axes known",
    "median reachable",
)
STAGES = ("tracing", "solving axes", "allocating", "emitting", "proving")
HARD = 0.5
"""Below this share of parameters within reach a row says what holds the rest."""


def render(folder: Path) -> Path:
    """Write coverage.md, coverage.json and MISSES.md for the records of a folder; the first."""
    records = load(folder)
    made = f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    data = {
        "made": made,
        "versions": _versions(),
        "summary": summary(records),
        "models": [asdict(r) for r in records],
    }
    (folder / "coverage.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (folder / "MISSES.md").write_text(misses(records), encoding="utf-8")
    page = folder / "coverage.md"
    page.write_text(markdown(records, made), encoding="utf-8")
    return page


def summary(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One row a suite, and one for all."""
    suites = {suite: [r for r in records if r.suite == suite] for suite in _suites(records)}
    rows = [_summary(suite, of) for suite, of in suites.items()]
    return [*rows, _summary("all", records)] if len(rows) > 1 else rows


def markdown(records: Sequence[Record], made: str) -> str:
    """The page: a summary, a table for each suite, and what stands behind the misses."""
    lines = [
        "# Coverage of the model zoos",
        "",
        f"Made {made} with {', '.join(f'{k} {v}' for k, v in _versions().items())}; "
        f"prunec {_revisions(records)}.",
        "Random weights, small inputs, random channels; every compile was proved against its "
        "masked twin in float64.",
        "",
        *_table(
            TOTALS,
            [
                (
                    row["suite"],
                    str(row["models"]),
                    f"{row['equal']} ({_percent(row['equal'] / max(row['models'], 1))})",
                    str(row["above"]),
                    str(row["wrong"]),
                    ", ".join(f"{v} {k}" for k, v in row["other"].items()) or "-",
                    _percent(row["known"]),
                    _percent(row["reachable"]),
                )
                for row in summary(records)
            ],
        ),
    ]
    lines += ["", "## Source", "", *_table(sources.TOTALS, map(_source, summary(records)))]
    for suite in _suites(records):
        rows = [_row(r) for r in records if r.suite == suite]
        lines += ["", f"## {suite}", "", *_table(HEAD, rows)]
    lines += ["", *LEGEND, "", *_causes(records, "##")]
    return "\n".join(lines) + "\n"


LEGEND = (
    "*trace*: front end, seconds. *axes known*: nodes of the graph whose operator has equations. "
    "*reachable*: parameter elements that some group can remove. *MACs*, *params*: what is left; "
    "the one that the target is about is bold. *alone*: the files run without prunec. *source*: "
    "lines of code, classes and calls in forwards of the emitted file. *clean*: what of it is not "
    "as it should be: operators without a public spelling, no fixed point, ruff, mypy. *seconds*: "
    f"total ({', '.join(STAGES)}).",
)


def misses(records: Sequence[Record]) -> str:
    """What does not compile and why, by cause, the commonest first."""
    counts = Counter(r.status for r in records)
    counted = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return "\n".join([f"# Misses ({len(records)} models: {counted})", "", *_causes(records)]) + "\n"


def _causes(records: Sequence[Record], level: str = "##") -> list[str]:
    lines = [f"{level} Not compiled", ""]
    groups = defaultdict(list)
    for r in records:
        if r.status not in {"equal", "above"}:
            groups[r.status, _cause(r)].append(r)
    for (status, cause), found in sorted(groups.items(), key=lambda pair: -len(pair[1])):
        lines.append(f"- **{status}**: {_cell(cause)}: {_names(r.name for r in found)}")
        lines += [f"  - {r.name} ({r.stage}): {_cell(_told(r), 700)}" for r in found[:3]]
    lines += ["", f"{level} Target out of reach", ""]
    for r in records:
        if r.status == "above":
            told = " / ".join(_cell(text.split("\n")[0]) for text in r.least)
            lines.append(f"- {r.name}: {told}; held: {_held(r)}")
    lines += ["", f"{level} Operators without equations", ""]
    operators = defaultdict(list)
    for r in records:
        for row in r.refused:
            operators[row["op"], row["reason"]].append((r.name, row))
    for (op, reason), uses in sorted(operators.items(), key=lambda pair: -len(pair[1])):
        nodes, line = sum(row["count"] for _, row in uses), uses[0][1]["line"]
        names = _names(name for name, _ in uses)
        lines.append(f"- `{op}`: {reason}: {nodes} nodes, first at {line}: {names}")
    lines += ["", f"{level} What holds parameters (most by model)", ""]
    for r in sorted(records, key=lambda r: r.reachable if r.reachable is not None else 2):
        if r.reachable is not None and r.reachable < 0.9:
            lines.append(f"- {r.name} ({_percent(r.reachable)} reachable): {_held(r)}")
    return lines


def _told(record: Record) -> str:
    """The reason of a record without torch's own frames in the tracebacks that it quotes."""
    rows = record.reason.splitlines()
    noise = {i + k for i, row in enumerate(rows) if "/torch/" in row for k in range(2)}
    return "\n".join(r for i, r in enumerate(rows) if i not in noise and "^^^" not in r)


def _held(record: Record) -> str:
    rows = [row for row in record.held if row["share"] >= 0.02][:4]
    return _cell(
        "; ".join(f"{_percent(r['share'])} (`{r['weight']}`): {r['reason']}" for r in rows), 900
    )


def _cause(record: Record) -> str:
    """The first line of a reason without its places and sizes, so that like ones fall together."""
    first = record.reason.split("\n")[0].split(" (at ")[0]
    return "".join("#" if c.isdigit() else c for c in first)[:200]


def _summary(suite: str, records: Sequence[Record]) -> dict[str, Any]:
    counts = Counter(r.status for r in records)
    named = ("equal", "above", "wrong")
    known = [r.known for r in records if r.known is not None]
    reachable = [r.reachable for r in records if r.reachable is not None]
    return {
        "suite": suite,
        "models": len(records),
        **{status: counts[status] for status in named},  # type: ignore[index]
        "other": {k: v for k, v in sorted(counts.items()) if k not in named},
        "known": median(known) if known else None,
        "reachable": median(reachable) if reachable else None,
        "source": sources.summary(records),
    }


def _source(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The emitted files of a suite."""
    found = row["source"]
    counts = (f"{found[key]:,}" for key in ("files", "lines", "classes"))
    public = f"{_percent(found['public'])} of {found['calls']:,}"
    shares = ("fixed", "formatted", "linted", "typed", "modes")
    return (row["suite"], *counts, public, *(_percent(found[key]) for key in shares))


def _row(r: Record) -> tuple[str, ...]:
    traced = r.seconds.get("tracing")
    by_stage = ", ".join(f"{r.seconds.get(stage, 0):.1f}" for stage in STAGES)
    return (
        r.name.partition("/")[2],
        f"{r.frontend} {traced:.1f}" if r.frontend and traced is not None else "-",
        _percent(r.known),
        _percent(r.reachable),
        _left(r.macs, bold=(r.target or "").startswith("macs")),
        _left(r.params, bold=(r.target or "").startswith("params")),
        f"yes ({r.error:.0e})" if r.error is not None else "NO" if r.status == "wrong" else "-",
        {True: "yes", False: "NO", None: "-"}[r.clean_room],
        *sources.cells(r),
        f"{r.total:.0f} ({by_stage})",
        _cell(_reason(r)),
    )


def _reason(r: Record) -> str:
    """Why a row is not perfect."""
    if r.status == "above":
        return f"{r.target} instead: {r.least[-1]}"
    if r.status != "equal":
        return f"{r.status}: {r.reason}"
    parts = []
    if r.least:
        parts.append(r.least[0].split("\n")[0].partition(": ")[2])
    if r.known is not None and r.known < 1:
        names = dict.fromkeys(row["op"] for row in r.refused)
        parts.append(f"no equations: {', '.join(f'`{op}`' for op in names)}")
    if r.reachable is not None and r.reachable < HARD and r.held:
        parts.append(f"held: {r.held[0]['reason']}")
    return "; ".join(parts)


def _left(pair: Sequence[int] | None, *, bold: bool) -> str:
    if not pair or not pair[0]:
        return "-"
    text = _percent(pair[1] / pair[0])
    return f"**{text}**" if bold else text


def _suites(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(r.suite for r in records))


def _names(names: Iterable[str]) -> str:
    found = sorted(set(names))
    more = f" and {len(found) - 6} more" if len(found) > 6 else ""
    return f"{len(found)} models: {', '.join(found[:6])}{more}"


def _percent(share: float | None) -> str:
    """A share for people; whole only where it is all."""
    if share is None:
        return "-"
    return "100%" if share == 1 else f"{min(100 * share, 99.9):.1f}%"


def _cell(text: str, limit: int = 300) -> str:
    """Text that fits into a row of a table."""
    flat = " ".join(text.split()).replace("|", "\\|")
    return flat if len(flat) <= limit else flat[: limit - 3] + "..."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'|'.join(' --- ' for _ in head)}|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _revisions(records: Iterable[Record]) -> str:
    """The commits of prunec that records are of, with how many are."""
    counts = Counter(r.revision or "unknown" for r in records)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name} ({n} models)" for name, n in counts.most_common())


def _versions() -> dict[str, str]:
    """Versions of the libraries."""
    found = {}
    for name in ("torch", "torchvision", "timm", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
