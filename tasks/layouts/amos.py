"""AMOS22's tree: `amos22/imagesTr`, `labelsTr`, `imagesVa`, `labelsVa`, `imagesTs`, CT and MR mixed, told apart by number.

Source   amos22.grand-challenge.org; Ji et al., NeurIPS 2022 (Datasets and Benchmarks); Zenodo 7262581
Quirks   ids up to 500 are CT, above 500 MR; not every scan shows all fifteen organs; `imagesTs` has no public labels in the
         first release
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.contracts.record import Record
from bench.data.atomic import write_json
from bench.data.find import first_within
from bench.data.splits import read_list
from tasks.layouts.names import volumes_in
from tasks.layouts.nifti_pairs import Pair, records_of, write_pair
from tasks.layouts.phantom_case import SPLITS, Look, Size, claim, seal, source_of

PARTS = ("Tr", "Va", "Ts")
NAME = re.compile(r"amos_(\d{4})")
LAST_CT = 500
MR_SCAN = "0507"  # of the official training part


@dataclass(frozen=True, kw_only=True)
class Amos:
    """The scans of one modality, whatever part they lie in; the case id is the four digits of the file's name."""

    look: Look
    modality: Literal["CT", "MR"] = "CT"
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: bool(_numbered(folder / "imagesTr")))

    def records(self, folder: Path) -> list[Record]:
        pairs = []
        for part in PARTS:
            masks = dict(_numbered(folder / f"labels{part}"))
            pairs += [Pair(case, path, masks.get(case)) for case, path in _numbered(folder / f"images{part}")]
        wanted = [pair for pair in pairs if (int(pair.case) <= LAST_CT) == (self.modality == "CT")]
        return records_of(
            folder,
            wanted,
            dataset=self.look.dataset,
            adapter=f"amos@{self.version}",
            modality=self.modality,
            source=source_of(folder),
        )

    def tree(self) -> str:
        return "amos22/\n  dataset.json\n  imagesTr/amos_NNNN.nii.gz\n  labelsTr/amos_NNNN.nii.gz\n  imagesVa/ labelsVa/ imagesTs/"

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Test cases lie in `imagesVa`, the others in `imagesTr`, one MR scan among them."""
        claim(folder)
        held_out = frozenset(read_list(SPLITS, *self.look.unseen)) if self.look.unseen else frozenset()
        written: list[Path] = []
        listed: dict[str, list[dict[str, str]]] = {"training": [], "validation": []}
        for case in [*case_ids, MR_SCAN]:
            part = "Va" if case in held_out else "Tr"
            name = f"amos_{case}.nii.gz"
            pair = Pair(case, folder / f"images{part}" / name, folder / f"labels{part}" / name)
            written += write_pair(self.look, pair, size, modality="t1" if case == MR_SCAN else "")
            entry = {"image": f"./images{part}/{name}", "label": f"./labels{part}/{name}"}
            listed["validation" if part == "Va" else "training"].append(entry)
        write_json(folder / "dataset.json", {"name": "AMOS", "modality": {"0": "CT"}, **listed})
        seal(folder, size, case_ids, [*written, folder / "dataset.json"])


def _numbered(folder: Path) -> list[tuple[str, Path]]:
    return [(match[1], path) for stem, path in volumes_in(folder) if (match := NAME.fullmatch(stem))]
