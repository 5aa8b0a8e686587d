"""CHAOS's MR part: DICOM series of two sequences per patient, masks as one PNG per slice.

Source   chaos.grand-challenge.org, Zenodo 3431873; Kavur et al., Medical Image Analysis 2021
Quirks   T1-DUAL has two series (in and out of phase) that share one mask and the numbers of their files; T2-SPIR has one
         series, shown twice here so that both sequences have two channels; pictures and files pair by their order and never by
         number; organs are grey bands around 63, 126, 189 and 252; the hidden test part has no `Ground`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.atomic import write_bytes
from bench.data.axes import Affine
from bench.data.dicom import ordered, write_series
from bench.data.find import first_within
from bench.data.place import Place
from bench.data.slices import encode_png
from tasks.layouts.nifti_pairs import coded
from tasks.layouts.phantom_case import Look, Size, claim, draw_number, seal, source_of

PARTS = ("Train_Sets/MR", "Test_Sets/MR", "MR")
SEQUENCES = {
    "T1DUAL": ("DICOM_anon/InPhase", "DICOM_anon/OutPhase"),
    "T2SPIR": ("DICOM_anon", "DICOM_anon"),
}
CONTRASTS = {"T1DUAL": ("in_phase", "opposed_phase"), "T2SPIR": ("t2_spir",)}
GREYS = {1: 63, 2: 126, 3: 189, 4: 252}
SUBMITTED = {"Task5": GREYS, "Task3": {1: GREYS[1]}}  # the challenge's two MR tasks, by label


@dataclass(frozen=True, kw_only=True)
class Chaos:
    """Volumes as cases `<patient>_<sequence>`, grouped by patient; the CT part is left alone. A sequence that lacks of a labelled
    patient is still a case, without a mask: lists name patients, and half of one would pass for the whole."""

    look: Look
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: bool(_homes(folder)))

    def records(self, folder: Path) -> list[Record]:
        source = source_of(folder)
        return [
            self._record(folder, home, sequence, source == "phantom")
            for home in _homes(folder)
            for sequence in SEQUENCES
            if (home / sequence).is_dir() or _labelled(home)
        ]

    def tree(self) -> str:
        return (
            "Train_Sets/MR/<patient>/\n  T1DUAL/DICOM_anon/InPhase/IMG-*.dcm   OutPhase/IMG-*.dcm\n  T1DUAL/Ground/IMG-*.png\n"
            "  T2SPIR/DICOM_anon/IMG-*.dcm\n  T2SPIR/Ground/IMG-*.png\n(Test_Sets/MR/<patient>/ alike, without Ground)"
        )

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Whole patients; every second one's files are numbered from the head down; one hidden patient. Needs the extra dicom."""
        claim(folder)
        written: list[Path] = []
        for patient in dict.fromkeys(case.partition("_")[0] for case in case_ids):
            written += self._write(folder / PARTS[0] / patient, patient, size, labelled=True)
        written += self._write(folder / PARTS[1] / "4", "4", size, labelled=False)
        seal(folder, size, case_ids, written)

    def write_submission(
        self, out: Path, folder: Path, record: Record, labels: NDArray[np.uint8], affine: Affine
    ) -> list[Path]:
        """One picture per slice, named as the slice: Task 5 (all four organs in MR) and Task 3 (the liver alone)."""
        first = record.images[0]
        slices = ordered(Place(folder / first.path, first.path, first.format, "image", None, record))
        written: list[Path] = []
        for task, greys in SUBMITTED.items():
            pictures = coded(labels, {label: greys.get(label, 0) for label in GREYS}).astype(np.uint8)
            results = out / task / "MR" / record.patient_id / record.contrast / "Results"
            for z, one in enumerate(slices):
                written.append(results / f"{one.path.stem}.png")
                write_bytes(written[-1], encode_png(pictures[:, :, z].T))
        return written

    def _write(self, home: Path, patient: str, size: Size, *, labelled: bool) -> list[Path]:
        written: list[Path] = []
        backwards = draw_number("chaos", patient, "backwards") % 2 == 0
        for sequence, contrasts in CONTRASTS.items():
            views = [self.look.draw([patient], size, contrast)[0][1] for contrast in contrasts]
            affine, (mask, *images) = self.look.stored(patient, views[0].label, *(view.image for view in views))
            step = len(images)
            for channel, image in enumerate(images):
                folder = home / sequence / SEQUENCES[sequence][channel]
                files = write_series(
                    folder, image * (1500 / float(image.max())), affine=affine, name=f"chaos|{patient}|{sequence}|{channel}",
                    intercept=0.0, modality="MR", patient=patient, backwards=backwards,
                )  # fmt: skip
                names = [f"IMG-0004-{step * int(path.stem[2:]) + channel:05d}" for path in files]
                written += [path.rename(path.with_name(f"{name}.dcm")) for path, name in zip(files, names, strict=True)]
                if labelled and channel == 0:
                    ground = home / sequence / "Ground"
                    for z, name in enumerate(names):
                        written.append(ground / f"{name}.png")
                        write_bytes(written[-1], encode_png(coded(mask[:, :, z], GREYS).T.astype(np.uint8)))
        return written

    def _record(self, folder: Path, home: Path, sequence: str, phantom: bool) -> Record:
        at = home / sequence
        ground = at / "Ground"
        return Record(
            dataset=self.look.dataset,
            adapter_version=f"chaos@{self.version}",
            case_id=f"{home.name}_{sequence}",
            patient_id=home.name,
            group=home.name,
            images=tuple(
                ImageFile(path=(at / series).relative_to(folder).as_posix(), format="dicom", channel=c)
                for c, series in enumerate(SEQUENCES[sequence])
            ),
            label=LabelFile(kind="mask", path=ground.relative_to(folder).as_posix(), format="series_masks")
            if ground.is_dir()
            else LabelFile(),
            modality="MR",
            contrast=sequence,
            source="phantom" if phantom else "real",
        )


def _labelled(home: Path) -> bool:
    return any((home / sequence / "Ground").is_dir() for sequence in SEQUENCES)


def _homes(folder: Path) -> list[Path]:
    """The folders of patients, of all parts that are there, by number."""
    found = [path for part in PARTS for path in (folder / part).glob("[0-9]*") if path.name.isdigit() and path.is_dir()]
    return sorted(
        (path for path in found if any((path / sequence).is_dir() for sequence in SEQUENCES)),
        key=lambda path: int(path.name),
    )
