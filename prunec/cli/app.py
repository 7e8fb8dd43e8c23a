"""The commands. Each reads a file, asks the driver and shows what it said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prunec import __version__
from prunec.cli import console, format_files, pages
from prunec.report import explain, tables
from prunec.report.analysis import Analysis
from prunec.report.data import Report
from prunec.report.formats import Format

FINDINGS = 1

app = typer.Typer(
    name="prunec",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        console.show(f"prunec {__version__}")
        raise typer.Exit


def _format(form: Format) -> Format:
    console.use(form)
    return form


Spec = Annotated[Path, typer.Argument(metavar="FILE", help="A .prune file.")]
Formatted = Annotated[
    Format,
    typer.Option(
        "--format",
        callback=_format,
        help="How diagnostics are written; with json the results are JSON too.",
    ),
]
Cached = Annotated[
    bool,
    typer.Option(
        "--cache/--no-cache", help="Keep scores in $PRUNEC_CACHE, or the user's cache folder."
    ),
]


@app.callback()
def _prunec(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A declarative pruning compiler for PyTorch."""


@app.command("compile")
def compile_(
    file: Spec,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write, instead of the one after `emit`.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(help="A plan to apply: nothing is scored, nothing solved.")
    ] = None,
    check: Annotated[bool, typer.Option(help="Prove the output against the original.")] = True,
    cached: Cached = True,
    form: Formatted = Format.text,
) -> int:
    """Make the smaller model, prove it and write it."""
    from prunec import cache, driver, prepare

    with console.stages() as stage:
        kept = cache.default() if cached else None
        job = prepare.from_file(file, plan=plan, out=out, check=check, stage=stage, cache=kept)
        compiled = driver.compile(job)
    _results(compiled.report)
    if compiled.out is not None:
        console.say(f"wrote {', '.join(compiled.files)} to {compiled.out}")
    return 0 if compiled.report.passed else FINDINGS


@app.command()
def plan(
    file: Spec,
    out: Annotated[
        list[Path] | None,
        typer.Option("--out", "-o", help="A file to write: plan.json; of a sweep also .svg, .png."),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC=A..B", help="Solve for many bounds of one target: macs=70%..30%."
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="Bounds of a sweep.")] = 9,
    cached: Cached = True,
    form: Formatted = Format.text,
) -> int:
    """Say what would be removed, and what that costs."""
    from prunec import cache, driver, output, prepare
    from prunec.cli import fronts

    paths = tuple(out or ())
    fronts.check(paths, swept=sweep is not None)
    with console.stages() as stage:
        kept = cache.default() if cached else None
        job = prepare.from_file(file, stage=stage, cache=kept)
        if sweep is not None:
            front = fronts.run(job, sweep, steps)
        else:
            planned = driver.plan(job)
    if sweep is not None:
        return fronts.show(front, paths)
    for path in paths:
        output.write(path, planned.file())
    _results(driver.report(planned))
    return 0


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A plan file, or a slim.lock.json.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    form: Formatted = Format.text,
) -> int:
    """Show what two plans differ in; exit 1 if they do. Versions alone are no difference."""
    from prunec import difference
    from prunec.cli import compared

    found = difference.run(a, b)
    if console.as_json():
        console.dump(found.as_dict())
    else:
        console.show(*compared.show(found))
    return 0 if found.equal else FINDINGS


@app.command()
def profile(
    file: Spec,
    on: Annotated[
        str | None, typer.Option(help='A device, such as "cpu(threads=1, batch=1)".')
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The profile to write, instead of the one beside FILE.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure what is known as well.")] = False,
    form: Formatted = Format.text,
) -> int:
    """Measure the model's operators on this machine, for targets of latency."""
    from prunec.cli import profiles

    return profiles.run(file, on=on, out=out, again=again)


@app.command()
def check(
    file: Spec,
    artifact: Annotated[
        Path | None, typer.Option(help="A compiled folder that must be what FILE gives.")
    ] = None,
    form: Formatted = Format.text,
) -> int:
    """Check a file, and its artefact, without data: for CI."""
    from prunec import audit, prepare

    with console.stages() as stage:
        found = audit.run(prepare.from_file(file, stage=stage), artifact)
    if found or console.machine():
        console.diagnose(found, result=True)
    if not console.machine() and not any(d.severity == "error" for d in found):
        console.show(f"{file}: all checks hold")
    return FINDINGS if any(d.severity == "error" for d in found) else 0


@app.command()
def groups(file: Spec, form: Formatted = Format.text) -> int:
    """List what can be removed from the model, and why the rest cannot."""
    found = _analysis(file)
    if console.as_json():
        console.dump(found.as_dict())
    else:
        console.show(*explain.overview(found))
    return 0


@app.command("explain")
def explain_(
    what: Annotated[str, typer.Argument(metavar="CODE|FILE", help="P0204, or a .prune file.")],
    subject: Annotated[
        str | None, typer.Argument(metavar="[GROUP|MODULE]", help="A group, or a glob of modules.")
    ] = None,
    form: Formatted = Format.text,
) -> int:
    """Explain a diagnostic's code, or a model's group or module: why it can or cannot be pruned."""
    if pages.is_code(what) and subject is None:
        console.show(pages.page(what))
        return 0
    found = _analysis(Path(what))
    console.show(*(explain.overview(found) if subject is None else explain.subject(found, subject)))
    return 0


@app.command()
def fmt(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files; - is stdin.")],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 on a change.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show the change, write nothing.")] = False,
    form: Formatted = Format.text,
) -> int:
    """Rewrite .prune files in their canonical form; comments are kept."""
    changed = [format_files.run(name, check=check, diff=diff) for name in files]
    return FINDINGS if any(changed) and (check or diff) else 0


@app.command()
def new(
    factory: Annotated[
        str, typer.Argument(metavar="MODULE:FACTORY", help="What builds the model.")
    ],
    out: Annotated[
        str | None, typer.Option(help="The file to write; - is stdout. Default: FACTORY.prune.")
    ] = None,
    form: Formatted = Format.text,
) -> int:
    """Write a .prune file to start from."""
    from prunec import starter

    if ":" not in factory:
        raise typer.BadParameter("name a module and a factory in it, such as zoo.cifar:resnet56")
    with console.stages() as stage:
        stage("looking at the model")
        text = starter.run(factory)
    if out == "-":
        print(text, end="")
        return 0
    path = Path(out or f"{factory.rpartition(':')[2].rpartition('.')[2]}.prune")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from error
    console.say(f"wrote {path}; `prunec groups {path}` shows what can be removed")
    return 0


def _results(found: Report) -> None:
    """Warnings to stderr, then the report."""
    console.diagnose(found.diagnostics)
    if console.as_json():
        console.dump(found.as_dict())
    else:
        console.show(*tables.report(found))


def _analysis(file: Path) -> Analysis:
    from prunec import prepare, understand

    with console.stages() as stage:
        job = prepare.from_file(file, stage=stage)
        stage("building the model")
        return understand.run(prepare.run(job), stage, renumber=job.spec.renumbers).analysis
