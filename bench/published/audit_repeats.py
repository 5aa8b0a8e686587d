"""One cell in two places: the same method, corpus, network, task, ratio, region and metric, printed with other digits.

Where a table does not name the network, the cell is compared with whatever networks other tables name for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from bench.published.findings import Finding, difference
from bench.published.printed import Printed
from bench.published.rounding import last_digit, same_number
from bench.published.sheets import DIFFERENCE, column_of, row_name

Digits = Callable[[Printed], str]


def audit_repeats(cells: Iterable[Printed]) -> Iterator[Finding]:
    """Cells that say something else than the same cell says elsewhere, in the same paper or in another one.

    Of several places the digits that stand in most of them count, of two the first; the other place is the finding. Between
    papers, fractions are compared as percent.
    """
    alike: dict[tuple[str, ...], list[Printed]] = {}
    for cell in cells:
        if DIFFERENCE not in cell.method_slug:
            alike.setdefault(_identity(cell), []).append(cell)
    for found in alike.values():
        for group in _by_network(found) if len(found) > 1 else ():
            for digits in (_value, _std):
                yield from _departures([cell for cell in group if digits(cell)], digits, found)


def _identity(cell: Printed) -> tuple[str, ...]:
    """What a cell is of, its network apart. The average over all regions of one task is the task's own score."""
    region = "" if cell.region == "average" else cell.region
    return (cell.method_slug, cell.pretrain_data, cell.task_slug, cell.label_ratio, region, cell.metric)


def _by_network(cells: Sequence[Printed]) -> list[list[Printed]]:
    """One group per network, in the order of print; cells without one join a network that agrees with them, else the first."""
    groups: dict[str, list[int]] = {}
    for place, cell in enumerate(cells):
        if cell.network:
            groups.setdefault(cell.network, []).append(place)
    for place, cell in enumerate(cells):
        if not cell.network:
            agreeing = (n for n, group in groups.items() if any(_same(cell, cells[o], _value) for o in group))
            groups.setdefault(next(agreeing, next(iter(groups), "")), []).append(place)
    return [[cells[place] for place in sorted(group)] for group in groups.values()]


def _departures(group: Sequence[Printed], digits: Digits, everywhere: Sequence[Printed]) -> Iterator[Finding]:
    company = [[other for other in group if _same(cell, other, digits)] for cell in group]
    usual = max(range(len(group)), key=lambda place: len(company[place]), default=0)  # the first of those with most
    for cell in group:
        if not _same(cell, group[usual], digits):
            yield _departure(cell, group[usual], company[usual], digits, everywhere)


def _departure(
    cell: Printed, usual: Printed, company: Sequence[Printed], digits: Digits, everywhere: Sequence[Printed]
) -> Finding:
    is_std = digits is _std
    ours, theirs = digits(cell), digits(_in_unit(usual, cell.unit))
    doubts = []
    if cell.paper != usual.paper:
        doubts.append("papers split and target the same data differently")
    if bool(cell.std) != bool(usual.std) and not is_std:
        doubts.append("one is a mean over runs, the other has no spread and may be a single run")
    if "ocr-uncertain" in (*cell.tags, *usual.tags):
        doubts.append("the source of the digits is damaged (ocr-uncertain)")
    if abs(Fraction(ours) - Fraction(theirs)) == last_digit(ours):
        doubts.append("one unit of the last digit: a half rounded up here and down there would be innocent")
    notes = [f"{theirs} in {', '.join(f'{other.paper}:{other.table}' for other in company)}", *doubts]
    if bool(cell.network) != bool(usual.network):
        notes.append("one table does not name the network")
    twin = next((o for o in everywhere if o.network != cell.network and digits(o) == ours), None)
    if twin is not None:
        notes.append(f"these digits stand at {row_name(twin)} in {twin.paper}:{twin.table}")
    return Finding(
        cell.paper, cell.table, row_name(cell), f"{column_of(cell)}{' std' if is_std else ''}", "repeat", ours, theirs,
        difference(Fraction(ours), Fraction(theirs)), "possible" if doubts else "likely", "; ".join(notes) + ".",
    )  # fmt: skip


def _same(one: Printed, other: Printed, digits: Digits) -> bool:
    return same_number(digits(one), digits(_in_unit(other, one.unit)))


def _in_unit(cell: Printed, unit: str) -> Printed:
    """The cell as it would print in another unit, fractions in percent and back; the same cell for all other units."""
    places = {("fraction", "percent"): 2, ("percent", "fraction"): -2}.get((cell.unit, unit), 0)
    if not places:
        return cell
    moved = [format(Decimal(text).scaleb(places), "f") if text else "" for text in (cell.value, cell.std)]
    return replace(cell, value=moved[0], std=moved[1], unit=unit)


def _value(cell: Printed) -> str:
    return cell.value


def _std(cell: Printed) -> str:
    return cell.std
