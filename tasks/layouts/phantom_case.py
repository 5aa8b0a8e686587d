"""What every layout's phantoms share: how a case is drawn, how its grid is told, and the mark that keeps it from real data."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts.configs import Shape3, Spacing
from bench.contracts.errors import SpecError
from bench.contracts.protocols import Layout, SplitRule
from bench.contracts.record import Source
from bench.data.atomic import write_json
from bench.data.axes import Affine, as_affine, axis_order
from bench.data.roster import roster_of
from bench.data.splits import lists, read_list
from bench.phantoms import GENERATOR_VERSION, Phantom, make_phantom

MARK = "PHANTOM.json"
UNFINISHED = "PHANTOM.unfinished.json"
SPLITS = Path(__file__).parent.parent / "splits"
Size = Literal["smoke", "mini"]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a layout's phantoms look: the view and modality of `bench.phantoms`, and voxels (x, y, z) per size.

    `unseen` names a list in `tasks/splits/` (file, key) whose cases come from scanners that no training case has seen.
    `orientations` are the axis codes in which files are stored, one per case by its name; `oblique_every` n turns the
    grid of about one case in n by up to 5 degrees (0: none); `sloped_every` n stores about one image in n under a slope and
    an intercept (0: none).
    """

    dataset: str
    view: str
    modality: str
    smoke: Shape3
    mini: Shape3
    spacing_mm: Spacing = (1.0, 1.0, 1.0)
    unseen: tuple[str, str] | None = None
    orientations: tuple[str, ...] = ("RAS",)
    oblique_every: int = 0
    sloped_every: int = 0

    def shape(self, size: Size) -> Shape3:
        return self.smoke if size == "smoke" else self.mini

    def draw(
        self, cases: Sequence[str], size: Size, modality: str = "", filled: float = 1.0
    ) -> list[tuple[str, Phantom]]:
        """Every case with its phantom; each depends on its own name only. `filled` as in `make_phantom`."""
        unseen = frozenset(read_list(SPLITS, *self.unseen)) if self.unseen else frozenset()
        return [(case, self._one(case, size, modality or self.modality, case in unseen, filled)) for case in cases]

    def _one(self, case: str, size: Size, modality: str, unseen: bool, filled: float) -> Phantom:
        return make_phantom(
            self.view,
            case,
            preset=size,
            dataset=self.dataset,
            shape=self.shape(size),
            spacing_mm=self.spacing_mm,
            modality=modality,
            test_site=unseen,
            filled=filled,
        )

    def stored(self, case: str, *arrays: NDArray[Any]) -> tuple[Affine, tuple[NDArray[Any], ...]]:
        """The arrays of a case (RAS in) in the axis order in which its file stores them, and that file's affine."""
        affine = np.diag([*self.spacing_mm, 1.0])
        affine[:3, 3] = [-(n - 1) / 2 * mm for n, mm in zip(arrays[0].shape, self.spacing_mm, strict=True)]
        if self.oblique_every and draw_number(self.dataset, case, "oblique") % self.oblique_every == 0:
            affine = _turned(draw_number(self.dataset, case, "angle") % 50 / 10) @ affine
        code = self.orientations[draw_number(self.dataset, case, "axes") % len(self.orientations)]
        turn = _to_orientation(code, arrays[0].shape)
        told = as_affine(affine @ turn)
        return told, tuple(np.ascontiguousarray(axis_order(as_affine(turn)).to_native(array)) for array in arrays)

    def slope(self, case: str) -> tuple[float, float]:
        """Slope and intercept under which a case's image is stored."""
        sloped = self.sloped_every and draw_number(self.dataset, case, "slope") % self.sloped_every == 0
        return (0.5, -1024.0) if sloped else (1.0, 0.0)


def held_out(rule: SplitRule | None, layout: Layout) -> frozenset[str]:
    """The units that a split tests in fold 0, for phantoms of a layout: no training case has seen their scanners."""
    return frozenset(lists(rule, SPLITS, 0, roster_of(layout, None)).test) if rule else frozenset()


def draw_number(*parts: str) -> int:
    """A number that belongs to a name, for the habits of single files (axis order, coding)."""
    return int.from_bytes(hashlib.sha256("|".join(parts).encode()).digest()[:4], "big")


def claim(folder: Path) -> None:
    """Take a folder for phantoms before the first file is written. Raises SpecError where files lie that may be real.

    The sign stands first, so that a writing that is cut short leaves nothing that could pass for real.
    """
    if folder.is_dir() and source_of(folder) == "real" and any(folder.iterdir()):
        raise SpecError(
            f"{folder} holds files and no {MARK}, so they may be real; phantoms are not written among them.",
            case=folder.name,
            remedy="Name an empty folder.",
        )
    write_json(folder / UNFINISHED, {"generator": f"bench.phantoms {GENERATOR_VERSION}"})


def seal(folder: Path, size: Size, cases: Iterable[str], files: Iterable[Path]) -> None:
    """Write `PHANTOM.json`: generator, size, cases, and every file with its sha256. Earlier cases of the folder stay."""
    before = marked(folder)
    hashes = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    mark = {
        "generator": f"bench.phantoms {GENERATOR_VERSION}",
        "size": size,
        "seed": "sha256(size|dataset|case|stage)",
        "licence": "CC0-1.0",
        "cases": sorted({*before.get("cases", []), *cases}),
        "files": {**before.get("files", {}), **hashes},
    }
    write_json(folder / MARK, mark)
    (folder / UNFINISHED).unlink(missing_ok=True)


def marked(folder: Path) -> Mapping[str, Any]:
    """What `PHANTOM.json` of a folder says; empty where there is none."""
    path = folder / MARK
    content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content


def source_of(folder: Path) -> Source:
    """`phantom` where the folder bears the mark, so that a made-up case can never pass for a real one."""
    return "phantom" if (folder / MARK).is_file() or (folder / UNFINISHED).is_file() else "real"


def _to_orientation(code: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The 4 x 4 matrix from a file's voxel indices in axis order `code` to RAS indices of an array of `shape`."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    for axis, letter in enumerate(code):
        canonical = next(i for i, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        backwards = letter in "LPI"
        matrix[canonical, axis] = -1.0 if backwards else 1.0
        matrix[canonical, 3] = shape[canonical] - 1 if backwards else 0.0
    return matrix


def _turned(degrees: float) -> NDArray[np.float64]:
    """A turn about the z axis, so that a phantom's grid is oblique as a tilted patient's would be."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
