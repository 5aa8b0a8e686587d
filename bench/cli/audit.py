"""The command that recomputes what papers, a CSV or a results folder print: audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import Json
from bench.contracts.counts import how_many

if TYPE_CHECKING:
    from bench.published.findings import Finding


def attach(app: typer.Typer) -> None:
    app.command(
        "audit",
        help="Recompute what the four papers print, any CSV of the same columns, or a results folder.\n\n"
        "Averages, differences, repeated cells, quotations in the text, values that the test set excludes, copied rows. "
        "Thresholds: bench audit --explain.\n\nExample:  bench audit --table mim:V --notes",
    )(audit)


def audit(
    paper: Annotated[str, typer.Option(help="Only this paper: ar, spad, mim or mg3d.")] = "",
    table: Annotated[str, typer.Option(help="Only this table: V, or mim:V.")] = "",
    file: Annotated[Path | None, typer.Option(help="A CSV with the columns of bench/published/README.md.")] = None,
    results: Annotated[Path | None, typer.Option(help="A results folder: its own scores are audited.")] = None,
    known: Annotated[Path | None, typer.Option(help="Facts on test sets and texts in place of ours (TOML).")] = None,
    notes: Annotated[
        bool, typer.Option("--notes", help="Show what was assumed and why a finding may be innocent.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the kinds of findings and their thresholds.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write Markdown to a file instead.")] = None,
    json: Json = False,
) -> None:
    from bench.audit_forms import as_markdown, as_rows, as_values
    from bench.cli.console import print_json, print_table
    from bench.contracts.errors import SpecError
    from bench.data.atomic import write_text
    from bench.published.audit import explain as explained

    if explain:
        print(explained())
        return
    if file is not None and results is not None:
        raise SpecError("--file and --results ask for two different audits.", remedy="Give one of them.")
    before, _, after = table.rpartition(":")
    if paper and before and paper != before:
        raise SpecError(f"--paper {paper} and --table {table} name two papers.", remedy="Give one of them.")
    found, title = _findings(before or paper, after, file, results, known)
    if out is not None:
        write_text(out, as_markdown(found, title))
    if json:
        print_json(as_values(found))
    elif out is not None:
        print(f"Written to {out}")
    else:
        heads, rows = as_rows(found, notes=notes)
        print_table(f"{title}: {how_many(len(found), 'finding')}", heads, rows)
        if found and not notes:
            print("Why each may be innocent: --notes.  What was asked, and how strictly: --explain.")


def _findings(
    paper: str, table: str, file: Path | None, results: Path | None, known: Path | None
) -> tuple[list[Finding], str]:
    """The findings asked for, and what they are about."""
    from bench.published.audit import all_printed, audit, check_names, of_table
    from bench.published.known import KNOWN, read_known
    from bench.published.printed import read_printed

    if results is not None:
        from bench.audit_cells import audit_cells, printed_cells
        from bench.cli.console import tell_unreadable
        from bench.contracts.errors import SpecError
        from bench.store import Store

        store = Store(results)
        tell_unreadable(results)
        if not store.cells():  # nothing that adds up and nothing that was looked at would read alike
            raise SpecError(
                f"There are no results in '{results}' to audit.",
                case=str(results),
                remedy="Name the folder that holds cells/, or make one: bench run --method M --task T",
            )
        found = audit_cells(store)
        check_names([*printed_cells(store.cells()), *found], paper, table)
        return of_table(found, paper, table), f"Audit of {results.name}"
    cells = read_printed(file) if file is not None else all_printed()
    found = audit(cells, read_known(known or KNOWN))
    check_names([*cells, *found], paper, table)
    title = f"Audit of {file.name}" if file is not None else "Audit of the published tables"
    return of_table(found, paper, table), title
