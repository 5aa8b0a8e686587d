"""Commands about names: list, show, doctor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from bench.cli.options import RESULTS, Json, Results

SORTS = ("methods", "tasks", "corpora", "tables")
APART = ("config", "protocols", "members", "differs", "notes")  # shown below, each in a form of its own
MOST_NAMED = 20  # of a list; a cell names every tensor that an encoder took over
NOTHING: tuple[object, ...] = (None, "", 0, [], {})  # 0 is False too


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
    plain = {key: value for key, value in found.items() if key not in APART}
    shown = _lines_of(plain) if "schema" in found or found["kind"] == "method" else plain
    print_table(str(found.get("title", name)), ("", ""), [(key, _shown(value)) for key, value in shown.items()])
    _show_protocols(name, found.get("protocols", {}))
    _show_members(found.get("members", ()))
    _show_notes("differs", found.get("differs", ()))
    _show_notes("notes", found.get("notes", ()))
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


def _show_protocols(name: str, protocols: Mapping[str, Mapping[str, Any]]) -> None:
    """Protocols side by side, a line for each value that one of them at least sets; their notes below."""
    from bench.cli.console import print_table

    if not protocols:
        return
    values = {key: _lines_of(protocol) for key, protocol in protocols.items()}
    lines = list(dict.fromkeys(line for of_one in values.values() for line in of_one if line != "notes"))
    rows = [(line, *(of_one.get(line) for of_one in values.values())) for line in lines]
    set_somewhere = [row for row in _without_unused(rows) if any(value not in NOTHING for value in row[1:])]
    print_table(
        f"\nprotocols (what is 0, no or empty in all of them is left out: bench show {name} --json)",
        ("", *protocols),
        [[_shown(value) for value in row] for row in set_somewhere],
    )
    for key, protocol in protocols.items():
        _show_notes(f"notes on {key}", protocol["notes"])


def _without_unused(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The lines of a table without the settings of a change that every protocol makes with probability 0."""
    odds = [(str(row[0]), any(row[1:])) for row in rows if str(row[0]).endswith("_probability")]
    unused = tuple(name.removesuffix("probability") for name, ever in odds if not ever)
    return [row for row in rows if not f"{row[0]}_".startswith(unused)]


def _lines_of(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested values by name, one a line: `recipe.lr`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, Mapping) and value
        found |= _lines_of(value, f"{before}{key}.") if inner else {f"{before}{key}": value}
    return found


def _show_members(members: Sequence[Mapping[str, Any]]) -> None:
    """The sets of a corpus, one a line."""
    from bench.cli.console import print_table

    if members:
        print_table("\nsets", tuple(members[0]), [[_shown(value) for value in one.values()] for one in members])


def _show_notes(title: str, notes: Sequence[str]) -> None:
    if notes:
        print("\n".join([f"\n{title}", *(f"- {note}" for note in notes)]))


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_shown(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        if len(value) > MOST_NAMED:
            return f"{_shown(value[:3])} and {len(value) - 3:,} more"
        return ", ".join(_shown(v) for v in value)
    return (
        f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str("" if value is None else value)
    )
