"""ACDC's tree: `training/patientNNN` with `Info.cfg`, the cine series and the two labelled frames; `testing` alike.

Source   humanheart-project.creatis.insa-lyon.fr; Bernard et al., IEEE TMI 2018
Quirks   which frames are labelled stands in `Info.cfg` (ED, ES) and nowhere else: the end of filling is not always frame 1;
         the cine series is 4-D and has no mask; a patient's two frames are two cases of one group
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.contracts.errors import DataUnsound
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.atomic import write_text
from bench.data.find import first_within
from bench.data.splits import read_list
from bench.data.volumes import write_nifti
from tasks.layouts.phantom_case import SPLITS, Look, Size, claim, draw_number, seal, source_of

PARTS = ("training", "testing", "database/training", "database/testing", "")
PATIENT = re.compile(r"patient(\d{3})")
PHASES = ("ED", "ES")
OFFICIAL_TRAINING = 100  # patients; higher numbers are those of the testing part
EMPTIED = 0.78  # radii of both cavities at the end of contraction, relative to the end of filling
GROUPS = ("NOR", "MINF", "DCM", "HCM", "RV")


@dataclass(frozen=True, kw_only=True)
class Acdc:
    """Labelled frames as cases `NNN_frameFF`, as the published list writes them, grouped by `patientNNN`."""

    look: Look
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: bool(_patients(folder)))

    def records(self, folder: Path) -> list[Record]:
        """Both frames of every patient. Raises DataUnsound where `Info.cfg` is absent or tells no frame."""
        source = source_of(folder)
        return sorted(
            (
                self._record(folder, home, info, phase, source == "phantom")
                for home in _patients(folder)
                for info in [_info(home)]
                for phase in PHASES
            ),
            key=lambda record: record.case_id,
        )

    def tree(self) -> str:
        return (
            "database/training/patientNNN/\n  Info.cfg   (ED, ES, Group, Height, NbFrame, Weight)\n  patientNNN_4d.nii.gz\n"
            "  patientNNN_frameFF.nii.gz\n  patientNNN_frameFF_gt.nii.gz\n(testing/ alike, patients 101 to 150)"
        )

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Whole patients, whether a list names them or one of their frames; the frames are those of the published list, which
        names none of the testing part."""
        claim(folder)
        frames: dict[str, list[int]] = {}
        for name in read_list(SPLITS, "acdc_mg3d.json", "all"):
            frames.setdefault(f"patient{name[:3]}", []).append(int(name[-2:]))
        patients = dict.fromkeys(name if PATIENT.fullmatch(name) else f"patient{name[:3]}" for name in case_ids)
        written = [
            path
            for patient in patients
            for path in self._write(folder, patient, frames.get(patient) or _drawn_frames(patient), size)
        ]
        seal(folder, size, case_ids, written)

    def _write(self, folder: Path, patient: str, frames: Sequence[int], size: Size) -> list[Path]:
        home = folder / ("training" if int(patient[-3:]) <= OFFICIAL_TRAINING else "testing") / patient
        filled, empty = sorted(frames)
        count = empty + 3
        ((_, full),) = self.look.draw([patient], size)
        ((_, small),) = self.look.draw([patient], size, filled=EMPTIED)
        scale = 4095 / float(full.image.max())
        affine, (*images, ed_mask, es_mask) = self.look.stored(
            patient, full.image * scale, small.image * scale, full.label, small.label
        )
        ends = dict(zip((filled, empty), images, strict=True))
        series = np.stack([_between(ends, frame) for frame in range(1, count + 1)], axis=-1)
        paths = [home / f"{patient}_4d.nii.gz"]
        write_nifti(paths[0], np.rint(series), affine=affine, dtype=np.int16)
        for frame, mask in ((filled, ed_mask), (empty, es_mask)):
            stem = home / f"{patient}_frame{frame:02d}"
            paths += [stem.with_name(f"{stem.name}.nii.gz"), stem.with_name(f"{stem.name}_gt.nii.gz")]
            write_nifti(paths[-2], np.rint(series[..., frame - 1]), affine=affine, dtype=np.int16)
            write_nifti(paths[-1], mask, affine=affine, dtype=np.uint8)
        group = GROUPS[draw_number(patient, "group") % len(GROUPS)]
        told = {"ED": filled, "ES": empty, "Group": group, "Height": 170.0, "NbFrame": count, "Weight": 70.0}
        paths.append(home / "Info.cfg")
        write_text(paths[-1], "".join(f"{key}: {value}\n" for key, value in told.items()))
        return paths

    def _record(self, folder: Path, home: Path, info: Mapping[str, str], phase: str, phantom: bool) -> Record:
        stem = home / f"{home.name}_frame{int(info[phase]):02d}"
        image = _packed_or_plain(stem.with_name(f"{stem.name}.nii.gz"))
        label = _packed_or_plain(stem.with_name(f"{stem.name}_gt.nii.gz"))
        return Record(
            dataset=self.look.dataset,
            adapter_version=f"acdc@{self.version}",
            case_id=stem.name.removeprefix("patient"),
            patient_id=home.name,
            group=home.name,
            images=(ImageFile(path=image.relative_to(folder).as_posix(), format="nifti"),),
            label=LabelFile(kind="mask", path=label.relative_to(folder).as_posix()) if label.is_file() else LabelFile(),
            modality="MR",
            contrast="cine",
            source="phantom" if phantom else "real",
            meta={"phase": phase, "diagnosis": info.get("Group", "")},
        )


def _drawn_frames(patient: str) -> list[int]:
    """Two labelled frames of a patient that no list tells: the first is frame 1 in four patients of five."""
    draw = draw_number(patient, "frames")
    filled = 1 if draw % 5 else 4
    return [filled, filled + 7 + draw % 6]


def _patients(folder: Path) -> list[Path]:
    """The folders of patients, of all parts that are there."""
    found = (path for part in PARTS for path in (folder / part).glob("patient[0-9]*"))
    return sorted(
        (path for path in found if PATIENT.fullmatch(path.name) and path.is_dir()), key=lambda path: path.name
    )


def _info(home: Path) -> dict[str, str]:
    """`Info.cfg` as it stands: one `key: value` a line."""
    path = home / "Info.cfg"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    lacking = [phase for phase in PHASES if not told.get(phase, "").isdigit()]
    if lacking:
        found = f"its Info.cfg tells no frame for {' and '.join(lacking)}" if lines else "it has no Info.cfg"
        raise DataUnsound(
            f"{found}, so nobody can say which frames are labelled.",
            case=home.name,
            remedy="Fetch the patient's folder again, or move it away.",
        )
    return told


def _between(ends: Mapping[int, np.ndarray], frame: int) -> np.ndarray:
    """The picture of a frame: the heart empties from the first labelled frame to the second and fills again."""
    (begin, full), (end, empty) = sorted(ends.items())
    share = (
        min(1.0, abs(frame - begin) / (end - begin)) if frame <= end else max(0.0, 1 - (frame - end) / (end - begin))
    )
    mixed: np.ndarray = full + share * (empty - full)
    return mixed


def _packed_or_plain(path: Path) -> Path:
    plain = path.with_name(path.name.removesuffix(".gz"))
    return plain if plain.is_file() and not path.is_file() else path
