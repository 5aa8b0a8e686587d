"""What the phantom is made of: every tissue with its density in CT, its relaxation in MR and its texture.

Source   values of the order found in radiology textbooks (CT at 120 kV, MR at 1.5 T), rounded; late contrast phases
only Isodense liver and spleen, pancreas and duodenum, stomach wall and bowel wall, all vessels in the venous phase, and
         kidney cortex and portal vein are close on purpose: shape, place and texture must tell them apart
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, auto
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Tissue(IntEnum):
    """Number of each tissue in a drawing; left and right, head and tail have their own, though they look the same."""

    AIR = 0
    TABLE = auto()
    FAT = auto()
    VISCERAL_FAT = auto()
    MUSCLE = auto()
    BONE = auto()
    MARROW = auto()
    DISC = auto()
    CORD = auto()
    LUNG = auto()
    AIRWAY = auto()
    LUNG_VESSEL = auto()
    LUNG_LESION = auto()
    LEFT_ATRIUM = auto()
    ATRIAL_WALL = auto()
    ATRIAL_SCAR = auto()
    LEFT_VENTRICLE = auto()
    RIGHT_ATRIUM = auto()
    RIGHT_VENTRICLE = auto()
    MYOCARDIUM = auto()
    PULMONARY_ARTERY = auto()
    PULMONARY_VEIN = auto()
    AORTA = auto()
    VENA_CAVA = auto()
    PORTAL_VEIN = auto()
    MESENTERIC_VEIN = auto()
    OESOPHAGUS = auto()
    LIVER = auto()
    HEPATIC_VESSEL = auto()
    LIVER_LESION = auto()
    SPLEEN = auto()
    GALLBLADDER = auto()
    STOMACH_WALL = auto()
    STOMACH_FLUID = auto()
    STOMACH_GAS = auto()
    DUODENUM = auto()
    BOWEL_WALL = auto()
    BOWEL_CONTENT = auto()
    BOWEL_GAS = auto()
    PANCREAS = auto()
    PANCREAS_LESION = auto()
    RIGHT_KIDNEY_CORTEX = auto()
    RIGHT_KIDNEY_MEDULLA = auto()
    LEFT_KIDNEY_CORTEX = auto()
    LEFT_KIDNEY_MEDULLA = auto()
    RIGHT_ADRENAL = auto()
    LEFT_ADRENAL = auto()
    WHITE_MATTER = auto()
    GREY_MATTER = auto()
    CEREBROSPINAL_FLUID = auto()
    AMYGDALA = auto()
    HIPPOCAMPUS_HEAD = auto()
    HIPPOCAMPUS_TAIL = auto()
    # What came later draws no number and sets no scale of its own, so that older phantoms keep their voxels: each shares
    # the shift of a tissue above (SAME_SHIFT).
    ASCENDING_AORTA = auto()
    RIGHT_MYOCARDIUM = auto()
    COLON_LESION = auto()
    GROUND_GLASS = auto()
    CONSOLIDATION = auto()
    BLADDER = auto()
    PROSTATE_UTERUS = auto()
    GLIOMA_OEDEMA = auto()
    GLIOMA_CORE = auto()
    GLIOMA_RIM = auto()


FIRST_TISSUES = tuple(tissue for tissue in Tissue if tissue <= Tissue.HIPPOCAMPUS_TAIL)


class Look(NamedTuple):
    """How a tissue looks: density without contrast (HU), what the arterial and the venous phase add (HU), the standard
    deviation of its fine, middle and coarse texture (HU in CT, the same share of 1000 in MR), proton density (0..1),
    T1 and T2 (ms), and the share of its signal that is fat.
    """

    plain_hu: float
    arterial_hu: float
    venous_hu: float
    texture: tuple[float, float, float] = (3.0, 3.0, 2.0)
    proton_density: float = 0.85
    t1_ms: float = 800.0
    t2_ms: float = 50.0
    fat_ratio: float = 0.0


_BLOOD = Look(44, 130, 92, (3, 3, 2), 0.92, 1400, 220)
_BLOOD_LATE = Look(44, 40, 88, (3, 3, 2), 0.92, 1400, 220)
_GAS = Look(-950, 0, 0, (10, 5, 5), 0.01, 800, 20)
_CORTEX = Look(34, 110, 98, (4, 5, 3), 0.88, 950, 70)
_MEDULLA = Look(30, 40, 80, (4, 5, 3), 0.90, 1250, 90)
_ADRENAL = Look(28, 40, 42, (4, 4, 3), 0.85, 850, 65)
_GUT_WALL = Look(40, 30, 42, (4, 5, 4), 0.84, 850, 55)
_HEART_MUSCLE = Look(45, 55, 42, (4, 5, 3), 0.80, 1000, 45)
_GREY = Look(38, 4, 6, (3, 4, 3), 0.84, 1180, 95)

LOOKS: dict[Tissue, Look] = {
    Tissue.AIR: Look(-1000, 0, 0, (0, 0, 0), 0.0, 800, 20),
    Tissue.TABLE: Look(-250, 0, 0, (5, 5, 5), 0.0, 800, 20),
    Tissue.FAT: Look(-105, 0, 1, (4, 5, 4), 0.95, 270, 80, 0.9),
    Tissue.VISCERAL_FAT: Look(-95, 0, 2, (6, 9, 6), 0.93, 280, 78, 0.85),
    Tissue.MUSCLE: Look(50, 4, 10, (5, 7, 4), 0.80, 950, 40),
    Tissue.BONE: Look(420, 0, 4, (30, 30, 20), 0.25, 600, 20, 0.2),
    Tissue.MARROW: Look(170, 2, 8, (16, 16, 10), 0.80, 420, 60, 0.45),
    Tissue.DISC: Look(80, 1, 3, (6, 6, 4), 0.80, 950, 85),
    Tissue.CORD: Look(36, 1, 2, (3, 3, 2), 0.85, 950, 85),
    Tissue.LUNG: Look(-845, 6, 8, (16, 22, 25), 0.14, 1100, 35),
    Tissue.AIRWAY: _GAS,
    Tissue.LUNG_VESSEL: _BLOOD_LATE,
    Tissue.LUNG_LESION: Look(38, 22, 36, (14, 16, 10), 0.84, 1000, 70),
    Tissue.LEFT_ATRIUM: _BLOOD,
    Tissue.ATRIAL_WALL: Look(45, 50, 42, (3, 3, 2), 0.80, 1000, 45),
    Tissue.ATRIAL_SCAR: Look(45, 40, 85, (3, 3, 2), 0.84, 700, 60),
    Tissue.LEFT_VENTRICLE: _BLOOD,
    Tissue.RIGHT_ATRIUM: _BLOOD,
    Tissue.RIGHT_VENTRICLE: _BLOOD,
    Tissue.MYOCARDIUM: _HEART_MUSCLE,
    Tissue.PULMONARY_ARTERY: _BLOOD,
    Tissue.PULMONARY_VEIN: _BLOOD,
    Tissue.AORTA: _BLOOD,
    Tissue.VENA_CAVA: _BLOOD_LATE,
    Tissue.PORTAL_VEIN: Look(44, 55, 92, (3, 3, 2), 0.92, 1400, 220),
    Tissue.MESENTERIC_VEIN: Look(44, 55, 92, (3, 3, 2), 0.92, 1400, 220),
    Tissue.OESOPHAGUS: Look(40, 22, 28, (5, 6, 4), 0.82, 900, 50),
    Tissue.LIVER: Look(56, 12, 46, (4, 9, 5), 0.80, 560, 46),
    Tissue.HEPATIC_VESSEL: Look(44, 38, 84, (3, 3, 2), 0.90, 1300, 150),
    Tissue.LIVER_LESION: Look(46, 14, 28, (7, 9, 6), 0.86, 900, 80),
    Tissue.SPLEEN: Look(48, 30, 54, (9, 4, 2), 0.86, 1000, 75),
    Tissue.GALLBLADDER: Look(12, 0, 3, (2, 2, 2), 0.97, 2400, 300),
    Tissue.STOMACH_WALL: _GUT_WALL,
    Tissue.STOMACH_FLUID: Look(24, 0, 2, (10, 14, 12), 0.92, 1500, 180),
    Tissue.STOMACH_GAS: _GAS,
    Tissue.DUODENUM: Look(40, 26, 44, (6, 7, 6), 0.84, 800, 58),
    Tissue.BOWEL_WALL: _GUT_WALL,
    Tissue.BOWEL_CONTENT: Look(22, 2, 6, (16, 24, 16), 0.88, 1200, 130),
    Tissue.BOWEL_GAS: _GAS,
    Tissue.PANCREAS: Look(40, 40, 46, (8, 8, 5), 0.82, 580, 50),
    Tissue.PANCREAS_LESION: Look(38, 14, 26, (6, 6, 5), 0.85, 900, 70),
    Tissue.RIGHT_KIDNEY_CORTEX: _CORTEX,
    Tissue.RIGHT_KIDNEY_MEDULLA: _MEDULLA,
    Tissue.LEFT_KIDNEY_CORTEX: _CORTEX,
    Tissue.LEFT_KIDNEY_MEDULLA: _MEDULLA,
    Tissue.RIGHT_ADRENAL: _ADRENAL,
    Tissue.LEFT_ADRENAL: _ADRENAL,
    Tissue.WHITE_MATTER: Look(28, 2, 3, (3, 5, 6), 0.72, 760, 78),
    Tissue.GREY_MATTER: _GREY,
    Tissue.CEREBROSPINAL_FLUID: Look(6, 0, 0, (4, 4, 3), 1.0, 3800, 1200),
    Tissue.AMYGDALA: _GREY,
    Tissue.HIPPOCAMPUS_HEAD: _GREY,
    Tissue.HIPPOCAMPUS_TAIL: _GREY,
    Tissue.ASCENDING_AORTA: _BLOOD,
    Tissue.RIGHT_MYOCARDIUM: _HEART_MUSCLE,
    Tissue.COLON_LESION: Look(42, 26, 40, (7, 8, 6), 0.85, 880, 68),
    Tissue.GROUND_GLASS: Look(-560, 8, 14, (45, 55, 40), 0.40, 1100, 50),
    Tissue.CONSOLIDATION: Look(5, 12, 22, (22, 26, 16), 0.82, 1050, 70),
    Tissue.BLADDER: Look(8, 0, 6, (2, 3, 2), 0.98, 2600, 350),
    Tissue.PROSTATE_UTERUS: Look(42, 14, 34, (6, 7, 5), 0.86, 1150, 85),
    Tissue.GLIOMA_OEDEMA: Look(18, 2, 4, (3, 5, 5), 0.84, 1250, 150),
    Tissue.GLIOMA_CORE: Look(14, 4, 10, (4, 6, 5), 0.90, 1750, 230),
    Tissue.GLIOMA_RIM: Look(36, 20, 60, (5, 6, 4), 0.86, 1300, 120),
}

# Parts that carry one label, and tissues one cannot see apart, share the random shift that a case adds to their
# density.
SAME_SHIFT: tuple[tuple[Tissue, ...], ...] = (
    (Tissue.RIGHT_KIDNEY_CORTEX, Tissue.LEFT_KIDNEY_CORTEX),
    (Tissue.RIGHT_KIDNEY_MEDULLA, Tissue.LEFT_KIDNEY_MEDULLA),
    (Tissue.RIGHT_ADRENAL, Tissue.LEFT_ADRENAL),
    (Tissue.HIPPOCAMPUS_HEAD, Tissue.HIPPOCAMPUS_TAIL, Tissue.GREY_MATTER, Tissue.AMYGDALA),
    (Tissue.STOMACH_WALL, Tissue.BOWEL_WALL, Tissue.COLON_LESION),
    (Tissue.PORTAL_VEIN, Tissue.MESENTERIC_VEIN),
    (Tissue.LEFT_ATRIUM, Tissue.PULMONARY_VEIN, Tissue.LEFT_VENTRICLE, Tissue.AORTA, Tissue.ASCENDING_AORTA),
    (Tissue.RIGHT_ATRIUM, Tissue.RIGHT_VENTRICLE, Tissue.PULMONARY_ARTERY),
    (Tissue.MYOCARDIUM, Tissue.RIGHT_MYOCARDIUM),
    (Tissue.LUNG_LESION, Tissue.GROUND_GLASS, Tissue.CONSOLIDATION),
    (Tissue.GALLBLADDER, Tissue.BLADDER),
    (Tissue.MUSCLE, Tissue.PROSTATE_UTERUS),
    (Tissue.WHITE_MATTER, Tissue.GLIOMA_OEDEMA, Tissue.GLIOMA_CORE, Tissue.GLIOMA_RIM),
)


def table(values: Mapping[Any, float]) -> NDArray[np.float32]:
    """Give a look-up table, indexed by tissue number, of one float32 per tissue; 0 for those without a value."""
    numbers = np.zeros(256, dtype=np.float32)
    numbers[[int(tissue) for tissue in values]] = list(values.values())
    return numbers


def case_shift(random: np.random.Generator, spread: float) -> dict[Tissue, float]:
    """Draw how far each tissue of one case lies from its book value (uniform, +-spread), the same within
    `SAME_SHIFT`."""
    shift = {tissue: float(random.uniform(-spread, spread)) for tissue in FIRST_TISSUES}
    for group in SAME_SHIFT:
        shift |= dict.fromkeys(group, shift[group[0]])
    return shift
