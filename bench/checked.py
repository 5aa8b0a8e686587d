"""What a run has looked at by the time it is recorded, in the words of `bench data check`: for the header of its manifest."""

from __future__ import annotations

from bench.cases import TaskCases


def checked(cases: TaskCases) -> dict[str, str]:
    """Each check's name to `ok`, `n/a` where a run does not look, or what is known to lack.

    A run that is recorded was refused by none of them: `find_cases` counts cases and tables, holds groups and labels against
    parts and card; preparing reads every file, holds masks against images and the card's values, and the parts against each
    other by voxels. Groups are not held against parts where the authors' own list puts them on both sides. Archives are not
    hashed, nor is asked whether values are HU; a phantom is held against no count.
    Source: ours.
    """
    masks = any(record.label.kind == "mask" for record in cases.pick(cases.here.everything()))
    lacking = f"partial: {cases.partial}" if cases.partial else "ok"
    return {
        "counts": "n/a" if cases.source == "phantom" else lacking,
        "checksums": "n/a",
        "files": "ok",
        "geometry": "ok" if masks else "n/a",
        "labels": "ok",
        "intensity": "n/a",
        "hygiene": "the authors' list puts groups on both sides" if cases.listed.straddles else "ok",
    }
