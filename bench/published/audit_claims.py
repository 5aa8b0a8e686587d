"""What the running text says, against the cells, the parts of its totals, and the lists that owners publish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from bench.published.findings import Finding, difference
from bench.published.known import Claim, Known
from bench.published.printed import Printed
from bench.published.rounding import same_number
from bench.published.sheets import column_of, place_of, row_name


def audit_claims(cells: Sequence[Printed], known: Known) -> Iterator[Finding]:
    """Numbers quoted in the text that no cell they can mean has. A claim about cells that are not there is left out."""
    for claim in known.claim:
        meant = [cell for cell in cells if _means(claim, cell)]
        if meant and not any(same_number(cell.value, claim.says) for cell in meant):
            yield _unsaid(claim, meant[0], cells)


def audit_totals(cells: Sequence[Printed], known: Known) -> Iterator[Finding]:
    """Printed totals of papers that are being audited and are not the sum of their printed parts."""
    papers = {cell.paper for cell in cells}
    for total in known.total:
        found = sum(total.parts)
        if total.paper in papers and found != total.says:
            note = f"The parts are {' + '.join(map(str, total.parts))}."
            yield Finding(
                total.paper, total.table, "total", total.what, "total", str(total.says), str(found),
                float(total.says - found), "certain", note,
            )  # fmt: skip


def audit_counts(cells: Sequence[Printed], known: Known) -> Iterator[Finding]:
    """Counts in the text of papers that are being audited beside those of published lists."""
    papers = {cell.paper for cell in cells}
    for count in known.count:
        if count.paper in papers and count.says != count.published:
            note = f"Published: {count.source}. Another release of the data, or cases left out, would be innocent."
            yield Finding(
                count.paper, count.table, "text", count.what, "count", str(count.says), str(count.published),
                float(count.says - count.published), "possible", note,
            )  # fmt: skip


def _means(claim: Claim, cell: Printed) -> bool:
    """True for a cell that the claim may be about; words that the claim leaves empty match any cell."""
    asked = {
        "paper": claim.paper, "table": claim.table, "method_slug": claim.method, "task_slug": claim.task,
        "metric": claim.metric, "pretrain_data": claim.corpus, "network": claim.network,
        "region": claim.region, "label_ratio": claim.ratio,
    }  # fmt: skip
    return all(getattr(cell, field) == word for field, word in asked.items() if word)


def _unsaid(claim: Claim, cell: Printed, cells: Sequence[Printed]) -> Finding:
    notes = [f"said in: {claim.where}"]
    elsewhere = [
        other for other in cells
        if other.paper == claim.paper and column_of(other) == column_of(cell) and other.value == claim.says
    ]  # fmt: skip
    if elsewhere:
        notes.append(f"the digits stand at {place_of(elsewhere[0])}")
    notes.append("text and table may come from different runs")
    return Finding(
        claim.paper, claim.table, row_name(cell), str(column_of(cell)), "claim",
        claim.says, cell.value, difference(Fraction(claim.says), Fraction(cell.value)), "likely", "; ".join(notes) + ".",
    )  # fmt: skip
