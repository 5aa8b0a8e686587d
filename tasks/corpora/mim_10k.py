"""The large pool of MiM, as far as its scans can be told by name: six of the eight sets of Table I.

Source   MiM (arXiv 2404.15580) Tab. I; lists of JiaxinZhuang/MiM and Project-MONAI/research-contributions
"""

from bench.contracts.cards import CorpusCard, CorpusMember
from bench.contracts.configs import Intensity
from tasks.corpora.mim_1k import CORPUS as MIM_1K
from tasks.layouts.image_tree import Images, ImageTree
from tasks.layouts.nifti_folder import NiftiFolder
from tasks.layouts.phantom_case import Look
from tasks.recipes.pool_sets import FLARE23_EXPOSES

LUNA = Look(
    dataset="luna16", view="chest", modality="ct", smoke=(40, 40, 24), mini=(96, 96, 48), spacing_mm=(1.5, 1.5, 2.5)
)
STOIC = Look(
    dataset="stoic", view="chest", modality="ct", smoke=(40, 40, 40), mini=(64, 64, 64), spacing_mm=(1.5, 1.5, 2.0)
)
FLARE = Look(
    dataset="flare23", view="abdomen", modality="ct", smoke=(40, 40, 20), mini=(96, 96, 48), spacing_mm=(1.5, 1.5, 3.0)
)
TOTAL = Look(
    dataset="totalsegmentator",
    view="abdomen",
    modality="ct",
    smoke=(40, 40, 24),
    mini=(96, 96, 64),
    spacing_mm=(1.5, 1.5, 1.5),
)
# not first as the tasks call theirs: a pool of phantoms must not stand in for a task's data
LUNA_FOLDERS = ("LUNA16", "LUNA-16")
STOIC_FOLDERS = ("STOIC", "stoic2021-training", "STOIC2021", "stoic21")

CORPUS = CorpusCard(
    title="MiM-10k",
    version=2,  # LUNA16 and STOIC are read as MetaImage
    key="mim-10k",
    modality="CT",
    members=(
        *MIM_1K.members,
        CorpusMember(
            key="luna16",
            files=ImageTree(
                names=LUNA_FOLDERS,
                images=(Images("subset[0-9]/*.mhd", "subset0/{case}.mhd", "CT"),),
                look=LUNA,
                ids="file",
            ),
            folders=LUNA_FOLDERS,
            printed=843,
            cases=("corpus_luna16.json", "T"),
            named_as=("luna16", "lidc"),
            overlaps=("luna16", "lidc", "nodulemnist3d"),
        ),
        CorpusMember(
            key="stoic",
            files=ImageTree(
                names=STOIC_FOLDERS,
                images=(Images("data/mha/*.mha", "data/mha/{case}.mha", "CT"),),
                look=STOIC,
                ids="file",
            ),
            folders=STOIC_FOLDERS,
            printed=2_000,
            cases=("stoic_ids.txt", ""),
            named_as=("stoic",),
            overlaps=("stoic",),
        ),
        CorpusMember(
            key="flare23",
            files=NiftiFolder(prefix="FLARE23_", suffix="_0000", look=FLARE),
            folders=("FLARE23", "imagesTr2200"),
            printed=4_000,
            overlaps=tuple(FLARE23_EXPOSES),
            exposes=FLARE23_EXPOSES,
        ),
        CorpusMember(
            key="totalsegmentator",
            files=NiftiFolder(fixed_name="ct", look=TOTAL),
            folders=("Totalsegmentator_dataset", "TotalSegmentator"),
            printed=1_203,
        ),
    ),
    printed=10_502,
    intensity=Intensity("hu", (-1000.0, 1000.0)),
    licence="each set its own: LUNA16, TotalSegmentator and CT-Images-in-COVID-19 CC BY 4.0; the others by agreement",
    page="https://zenodo.org/records/6802614 (TotalSegmentator); others: luna16, stoic2021, flare23 at grand-challenge.org",
    exposes={  # of the tasks that sets overlap with: whence, or how much
        **MIM_1K.exposes,
        "luna16": "843 of its 888 scans",
        "lidc": "a part: LUNA16's scans are LIDC's and looked up by uid, but which 589 LIDC scans it has besides no list tells",
        "nodulemnist3d": "a part: nodules cut from LIDC",
    },
    notes=(
        "Table I sums to 10,452, not to the printed 10,502.",
        "LIDC (589) and HNSCC (1,071) are left out: the authors renumbered their scans, so which they are is unknown. "
        "That leaves 8,792.",
        "All 2,000 scans of STOIC, which is every case of the task.",
        "LUNA16 and STOIC are read as MetaImage, as their owners ship them (subset0/<series uid>.mhd, data/mha/<PatientID>.mha).",
    ),
)
