"""Commands about data: data add, data check, data status, phantom make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import Json, Partial, ProtocolName, Root
from bench.contracts.counts import how_many

if TYPE_CHECKING:
    from bench.data_status import Place, Pool, Runnable


def attach(app: typer.Typer) -> None:
    data = typer.Typer(help="Look at datasets on disk.", rich_markup_mode=None, no_args_is_help=True)
    data.command(
        "add",
        help="Say where a dataset lies: a line of datasets.toml, written once the folder reads as that dataset. The key is a "
        "task's, or that of a set in a corpus (bench show mim-10k).\n\nExample:  bench data add btcv /where/ever/RawData",
    )(add)
    data.command(
        "check",
        help="Check the files of a task or a corpus: counts, checksums, geometry, labels, intensities, splits. Names unsound "
        "cases only.\n\nWhat files hold is recorded in bench.lock beside datasets.toml when they are first checked; a later change "
        "is an error. Images that another dataset checked here holds too are noted.\n\nExamples:\n\n"
        "  bench data check msd04 --root /data --partial\n\n  bench data check mim-1k --full",
    )(check)
    data.command(
        "status",
        help="Which tasks and corpora are on this machine, and which of the papers' tables can be run. Reads names of files, no "
        "voxels.\n\nExamples:\n\n  bench data status\n\n  bench data status --root /data --json",
    )(status)
    phantom = typer.Typer(help="Synthetic volumes in official layouts.", rich_markup_mode=None, no_args_is_help=True)
    phantom.command(
        "make",
        help="Write phantoms of a task, a corpus or all.\n\nExample:  bench phantom make msd04 --size smoke --out phantoms",
    )(make)
    app.add_typer(data, name="data")
    app.add_typer(phantom, name="phantom")


def add(
    key: Annotated[str, typer.Argument(help="A task, or a set of a corpus.")],
    folder: Annotated[Path, typer.Argument(help="The folder that holds it.")],
    replace: Annotated[bool, typer.Option("--replace", help="Change a line that says otherwise.")] = False,
    json: Json = False,
) -> None:
    from dataclasses import asdict

    from bench.cli.console import print_json
    from bench.datasets_add import add_folder

    added = add_folder(key, folder, replace=replace)
    if json:
        print_json(asdict(added) | {"folder": str(added.folder)})
        return
    made_up = " of phantoms" if added.phantom else ""
    print(f"{key}: {how_many(added.cases, 'case')}{made_up} below {added.folder}, read by {', '.join(added.readers)}.")
    print(f"Next: bench data check {added.readers[0]}")


def check(
    name: Annotated[str, typer.Argument(help="A task or a corpus: bench list tasks, bench list corpora.")],
    root: Root = "",
    partial: Partial = False,
    protocol: ProtocolName = "bench",
    quarantine: Annotated[Path | None, typer.Option(help="Write the unsound cases to this file, one a line.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Of a corpus read every voxel, not 20 volumes a set.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Take files that bench.lock knows otherwise as they are now.")
    ] = False,
    json: Json = False,
) -> None:
    import os

    from bench import registry
    from bench.cases import check_task
    from bench.cli.console import print_json
    from bench.corpus_check import check_corpus
    from bench.data.atomic import write_bytes
    from bench.trust import Trust

    report: Any
    registry.task_or_corpus(name)
    trust = Trust(name, accept=accept_changes)
    if name in registry.names(registry.CORPORA):
        where = Path(root) if root else None
        report = check_corpus(name, where, os.environ, partial=partial, full=full, trust=trust)
    else:
        report = check_task(name, protocol, root, partial=partial, environ=os.environ, trust=trust)
    if quarantine is not None:
        write_bytes(quarantine, report.quarantine().encode())
    if json:
        print_json(report.as_json())
    else:
        print("\n".join(report.lines()))
    if not report.exit_ok:
        raise typer.Exit(2)


def status(root: Root = "", json: Json = False) -> None:
    import os

    from bench.cli.console import print_json, print_table
    from bench.data_status import data_status

    found = data_status(Path(root) if root else None, os.environ)
    if json:
        print_json(found.as_json())
        return
    here = sum(place.found for place in found.tasks)
    rows: list[tuple[str, ...]] = [(place.key, _cases(place), _where(place)) for place in found.tasks]
    print_table(f"Tasks: {here} of {len(rows)} here", ("task", "cases", "where, or where to get it"), rows)
    whole = sum(len(pool.here) == len(pool.sets) for pool in found.corpora)
    rows = [
        (p.key, f"{len(p.here)} of {len(p.sets)}", f"{p.volumes:,} of {p.printed:,}", _sets(p)) for p in found.corpora
    ]
    columns = ("corpus", "sets", "volumes", "sets that are here, or where to get them")
    print_table(f"\nCorpora: all sets of {whole} of {len(rows)} here", columns, rows)
    rows = [(table.name, _runnable(table), ", ".join(table.lacking)) for table in found.tables]
    able = sum(table.state == "yes" for table in found.tables)
    print_table(
        f"\nThe papers' tables: the tasks of {able} of {len(rows)} here", ("table", "runnable", "data that lack"), rows
    )
    print("\nNext: bench data check TASK looks into the files; bench table mim:III names the runs that a table lacks.")


def _cases(place: Place) -> str:
    """Example: `200 of 260, 120 of 130 unlabelled`; of what lacks nothing but the whole."""
    if not place.found:
        return "none"
    told = [f"{found:,} of {whole:,}" for part, (found, whole) in place.counts.items() if part != "unlabelled"]
    told += [
        f"{n:,} of {whole:,} unlabelled" for part, (n, whole) in place.counts.items() if part == "unlabelled" and n
    ]
    return ", ".join(told)


def _where(place: Place) -> str:
    if place.problem or place.folder:
        return place.problem or f"{'phantoms: ' if place.phantom else ''}{place.folder}"
    return f"{place.page}; licence: {place.licence}"


def _sets(pool: Pool) -> str:
    """The sets that are there, and what is wrong with others; of a pool without any its page and licence."""
    told = [f"{place.key} (phantoms)" if place.phantom else place.key for place in pool.here]
    told += [f"{place.key}: {place.problem}" for place in pool.sets if place.problem]
    return ", ".join(told) or f"{pool.page}; licence: {pool.licence}"


def _runnable(table: Runnable) -> str:
    if table.state == "partly":
        return f"{len(table.here)} of {len(table.here) + len(table.lacking)} tasks"
    return table.state


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
