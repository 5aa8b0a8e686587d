"""What up to four readers drew and judged in one LIDC-IDRI scan, and which of their outlines are one nodule.

Source   Armato et al., Medical Physics 2011; the XML that TCIA ships beside the slices
Rule     ours (no official one exists): outlines belong together where their centres lie closer than a nodule's radius and no
         reader has two of them; three readers at least, or one where a protocol asks for no more; the median of malignancy 1 to
         5, below 3 benign, above 3 malignant, 3 dropped (the wording of AR and MedMNIST)
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.contracts.errors import DataUnsound
from bench.data.dicom import Slice

READERS_NEEDED = 3
LEAST_RADIUS_MM = 1.5
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Outline:
    """One reader's nodule: its centre in LPS mm, its radius in mm (of the largest slice), and malignancy 1 to 5."""

    reader: int
    centre_mm: Point
    radius_mm: float
    malignancy: int


@dataclass(frozen=True)
class Nodule:
    """Outlines that are one nodule."""

    outlines: tuple[Outline, ...]

    @property
    def centre_mm(self) -> Point:
        x, y, z = (sum(o.centre_mm[axis] for o in self.outlines) / len(self.outlines) for axis in range(3))
        return x, y, z

    @property
    def radius_mm(self) -> float:
        return max(LEAST_RADIUS_MM, *(o.radius_mm for o in self.outlines))

    def label(self, readers: int = READERS_NEEDED) -> int | None:
        """0 benign, 1 malignant, None where fewer than so many readers judged it or their median is 3."""
        middle = median(o.malignancy for o in self.outlines)
        return None if len(self.outlines) < readers or middle == 3 else int(middle > 3)


def readings(path: Path, head: Slice, case: str) -> list[Outline]:
    """The outlined nodules of an XML file; pixels become mm by the header of a slice of the scan.

    Raises DataUnsound for a file that is no such XML. Marks of nodules below 3 mm have no outline and no judgement.
    """
    try:
        root = ElementTree.parse(path).getroot()
        sessions = [part for part in root.iter() if _name(part) == "readingSession"]
        found = []
        for reader, session in enumerate(sessions):
            for mark in (part for part in session if _name(part) == "unblindedReadNodule"):
                outline = _outline(mark, reader, head)
                found += [outline] if outline is not None else []
    except (ElementTree.ParseError, ValueError, OSError) as error:
        raise DataUnsound(
            f"'{path.name}' cannot be read as readers' marks ({error}).", case=case, remedy="Fetch it again."
        ) from None
    return found


def is_of_scan(path: Path) -> bool:
    """Whether an XML file holds marks in a CT (those of radiographs have another root)."""
    try:
        with path.open("rb") as file:
            return b"LidcReadMessage" in file.read(2048)
    except OSError:
        return False


def nodules(outlines: Sequence[Outline]) -> list[Nodule]:
    """Outlines put together, from head to foot of the table: by z, then y, then x of their centres.

    Each outline, the largest first, joins the nearest nodule that it touches and that its reader has not drawn yet.
    """
    found: list[list[Outline]] = []
    for outline in sorted(outlines, key=lambda o: (-o.radius_mm, o.reader, o.centre_mm)):
        near = [
            (math.dist(outline.centre_mm, Nodule(tuple(group)).centre_mm), k)
            for k, group in enumerate(found)
            if outline.reader not in {other.reader for other in group}
        ]
        near = [(distance, k) for distance, k in near if distance < Nodule(tuple(found[k])).radius_mm]
        if near:
            found[min(near)[1]].append(outline)
        else:
            found.append([outline])
    whole = [Nodule(tuple(sorted(group, key=lambda o: o.reader))) for group in found]
    return sorted(whole, key=lambda nodule: nodule.centre_mm[::-1])


def _outline(mark: ElementTree.Element, reader: int, head: Slice) -> Outline | None:
    judged = next((int(part.text or 0) for part in mark.iter() if _name(part) == "malignancy"), 0)
    slices = []
    for roi in (part for part in mark if _name(part) == "roi"):
        if _text(roi, "inclusion").upper() == "FALSE":  # a hole
            continue
        points = [(float(_text(p, "xCoord")), float(_text(p, "yCoord"))) for p in roi if _name(p) == "edgeMap"]
        slices.append((float(_text(roi, "imageZposition")), points))
    if not 1 <= judged <= 5 or not any(len(points) > 2 for _, points in slices):
        return None
    assert head.spacing_mm is not None and head.position is not None
    drawn = [(z, points) for z, points in slices if points]
    count = sum(len(points) for _, points in drawn)
    column = sum(x for _, points in drawn for x, _ in points) / count
    row = sum(y for _, points in drawn for _, y in points) / count
    height = sum(z for z, _ in drawn) / len(drawn)
    pixel = head.spacing_mm[0] * head.spacing_mm[1]
    radius = math.sqrt(max(_area(points) for _, points in drawn) * pixel / math.pi)
    centre = (head.position[0] + column * head.spacing_mm[1], head.position[1] + row * head.spacing_mm[0], height)
    return Outline(reader, centre, radius, judged)


def _area(points: Sequence[tuple[float, float]]) -> float:
    """The area of a polygon in pixels."""
    ahead = [*points[1:], points[0]]
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(points, ahead, strict=True))) / 2


def _text(part: ElementTree.Element, name: str) -> str:
    found = next((child.text for child in part if _name(child) == name), None)
    if found is None:
        raise ValueError(f"a mark without {name}")
    return found.strip()


def _name(part: ElementTree.Element) -> str:
    return part.tag.rpartition("}")[2]
