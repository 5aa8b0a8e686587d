"""A chest CT with its findings and its report, all from one latent person.

Several reconstructions of one scan share the person, the findings and the report, and differ in what the scanner adds: noise,
texture and kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.phantoms.body import Person, person
from bench.phantoms.canvas import Canvas
from bench.phantoms.chest_signs import enlarged_heart, paint_findings
from bench.phantoms.drawing import draw
from bench.phantoms.findings import Finding, findings_of, flags
from bench.phantoms.scanner import ct, site_of
from bench.phantoms.wording import Report, report_of


@dataclass(frozen=True, kw_only=True)
class ChestPhantom:
    """One finished chest. `image` int16 HU in RAS (x, y, z) order; `answers` one 1 or 0 per name of `FINDINGS`."""

    image: NDArray[np.int16]
    spacing_mm: tuple[float, float, float]
    findings: tuple[Finding, ...]
    answers: tuple[int, ...]
    report: Report


def make_chest(
    scan: str,
    *,
    preset: str,
    dataset: str,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    reconstruction: int = 1,
    test_site: bool = False,
) -> ChestPhantom:
    """Make one chest from its name alone: the person and the report follow from (preset, dataset, scan).

    Raises SpecError for a grid below 8 voxels along an axis.
    """
    someone = person(preset, dataset, scan)
    findings = findings_of(someone)
    someone = with_heart(replace(someone, lesions=()), findings)

    def signs(canvas: Canvas) -> None:
        paint_findings(canvas, someone, findings)

    drawing = draw(someone, "chest", shape, signs=signs)
    scanned = replace(someone, key=(*someone.key, f"reconstruction {reconstruction}"))
    image = ct(drawing, scanned, site_of(scanned, test_site=test_site))
    report = report_of(someone, findings)
    return ChestPhantom(image=image, spacing_mm=spacing_mm, findings=findings, answers=flags(findings), report=report)


def with_heart(someone: Person, findings: tuple[Finding, ...]) -> Person:
    """The person with the heart that the findings call for: an ordinary one, or an enlarged one."""
    large = next((finding for finding in findings if finding.name == "cardiomegaly"), None)
    ordinary = min(someone.scale["heart"], 1.06)
    size = ordinary if large is None else enlarged_heart(large)
    return replace(someone, scale={**someone.scale, "heart": size})
