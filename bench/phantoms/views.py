"""What a phantom image shows: the field of view and the label numbers of every kind of task.

Label numbers are those of the official data sets: `abdomen` has BTCV's thirteen organs in BTCV's order, `hippocampus`
the front and the back of MSD Task04, `chest` the tumour of MSD Task06, `liver`, `pancreas`, `hepatic-vessel`, `spleen`
and `colon` those of MSD Task03, 07, 08, 09 and 10, `heart` the left atrium as 1, `whole-heart` MM-WHS, `ventricles` ACDC,
`trunk` AMOS22, `thirteen-organs` FLARE22, `four-organs` CHAOS, `covid` COVID-19-20, `brain-tumor` MSD Task01 and `glioma`
BraTS 2021 (with 3 for its 4).
Longer than 250 lines because it is one table, and who adds a view should see all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from bench.contracts.errors import SpecError, nearest
from bench.phantoms.body import Point
from bench.phantoms.tissue import Tissue

Shape3 = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class View:
    """One field of view and what is labelled in it: corners in body mm, labels of tissues, class names.

    `part` of the body is painted: `torso`, `hippocampus` or `head`. `lesions` names the organs whose planned lesions are
    shown, `pelvis` adds bladder and prostate or uterus. `fine` is how often the grid is drawn finer along each
    axis where the caller does not say. `warp_ratio` scales the body's warp for views smaller than a torso. `stripped` views
    are exactly 0 in MR where there is only air, as after skull stripping.
    """

    low_mm: Point
    high_mm: Point
    classes: tuple[str, ...]
    labels: Mapping[Tissue, int]
    lesions: frozenset[str] = frozenset()
    fine: Shape3 = (2, 2, 1)
    warp_ratio: float = 1.0
    mirrors: bool = False
    part: Literal["torso", "hippocampus", "head"] = "torso"
    pelvis: bool = False
    stripped: bool = False


def _labels(*groups: tuple[Tissue, ...]) -> Mapping[Tissue, int]:
    return MappingProxyType({tissue: number for number, group in enumerate(groups, start=1) for tissue in group})


_T = Tissue
_LIVER = (_T.LIVER, _T.HEPATIC_VESSEL)
_RIGHT_KIDNEY = (_T.RIGHT_KIDNEY_CORTEX, _T.RIGHT_KIDNEY_MEDULLA)
_LEFT_KIDNEY = (_T.LEFT_KIDNEY_CORTEX, _T.LEFT_KIDNEY_MEDULLA)
_STOMACH = (_T.STOMACH_WALL, _T.STOMACH_FLUID, _T.STOMACH_GAS)
_HEAD_LOW_MM, _HEAD_HIGH_MM = (-76.0, -92.0, -68.0), (76.0, 92.0, 68.0)
_LOW_MM, _HIGH_MM = (-164.0, -124.0, -104.0), (164.0, 114.0, 104.0)  # the abdomen

VIEWS: Mapping[str, View] = MappingProxyType(
    {
        "abdomen": View(
            low_mm=_LOW_MM,
            high_mm=_HIGH_MM,
            classes=(
                "spleen",
                "right-kidney",
                "left-kidney",
                "gallbladder",
                "esophagus",
                "liver",
                "stomach",
                "aorta",
                "ivc",
                "portal-splenic-veins",
                "pancreas",
                "right-adrenal-gland",
                "left-adrenal-gland",
            ),
            labels=_labels(
                (_T.SPLEEN,),
                _RIGHT_KIDNEY,
                _LEFT_KIDNEY,
                (_T.GALLBLADDER,),
                (_T.OESOPHAGUS,),
                _LIVER,
                _STOMACH,
                (_T.AORTA,),
                (_T.VENA_CAVA,),
                (_T.PORTAL_VEIN,),
                (_T.PANCREAS,),
                (_T.RIGHT_ADRENAL,),
                (_T.LEFT_ADRENAL,),
            ),
        ),
        "liver": View(
            low_mm=_LOW_MM,
            high_mm=_HIGH_MM,
            classes=("liver", "tumor"),
            labels=_labels(_LIVER, (_T.LIVER_LESION,)),
            lesions=frozenset({"liver"}),
        ),
        "hepatic-vessel": View(
            low_mm=_LOW_MM,
            high_mm=_HIGH_MM,
            classes=("vessel", "tumor"),
            labels=_labels((_T.HEPATIC_VESSEL,), (_T.LIVER_LESION,)),
            lesions=frozenset({"liver"}),
        ),
        "pancreas": View(
            low_mm=_LOW_MM,
            high_mm=_HIGH_MM,
            classes=("pancreas", "tumor"),
            labels=_labels((_T.PANCREAS,), (_T.PANCREAS_LESION,)),
            lesions=frozenset({"pancreas"}),
        ),
        "spleen": View(low_mm=_LOW_MM, high_mm=_HIGH_MM, classes=("spleen",), labels=_labels((_T.SPLEEN,))),
        "chest": View(
            low_mm=(-164.0, -124.0, 50.0),
            high_mm=(164.0, 114.0, 300.0),
            classes=("tumor",),
            labels=_labels((_T.LUNG_LESION,)),
            lesions=frozenset({"lung"}),
        ),
        "heart": View(
            low_mm=(-100.0, -75.0, 85.0),
            high_mm=(80.0, 90.0, 195.0),
            classes=("left-atrium",),
            labels=_labels((_T.LEFT_ATRIUM,)),
        ),
        "hippocampus": View(
            low_mm=(-17.5, -25.0, -18.0),
            high_mm=(17.5, 25.0, 18.0),
            classes=("anterior", "posterior"),
            labels=_labels((_T.HIPPOCAMPUS_HEAD,), (_T.HIPPOCAMPUS_TAIL,)),
            fine=(2, 2, 2),
            warp_ratio=0.15,
            mirrors=True,
            part="hippocampus",
        ),
        "colon": View(
            low_mm=_LOW_MM,
            high_mm=_HIGH_MM,
            classes=("tumor",),
            labels=_labels((_T.COLON_LESION,)),
            lesions=frozenset({"colon"}),
        ),
        "covid": View(
            low_mm=(-164.0, -124.0, 50.0),
            high_mm=(164.0, 114.0, 300.0),
            classes=("lesion",),
            labels=_labels((_T.GROUND_GLASS, _T.CONSOLIDATION)),
            lesions=frozenset({"covid"}),
        ),
        "whole-heart": View(
            low_mm=(-100.0, -75.0, 75.0),
            high_mm=(80.0, 90.0, 215.0),
            classes=(
                "left-ventricle-myocardium",
                "left-atrium",
                "left-ventricle",
                "right-atrium",
                "right-ventricle",
                "ascending-aorta",
                "pulmonary-artery",
            ),
            labels=_labels(
                (_T.MYOCARDIUM,),
                (_T.LEFT_ATRIUM,),
                (_T.LEFT_VENTRICLE,),
                (_T.RIGHT_ATRIUM,),
                (_T.RIGHT_VENTRICLE,),
                (_T.ASCENDING_AORTA,),
                (_T.PULMONARY_ARTERY,),
            ),
        ),
        "ventricles": View(
            low_mm=(-100.0, -40.0, 75.0),
            high_mm=(60.0, 90.0, 165.0),
            classes=("right-ventricle", "myocardium", "left-ventricle"),
            labels=_labels((_T.RIGHT_VENTRICLE,), (_T.MYOCARDIUM,), (_T.LEFT_VENTRICLE,)),
        ),
        "four-organs": View(
            low_mm=_LOW_MM,
            high_mm=_HIGH_MM,
            classes=("liver", "right-kidney", "left-kidney", "spleen"),
            labels=_labels(_LIVER, _RIGHT_KIDNEY, _LEFT_KIDNEY, (_T.SPLEEN,)),
        ),
        "thirteen-organs": View(
            low_mm=_LOW_MM,
            high_mm=_HIGH_MM,
            classes=(
                "liver",
                "right-kidney",
                "spleen",
                "pancreas",
                "aorta",
                "ivc",
                "right-adrenal-gland",
                "left-adrenal-gland",
                "gallbladder",
                "esophagus",
                "stomach",
                "duodenum",
                "left-kidney",
            ),
            labels=_labels(
                _LIVER,
                _RIGHT_KIDNEY,
                (_T.SPLEEN,),
                (_T.PANCREAS,),
                (_T.AORTA,),
                (_T.VENA_CAVA,),
                (_T.RIGHT_ADRENAL,),
                (_T.LEFT_ADRENAL,),
                (_T.GALLBLADDER,),
                (_T.OESOPHAGUS,),
                _STOMACH,
                (_T.DUODENUM,),
                _LEFT_KIDNEY,
            ),
        ),
        "trunk": View(
            low_mm=(-164.0, -124.0, -172.0),
            high_mm=_HIGH_MM,
            classes=(
                "spleen",
                "right-kidney",
                "left-kidney",
                "gallbladder",
                "esophagus",
                "liver",
                "stomach",
                "aorta",
                "postcava",
                "pancreas",
                "right-adrenal-gland",
                "left-adrenal-gland",
                "duodenum",
                "bladder",
                "prostate-uterus",
            ),
            labels=_labels(
                (_T.SPLEEN,),
                _RIGHT_KIDNEY,
                _LEFT_KIDNEY,
                (_T.GALLBLADDER,),
                (_T.OESOPHAGUS,),
                _LIVER,
                _STOMACH,
                (_T.AORTA,),
                (_T.VENA_CAVA,),
                (_T.PANCREAS,),
                (_T.RIGHT_ADRENAL,),
                (_T.LEFT_ADRENAL,),
                (_T.DUODENUM,),
                (_T.BLADDER,),
                (_T.PROSTATE_UTERUS,),
            ),
            pelvis=True,
        ),
        "brain-tumor": View(
            low_mm=_HEAD_LOW_MM,
            high_mm=_HEAD_HIGH_MM,
            classes=("edema", "non-enhancing-tumor", "enhancing-tumor"),
            labels=_labels((_T.GLIOMA_OEDEMA,), (_T.GLIOMA_CORE,), (_T.GLIOMA_RIM,)),
            warp_ratio=0.4,
            part="head",
            stripped=True,
        ),
        "glioma": View(
            low_mm=_HEAD_LOW_MM,
            high_mm=_HEAD_HIGH_MM,
            classes=("necrotic-core", "edema", "enhancing-tumor"),
            labels=_labels((_T.GLIOMA_CORE,), (_T.GLIOMA_OEDEMA,), (_T.GLIOMA_RIM,)),
            warp_ratio=0.4,
            part="head",
            stripped=True,
        ),
    }
)


def view_named(name: str) -> View:
    """Give the view of that name; raises SpecError naming all of them."""
    if name not in VIEWS:
        raise SpecError(
            f"No phantom view '{name}'. {nearest(name, VIEWS)}Possible: {', '.join(VIEWS)}.",
            remedy="Ask for one of these views.",
        )
    return VIEWS[name]
