"""Counts in messages: one thing is one thing, and thousands are set apart."""

from __future__ import annotations

from bench.contracts.counts import how_many


def test_a_thing_alone_has_no_s_and_takes_its_own_verb() -> None:
    assert [how_many(n, "file") for n in (0, 1, 2, 1234)] == ["0 files", "1 file", "2 files", "1,234 files"]
    assert how_many(1, "file is", "files are") == "1 file is" and how_many(3, "file is", "files are") == "3 files are"
