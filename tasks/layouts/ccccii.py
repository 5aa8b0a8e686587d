"""CC-CCII as its archives unpack: class, patient, scan, and one grey picture per slice.

Source   ncov-ai.big.ac.cn; Zhang et al., Cell 2020
Quirks   slices are windowed bytes and hold no voxel size, so a scan counts as one of anisotropy 1 unless a user tells
         `slice_mm`; some scans run from foot to head, some hold slices twice (the cleaned lists of HKBU name them; nothing is
         mended here)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.contracts.configs import Shape3, Spacing
from bench.contracts.protocols import SplitRule
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.atomic import write_bytes
from bench.data.find import first_within
from bench.data.slices import ENDINGS, encode_png
from bench.phantoms import make_phantom
from bench.phantoms.body import stream
from bench.phantoms.factors import latent
from bench.phantoms.opacities import with_opacities
from tasks.layouts.phantom_case import SPLITS, Size, claim, draw_number, held_out, seal, source_of

FOLDERS = ("Normal", "CP", "NCP")  # class 0, 1, 2
COUNTED_MM: Spacing = (1.0, 1.0, 2.0)  # no size is known; anisotropy 1 is what the papers' recipes come closest to
WINDOW_HU = (-1000.0, 400.0)  # of phantoms


@dataclass(frozen=True, kw_only=True)
class Ccccii:
    """Folders `Normal`, `CP` and `NCP`, each with patients, each with scans.

    `unseen` is the split whose test part reserved scanners take, in phantoms.
    """

    smoke: Shape3 = (64, 64, 8)
    mini: Shape3 = (96, 96, 24)
    phantom_parts: Mapping[Size, tuple[int, int, int]] = field(
        default_factory=lambda: {"smoke": (9, 6, 6), "mini": (90, 18, 36)}, hash=False
    )
    unseen: SplitRule | None = field(default=None, hash=False)
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: all((folder / name).is_dir() for name in FOLDERS))

    def records(self, folder: Path) -> list[Record]:
        """One record per scan that holds a picture, from names alone."""
        source = source_of(folder)
        return [
            Record(
                dataset="ccccii",
                adapter_version=f"ccccii@{self.version}",
                case_id=f"p{patient.name}-s{scan.name}",
                patient_id=patient.name,
                group=f"{name}/{patient.name}",
                images=(ImageFile(path=scan.relative_to(folder).as_posix(), format="slices"),),
                label=LabelFile(kind="class", value=value, format="table"),
                modality="CT",
                spacing=COUNTED_MM,
                intensity="raw",
                source=source,
            )
            for value, name in enumerate(FOLDERS)
            for patient in _folders(folder / name)
            for scan in _folders(patient)
            if any(path.suffix.lower() in ENDINGS for path in scan.iterdir())
        ]

    def tree(self) -> str:
        return "NCP/<patient>/<scan>/<NNNN>.png (or .jpg)\nCP/... and Normal/... likewise (all archives unpacked into one folder)"

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Chests with opacities in the lung window, as pictures; every third scan runs from foot to head."""
        claim(folder)
        classes = _classes()
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        unseen = held_out(self.unseen, self)
        files = [file for case in case_ids for file in self._write(folder, case, classes[case], size, case in unseen)]
        seal(folder, size, case_ids, files)

    def _write(self, folder: Path, case: str, value: int, size: Size, unseen: bool) -> list[Path]:
        shape, key = self.smoke if size == "smoke" else self.mini, (size, "ccccii", case)
        chest = make_phantom(
            "chest", case, preset=size, dataset="ccccii", shape=shape, spacing_mm=(1.0, 1.0, 1.0), modality="ct",
            test_site=unseen,
        )  # fmt: skip
        signs = latent("ccccii", len(FOLDERS), value, *key)
        array = with_opacities(np.asarray(chest.image, np.int16), signs, stream(*key, "opacities"))
        low, high = WINDOW_HU
        grey = np.clip(np.rint((array - low) / (high - low) * 255), 0, 255).astype(np.uint8)
        upwards = draw_number("ccccii", case, "order") % 3 == 0
        patient, _, scan = case.removeprefix("p").partition("-s")
        written = []
        for k in range(shape[2]):
            plane = grey[::-1, ::-1, k if upwards else shape[2] - 1 - k]
            path = folder / FOLDERS[value] / patient / scan / f"{k:04d}.png"
            write_bytes(path, encode_png(np.ascontiguousarray(plane.T)))
            written.append(path)
        return written


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _classes() -> dict[str, int]:
    """The class of every scan that the published folds name."""
    lines = (SPLITS / "ccccii_folds.csv").read_text(encoding="utf-8").splitlines()[2:]
    rows = [line.split(",") for line in lines]
    return {f"p{patient}-s{scan}": FOLDERS.index(label) for label, patient, scan, _ in rows}
