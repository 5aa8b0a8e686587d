"""What a disease of the chest puts in place of a tissue: fluid, calcium, metal, denser or emptier lung.

Source   densities of the order found in radiology textbooks, rounded. They stand apart from `Tissue`, whose list decides the
         voxels of every other phantom
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from bench.phantoms.tissue import Look


class Sign(IntEnum):
    """Number of each sign in a drawing, above all tissues."""

    METAL = 128
    CALCIUM = 129
    FLUID = 130
    NODE = 131
    NODULE = 132
    BULLA = 133
    COLLAPSED = 134
    GROUND_GLASS = 135
    SCAR = 136
    TRAPPED_AIR = 137
    DENSE_LUNG = 138
    THICK_WALL = 139
    CONSOLIDATED = 140
    WIDE_BRONCHUS = 141
    SEPTUM = 142


SIGN_LOOKS: Mapping[Sign, Look] = MappingProxyType(
    {
        Sign.METAL: Look(2600, 0, 0, (0, 0, 0)),
        Sign.CALCIUM: Look(850, 0, 0, (40, 40, 20)),
        Sign.FLUID: Look(8, 0, 3, (2, 2, 2)),
        Sign.NODE: Look(42, 0, 30, (4, 5, 3)),
        Sign.NODULE: Look(35, 0, 30, (12, 12, 8)),
        Sign.BULLA: Look(-985, 0, 0, (6, 4, 3)),
        Sign.COLLAPSED: Look(36, 0, 40, (8, 8, 5)),
        Sign.GROUND_GLASS: Look(-520, 0, 6, (40, 45, 25)),
        Sign.SCAR: Look(-30, 0, 6, (25, 20, 10)),
        Sign.TRAPPED_AIR: Look(-925, 0, 4, (10, 10, 8)),
        Sign.DENSE_LUNG: Look(-720, 0, 8, (16, 18, 14)),
        Sign.THICK_WALL: Look(10, 0, 20, (10, 8, 5)),
        Sign.CONSOLIDATED: Look(28, 0, 34, (14, 14, 8)),
        Sign.WIDE_BRONCHUS: Look(-960, 0, 0, (8, 5, 3)),
        Sign.SEPTUM: Look(-250, 0, 8, (25, 20, 10)),
    }
)
