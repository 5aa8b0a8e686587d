"""Does what a paper prints add up? Every check over every table, in one list; and what each check may say.

The checks know printed digits and nothing of the methods. Their thresholds come from the precision of print and from one
level of chance, `LEVEL`; none is tuned to what it finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bench.contracts.errors import SpecError
from bench.published.audit_averages import audit_averages, audit_differences
from bench.published.audit_claims import audit_claims, audit_counts, audit_totals
from bench.published.audit_copies import MOST_ROWS, audit_copied_cells, audit_copied_spreads, audit_shifted_rows
from bench.published.audit_possible import audit_grids, audit_orders, audit_ranges, audit_spreads
from bench.published.audit_repeats import audit_repeats
from bench.published.audit_scales import audit_scales
from bench.published.findings import CONFIDENCE, KINDS, LEVEL, Finding
from bench.published.known import Known, read_known
from bench.published.printed import PAPERS, Printed, printed
from bench.published.sheets import Sheet, sheets_of


def audit(cells: Sequence[Printed], known: Known | None = None) -> list[Finding]:
    """Everything that does not add up in the cells, in the order of their tables.

    `known` defaults to `known.toml`, the facts on the four papers and on official test sets.
    """
    facts = read_known() if known is None else known
    sheets = sheets_of(cells)
    found = [finding for sheet in sheets for finding in audit_sheet(sheet, facts)]
    found += audit_repeats(cells)
    found += audit_scales(sheets)
    found += audit_claims(cells, facts)
    found += audit_totals(cells, facts)
    found += audit_counts(cells, facts)
    papers = {paper: place for place, paper in enumerate(dict.fromkeys(sheet.paper for sheet in sheets))}
    tables = {(sheet.paper, sheet.table): place for place, sheet in enumerate(sheets)}
    return sorted(found, key=lambda f: (papers[f.paper], tables.get((f.paper, f.table), -1)))


def audit_sheet(sheet: Sheet, known: Known) -> Iterator[Finding]:
    """What does not add up inside one table."""
    yield from audit_averages(sheet, known)
    yield from audit_differences(sheet)
    yield from audit_ranges(sheet)
    yield from audit_grids(sheet, known)
    yield from audit_spreads(sheet, known)
    yield from audit_orders(sheet)
    yield from audit_copied_cells(sheet, known)
    yield from audit_copied_spreads(sheet)
    yield from audit_shifted_rows(sheet)


def all_printed() -> tuple[Printed, ...]:
    """What the four papers print."""
    return tuple(cell for paper in PAPERS for cell in printed(paper))


def of_table(findings: Iterable[Finding], paper: str = "", table: str = "") -> list[Finding]:
    """The findings of one paper, or one table; empty words keep all."""
    return [f for f in findings if paper in ("", f.paper) and table in ("", f.table)]


def check_names(places: Sequence[Printed | Finding], paper: str, table: str) -> None:
    """Raise SpecError when no cell or finding is of such a paper or table, with those there are."""
    papers = list(dict.fromkeys(place.paper for place in places))
    if paper and paper not in papers:
        raise SpecError(
            f"No paper '{paper}'. Possible: {', '.join(papers)}.", case=paper, remedy="Their tables: bench list tables"
        )
    tables = list(dict.fromkeys(place.table for place in places if paper in ("", place.paper)))
    if table and table not in tables:
        raise SpecError(
            f"No table '{table}'. Possible: {', '.join(tables)}.", case=table, remedy="All of them: bench list tables"
        )


def explain() -> str:
    """What each kind of finding means, what its threshold is, and how sure it is."""
    lines = ["Kinds of findings", *(f"  {kind:<17} {told}" for kind, told in KINDS.items()), "", "Confidence"]
    lines += [f"  {word:<17} {told}" for word, told in CONFIDENCE.items()]
    return "\n".join([*lines, "", "Thresholds", *(f"  {line}" for line in THRESHOLDS)])


THRESHOLDS = (
    "A printed number stands for every value that rounds to its digits: 95.60 for 95.595 to 95.605, both ends counted.",
    "Averages and differences: an error only where the ranges of both sides have no value in common.",
    "Repeats and quotations: at one precision the digits must be the same, at two the ranges must have a value in common.",
    "Counts: an error only where no multiple of 1/n (of 1/(2 positives x negatives) for a binary AUC) lies in the range.",
    "Standard deviations of k values in [0, 1] with mean m: at most sqrt(m (1 - m) k / (k - 1)), k = 2 where not told.",
    f"Copies, shifted rows, scales: less likely than {LEVEL:g} by chance, after counting all that could have been found.",
    "Two values of a column print alike with chance (last digit) / (shortest interval holding half of the column).",
    f"Rows of one method are not compared with each other, nor tables of more than {MOST_ROWS} rows pair by pair.",
)
