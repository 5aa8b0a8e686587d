"""One finding of the audit, the words it may use, and the thresholds that all checks share."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

LEVEL = 0.001
"""Chance of a false alarm that a check of coincidences allows itself per table, after counting all it tried."""

CONFIDENCE = {
    "certain": "follows from the printed digits alone",
    "likely": "needs one assumption, told in the note",
    "possible": "an innocent reading, told in the note, is as good",
}
KINDS = {
    "average": "no values within the printed digits of the columns have the printed average",
    "delta": "no values within the printed digits have the printed difference",
    "repeat": "one cell stands in two places with digits that exclude each other",
    "claim": "a number in the running text is not the number in the table",
    "total": "the parts printed do not add up to the printed total",
    "count": "a count in the text is not that of the list that owners or authors publish",
    "range": "the metric cannot take this value",
    "grid": "no count of right answers on the test set rounds to this value",
    "size": "the values of a column do not fit the test set whose size is told",
    "spread": "no values of the metric have this mean and a standard deviation that large",
    "order": "two metrics of one row stand in an order that their definitions exclude",
    "scale": "two metrics of one task lie apart differently in two tables: their settings differ",
    "copied-cells": "rows share printed digits more often than chance allows",
    "shifted-row": "two rows differ by nearly the same amount in every column",
    "copied-spreads": "rows share standard deviations more often than chance allows",
    "copied-column": "two columns share standard deviations more often than chance allows",
    "mean": "a stored score is not the mean of its stored cases",
    "same-predictions": "two cells of different methods were scored from the same predictions",
}


@dataclass(frozen=True)
class Finding:
    """Something that does not add up. `printed`, `recomputed` and `difference` are in the unit of the table.

    `difference` is printed minus recomputed, None where no number was recomputed. `kind` is in `KINDS`, `confidence` in
    `CONFIDENCE`; `note` says what was assumed and why the finding may be innocent.
    """

    paper: str
    table: str
    row: str
    column: str
    kind: str
    printed: str
    recomputed: str
    difference: float | None
    confidence: str
    note: str


def decimal_text(value: Fraction, decimals: int) -> str:
    """A fraction to so many decimals, halves to even. Example: 2/3 to 2 decimals is `0.67`."""
    scaled = round(value * 10**decimals)
    digits = str(abs(scaled)).rjust(decimals + 1, "0")
    sign = "-" if scaled < 0 else ""
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else f"{sign}{digits}"


def difference(printed: Fraction, recomputed: Fraction) -> float:
    """Printed minus recomputed, free of the noise of binary fractions."""
    return round(float(printed - recomputed), 9)
