"""How far slices lie apart in a dataset whose files hold no voxel size: what a user knows and tells by `--set slice_mm=MM`."""

from __future__ import annotations

from dataclasses import replace

from bench.cases import TaskCases
from bench.contracts.configs import Spacing
from bench.contracts.errors import SpecError
from bench.contracts.protocols import Protocol
from bench.contracts.record import Record
from bench.spec import RunSpec, read_value

WORD = "slice_mm"


def slice_mm_of(spec: RunSpec, protocol: Protocol) -> float:
    """The distance of slices in mm among a run's settings, 0 where it is not told.

    Raises SpecError for one that is not above 0, and for a task whose files or protocol say it themselves.
    """
    told = [value for phase, key, value in spec.settings if key == WORD and phase in ("", "finetune")]
    if not told:
        return 0.0
    if protocol.counted_mm is None:
        raise SpecError(
            f"--set {WORD}: '{spec.task}' takes no distance of slices from a user; its files hold one or no voxel is counted "
            "in mm.",
            case=spec.task,
            remedy=f"Leave out --set {WORD}={told[-1]}.",
        )
    found = float(read_value(told[-1], float, WORD))
    if found <= 0:
        raise SpecError(
            f"--set {WORD}: asked for {told[-1]} mm between slices, possible is a number above 0.",
            case=spec.task,
            remedy=f"Say for example --set {WORD}=5, or leave it out: slices then count as {protocol.counted_mm[2]:g} mm apart.",
        )
    return found


def with_slices(cases: TaskCases, slice_mm: float) -> TaskCases:
    """The cases with their slices (third axis) `slice_mm` apart in every record; as they were where that is 0."""
    if not slice_mm:
        return cases
    return replace(cases, records={case: _told(record, slice_mm) for case, record in cases.records.items()})


def _told(record: Record, slice_mm: float) -> Record:
    assert record.spacing is not None, record.case_id
    apart: Spacing = (record.spacing[0], record.spacing[1], slice_mm)
    return record.model_copy(update={"spacing": apart})
