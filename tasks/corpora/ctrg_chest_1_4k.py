"""The smaller pool of MG-3D: four fifths of CTRG-Chest, each volume with its report.

Source   MG-3D (arXiv 2412.05876) Sec. IV-A; list of Xuefeng-Ni/MG-3D
"""

from bench.contracts.cards import CorpusCard, CorpusMember
from bench.contracts.configs import Intensity
from tasks.layouts.ctrg import Ctrg
from tasks.layouts.phantom_case import Look

CHEST = Look(dataset="ctrg-chest", view="chest", modality="ct", smoke=(40, 40, 16), mini=(64, 64, 32))

CORPUS = CorpusCard(
    title="CTRG-Chest (1.4K)",
    version=1,
    key="ctrg-chest-1.4k",
    modality="CT",
    members=(
        CorpusMember(
            key="ctrg-chest",
            files=Ctrg(look=CHEST, sections=("findings", "impression")),
            folders=("CTRG-Chest", "CTRG-Chest-548K", "ctrg"),
            printed=1_444,
            cases=("ctrg_report.json", "train"),
            named_as=("ctrg_report",),
        ),
    ),
    printed=1_443,
    intensity=Intensity("u8"),
    offers=frozenset({"volume", "report"}),
    licence="not stated by the owners",
    page="https://github.com/tangyuhao2016/CTRG (points to the download)",
    notes=(
        "The paper prints 1,443 volumes (80 % of 1,804); the released list, taken here, has 1,444.",
        "8-bit grey of an unknown export window, scaled to [0, 1]: no HU and no voxel size.",
        "Exposure: none of the 360 test cases of ctrg_report is in the list.",
    ),
)
