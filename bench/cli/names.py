"""Commands about names: list, show, doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import RESULTS, Json, Results

SORTS = ("methods", "tasks", "corpora", "tables")


def attach(app: typer.Typer) -> None:
    app.command("list", help=f"List {', '.join(SORTS)}.\n\nExample:  bench list methods --json")(list_names)
    app.command("show", help="Show a method, task, corpus or cell.\n\nExample:  bench show mim --json")(show)
    app.command("doctor", help="Check this machine: versions, device, data, disk.\n\nExample:  bench doctor")(doctor)


def list_names(sort: Annotated[str, typer.Argument(help=" | ".join(SORTS))], json: Json = False) -> None:
    from bench.catalogue import listing
    from bench.cli.console import print_json, print_table

    rows = listing(sort)
    if json:
        print_json(rows)
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print_table(f"{len(rows)} {sort}", columns, [[_shown(row.get(c)) for c in columns] for row in rows])


def show(
    name: Annotated[str, typer.Argument(help="A method, task, corpus or cell.")],
    json: Json = False,
    preset: Annotated[str, typer.Option(help="Which preset's values to show.")] = "full",
    results: Results = RESULTS,
) -> None:
    from bench.catalogue import show_name
    from bench.cli.console import print_json, print_table

    found = show_name(name, preset, results)
    if json:
        print_json(found)
        return
    plain = {k: v for k, v in found.items() if k != "config"}
    print_table(str(found.get("title", name)), ("", ""), [(k, _shown(v)) for k, v in plain.items()])
    for phase, values in found.get("config", {}).items():
        if "schema" in found:  # a stored cell holds values, its method's card their sources
            print_table(phase, ("key", "value"), list(values.items()))
            continue
        rows = [(key, v["value"], v["source"]) for key, v in values.items()]
        print_table(f"{phase} ({preset})", ("key", "value", "source"), rows)


def doctor(json: Json = False, results: Results = RESULTS) -> None:
    import os

    from bench.cli.console import print_json, print_table
    from bench.doctor import examine

    found = examine(os.environ, results)
    if json:
        print_json([vars(check) for check in found])
    else:
        print_table("This machine", ("", "what", "found", "next"), [(c.mark, c.what, c.found, c.remedy) for c in found])
    if any(check.mark == "bad" for check in found):
        raise typer.Exit(2)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_shown(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(v) for v in value)
    return (
        f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str("" if value is None else value)
    )
