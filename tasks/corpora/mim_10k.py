"""The large pool of MiM, as far as its scans can be told by name: six of the eight sets of Table I.

Source   MiM (arXiv 2404.15580) Tab. I; lists of JiaxinZhuang/MiM and Project-MONAI/research-contributions
"""

from bench.contracts.cards import CorpusCard, CorpusMember, Intensity
from tasks.corpora.mim_1k import CORPUS as MIM_1K
from tasks.layouts.nifti_folder import NiftiFolder
from tasks.layouts.phantom_case import Look

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

CORPUS = CorpusCard(
    title="MiM-10k",
    version=1,
    key="mim-10k",
    modality="CT",
    members=(
        *MIM_1K.members,
        CorpusMember(
            key="luna16",
            files=NiftiFolder(prefix="1.3.6.1.4.1.14519.5.2.1.6279.6001.", look=LUNA),
            folders=("LUNA16",),
            printed=843,
            cases=("corpus_luna16.json", "T"),
        ),
        CorpusMember(
            key="stoic",
            files=NiftiFolder(case=r"\d{1,5}", look=STOIC),
            folders=("STOIC", "stoic21"),
            printed=2_000,
            cases=("stoic_ids.txt", ""),
        ),
        CorpusMember(
            key="flare23",
            files=NiftiFolder(prefix="FLARE23_", suffix="_0000", look=FLARE),
            folders=("FLARE23", "imagesTr2200"),
            printed=4_000,
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
    exposes={
        "stoic": "all of its scans, for MiM lists the whole public set",
        "luna16": "843 of its 888 scans",
        "lidc": "a part: 589 LIDC scans by the paper's count, LUNA16 being LIDC's thinner slices",
        "nodulemnist3d": "a part: nodules cut from LIDC",
        "flare22": "probably a part: FLARE23 gathers scans of FLARE22",
    },
    notes=(
        "Table I sums to 10,452, not to the printed 10,502.",
        "LIDC (589) and HNSCC (1,071) are left out: the authors renumbered their scans, so which they are is unknown. "
        "That leaves 8,792.",
        "LUNA16 and STOIC are shipped as .mhd and .mha; convert them to NIfTI under their official names (<series uid>.nii.gz, "
        "<PatientID>.nii.gz).",
    ),
)
