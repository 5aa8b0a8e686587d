"""A dataset that people hold in one of several forms: the first form that is found is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import DataMissing, SpecError
from bench.contracts.protocols import Layout
from bench.contracts.record import Record
from bench.data.axes import Affine
from tasks.layouts.phantom_case import Size


@dataclass(frozen=True)
class FirstOf:
    """Several layouts of one dataset, the preferred one first; phantoms are written in that one."""

    forms: tuple[Layout, ...]

    def locate(self, root: Path) -> Path | None:
        return next((found for form in self.forms if (found := form.locate(root)) is not None), None)

    def records(self, folder: Path) -> list[Record]:
        """The records of the first form that recognises the folder. Raises DataMissing where none does."""
        for form in self.forms:
            if form.locate(folder) == folder:
                return form.records(folder)
        raise DataMissing(
            f"{folder} holds none of the accepted forms:\n{self.tree()}", remedy="Point --root at one of them."
        )

    def tree(self) -> str:
        return "\nor\n".join(form.tree() for form in self.forms)

    def write_submission(
        self, out: Path, folder: Path, record: Record, labels: NDArray[np.uint8], affine: Affine
    ) -> list[Path]:
        """As the first form that knows what the owners' server takes. Raises SpecError where none does."""
        for form in self.forms:
            if hasattr(form, "write_submission"):
                written: list[Path] = form.write_submission(out, folder, record, labels, affine)
                return written
        raise SpecError("The owners take no predictions in a form that we know.", case=record.case_id)

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        self.forms[0].write_phantom(folder, case_ids, size)
