"""What a set of reports looks like, in words: how many, how long, in which script, and which of them two parts share.

Source   the project's plan of checks, section C.3 (text). Counts and case ids only: no word of a report is repeated
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from bench.contracts.counts import how_many
from bench.contracts.record import Record

SHOWN = 5
LEAST_LATIN_SHARE = 0.9


def report_notes(records: Mapping[str, Record], parts: Mapping[str, Sequence[str]]) -> list[str]:
    """Notes on the reports of listed cases; none where no case has one. `parts` maps a part to its cases.

    Reports that several groups share word for word are told, since a generator that repeats them scores without looking.
    """
    of_part = {case: name for name, part in parts.items() for case in part if case in records and records[case].text}
    if not of_part:
        return []
    lengths = [len(records[case].text.split()) for case in of_part]
    notes = [
        f"{how_many(len(lengths), 'report')} of {min(lengths)} to {max(lengths)} words, median {statistics.median(lengths):g}, "
        f"{sum(length > 150 for length in lengths)} of them longer than 150."
    ]
    foreign = [case for case in of_part if _latin_share(records[case].text) < LEAST_LATIN_SHARE]
    if foreign:
        notes.append(f"Not written in Latin letters: {how_many(len(foreign), 'report')} ({_some(foreign)}).")
    return [*notes, *_shared(records, of_part)]


def _shared(records: Mapping[str, Record], of_part: Mapping[str, str]) -> list[str]:
    """One note on reports that stand, word for word, in training and elsewhere under another group."""
    trained: dict[str, str] = {}
    for case, part in of_part.items():
        if part == "train":
            trained.setdefault(_plain(records[case].text), case)
    same = [
        f"{case} ({part}) and {trained[text]} (train)"
        for case, part in of_part.items()
        if part != "train"
        for text in [_plain(records[case].text)]
        if text in trained and records[trained[text]].group != records[case].group
    ]
    return [f"In train, word for word: {how_many(len(same), 'report')} of val or test ({_some(same)})."] if same else []


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _latin_share(text: str) -> float:
    letters = [character for character in text if character.isalpha()]
    return sum(character.isascii() for character in letters) / len(letters) if letters else 1.0


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
