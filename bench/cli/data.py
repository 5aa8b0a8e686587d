"""Commands about data: data check, phantom make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.options import Json, Partial, ProtocolName, Root


def attach(app: typer.Typer) -> None:
    data = typer.Typer(help="Look at datasets on disk.", rich_markup_mode=None, no_args_is_help=True)
    data.command(
        "check",
        help="Check the files of a task or a corpus: counts, checksums, geometry, labels, intensities, splits. Names unsound "
        "cases only.\n\nExamples:\n\n  bench data check msd04 --root /data --partial\n\n  bench data check mim-1k",
    )(check)
    phantom = typer.Typer(help="Synthetic volumes in official layouts.", rich_markup_mode=None, no_args_is_help=True)
    phantom.command(
        "make",
        help="Write phantoms of a task, a corpus or all.\n\nExample:  bench phantom make msd04 --size smoke --out phantoms",
    )(make)
    app.add_typer(data, name="data")
    app.add_typer(phantom, name="phantom")


def check(
    name: Annotated[str, typer.Argument(help="A task or a corpus: bench list tasks, bench list corpora.")],
    root: Root = "",
    partial: Partial = False,
    protocol: ProtocolName = "bench",
    quarantine: Annotated[Path | None, typer.Option(help="Write the unsound cases to this file, one a line.")] = None,
    json: Json = False,
) -> None:
    import os

    from bench import registry
    from bench.cases import check_task
    from bench.cli.console import print_json
    from bench.corpus_check import check_corpus
    from bench.data.atomic import write_bytes

    report: Any
    if name in registry.names(registry.CORPORA):
        report = check_corpus(name, Path(root) if root else None, os.environ, partial=partial)
    else:
        report = check_task(name, protocol, root, partial=partial, environ=os.environ)
    if quarantine is not None:
        write_bytes(quarantine, report.quarantine().encode())
    if json:
        print_json(report.as_json())
    else:
        print("\n".join(report.lines()))
    if not report.exit_ok:
        raise typer.Exit(2)


def make(
    name: Annotated[str, typer.Argument(help="A task, a corpus, or all.")],
    out: Annotated[Path, typer.Option(help="Where the datasets' folders go.")],
    size: Annotated[str, typer.Option(help="smoke (seconds) or mini (minutes).")] = "smoke",
    json: Json = False,
) -> None:
    from bench.cli.console import print_json, progress_for
    from bench.phantom_data import make_phantoms

    written = make_phantoms(name, size, out, progress_for(json))
    if json:
        print_json([{"name": key, "path": str(path)} for key, path in written])
    else:
        for key, path in written:
            print(f"{key}: {path}")
