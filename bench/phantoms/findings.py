"""What a radiologist would find in the chest of one latent person: the eighteen findings of CT-RATE with side, place and size.

Source   the list and order of CT-RATE's label table (Hamamci et al., arXiv 2403.17834); how often each occurs is ours, so that
         a handful of people shows both answers to most of them
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from bench.phantoms.body import Person

Side = Literal["right", "left", "both"]
Lobe = Literal["upper", "middle", "lower"]
DEGREES = ("mild", "moderate", "severe")

# name: how often it is there, by how much more at 85 than at 25 years
OCCURRENCE: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "medical-material": (0.25, 0.10),
        "arterial-wall-calcification": (0.15, 0.55),
        "cardiomegaly": (0.25, 0.15),
        "pericardial-effusion": (0.30, 0.0),
        "coronary-artery-wall-calcification": (0.15, 0.50),
        "hiatal-hernia": (0.25, 0.20),
        "lymphadenopathy": (0.35, 0.0),
        "emphysema": (0.25, 0.30),
        "atelectasis": (0.40, 0.0),
        "lung-nodule": (0.50, 0.0),
        "lung-opacity": (0.45, 0.0),
        "pulmonary-fibrotic-sequela": (0.25, 0.25),
        "pleural-effusion": (0.35, 0.0),
        "mosaic-attenuation-pattern": (0.30, 0.0),
        "peribronchial-thickening": (0.35, 0.0),
        "consolidation": (0.40, 0.0),
        "bronchiectasis": (0.30, 0.10),
        "interlobular-septal-thickening": (0.30, 0.0),
    }
)
FINDINGS: tuple[str, ...] = tuple(OCCURRENCE)
ONE_SIDED = frozenset(
    {
        "medical-material",
        "atelectasis",
        "lung-nodule",
        "lung-opacity",
        "consolidation",
        "bronchiectasis",
        "pulmonary-fibrotic-sequela",
    }
)
HEDGED_RATIO = 0.15


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding that is there. `side` right is +x; `degree` 0, 1, 2 is mild, moderate, severe; `hedged` marks doubt."""

    name: str
    side: Side
    lobe: Lobe
    size_mm: int
    count: int
    degree: int
    hedged: bool


def findings_of(person: Person) -> tuple[Finding, ...]:
    """The findings of a person in the order of `FINDINGS`; each depends on the person's key and its own name only."""
    drawn = ((name, person.stream(f"finding {name}")) for name in FINDINGS)
    return tuple(_drawn(name, random) for name, random in drawn if random.random() < chance_of(name, person.age_years))


def chance_of(name: str, age_years: int) -> float:
    """How likely a finding is at an age: linear between 25 and 85 years."""
    least, more = OCCURRENCE[name]
    return least + more * (age_years - 25) / 60


def flags(findings: Sequence[Finding]) -> tuple[int, ...]:
    """One 1 or 0 per name of `FINDINGS`, as CT-RATE's label table has them."""
    there = {finding.name for finding in findings}
    return tuple(int(name in there) for name in FINDINGS)


def _drawn(name: str, random: np.random.Generator) -> Finding:
    sides: tuple[Side, ...] = ("right", "left") if name in ONE_SIDED else ("right", "left", "both")
    side = sides[int(random.integers(len(sides)))]
    lobes: tuple[Lobe, ...] = ("upper", "middle", "lower") if side == "right" else ("upper", "lower")
    return Finding(
        name=name,
        side=side,
        lobe=lobes[int(random.integers(len(lobes)))],
        size_mm=int(random.integers(7, 26)),
        count=int(random.integers(1, 4)),
        degree=int(random.integers(3)),
        hedged=bool(random.random() < HEDGED_RATIO),
    )
