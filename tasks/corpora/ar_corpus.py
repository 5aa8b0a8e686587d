"""The pool of AR: volumes of twelve public sets, brain examinations in four contrasts, lesions with a category.

Source   AR (arXiv 2409.08691), "Implementation details"; which files make which sequences: its released code, AR-SSL4M
"""

from dataclasses import replace

from bench.contracts.cards import CorpusCard, CorpusMember
from bench.contracts.configs import Intensity
from tasks.corpora.spad_55 import BODY, CHEST, SETS
from tasks.layouts.brats23 import Brats23
from tasks.layouts.deeplesion import DeepLesion
from tasks.layouts.image_tree import Images
from tasks.layouts.phantom_case import Look
from tasks.recipes import dicom_sets
from tasks.recipes.pool_sets import FLARE23_EXPOSES, PoolSet, pool_member

BRAIN = Look(
    dataset="", view="glioma", modality="t1", smoke=(36, 40, 34), mini=(56, 64, 48), spacing_mm=(1.0, 1.0, 1.0)
)
LESIONS = Look(
    dataset="deeplesion", view="liver", modality="ct", smoke=(48, 48, 12), mini=(96, 96, 24), spacing_mm=(1.0, 1.0, 2.5)
)
ONE_EXAMINATION = {"smoke": 1, "mini": 4}  # four images each
LESION_COUNTS = {"smoke": 12, "mini": 45}  # of three categories in turn
GATHERED = ("msd03", "msd07", "msd09", "organmnist3d")  # AbdomenCT-1K gathers their volumes, test part included

# fmt: off
SPATIAL = (
    *(one for one in SETS if one[0] in ("amos22", "flare22", "ribfrac", "stoic", "totalsegmentator", "verse")),
    ("abdomenct-1k", ("AbdomenCT-1K",), BODY, 1_062, 1, GATHERED, (
        Images("**/Case_*_0000.nii.gz", "Image/Case_{n:05d}_0000.nii.gz", "CT"),
    )),
    ("flare23", ("FLARE23", "imagesTr2200"), BODY, 4_000, 1, tuple(FLARE23_EXPOSES), (
        Images("**/FLARE23_*_0000.nii.gz", "imagesTr2200/FLARE23_{n:04d}_0000.nii.gz", "CT"),
    ), FLARE23_EXPOSES),
    ("isles22", ("ISLES-2022", "ISLES22"), BRAIN, 750, 1, (), (
        Images("sub-*/**/*_dwi.nii.gz", "sub-strokecase{n:04d}/ses-0001/dwi/sub-strokecase{n:04d}_ses-0001_dwi.nii.gz", "MR",
               phantom="t2"),
        Images("sub-*/**/*_adc.nii.gz", "sub-strokecase{n:04d}/ses-0001/dwi/sub-strokecase{n:04d}_ses-0001_adc.nii.gz", "MR"),
        Images("sub-*/**/*_[fF][lL][aA][iI][rR].nii.gz",
               "sub-strokecase{n:04d}/ses-0001/anat/sub-strokecase{n:04d}_ses-0001_flair.nii.gz", "MR", phantom="flair"),
    )),
    ("tcia-covid19", ("CT-Images-in-COVID-19", "TCIA-Covid19", "TCIAcovid19"), CHEST, 771, 1, ("covid1920",), (
        Images("**/volume-covid19-A-*.nii.gz", "volume-covid19-A-{n:04d}.nii.gz", "CT"),
    )),
    *(one for one in dicom_sets.SETS if one[0].startswith("rsna")),
)
# fmt: on

CORPUS = CorpusCard(
    title="AR's twelve sets, BraTS 2023 and DeepLesion",
    version=2,  # both RSNA sets are read as DICOM series
    key="ar-corpus",
    modality="mixed",
    members=(
        *(pool_member(PoolSet(*one)._replace(weight=1.0), "ar-pool") for one in SPATIAL),
        *(
            CorpusMember(
                key=f"brats23-{part.lower()}",
                files=Brats23(part=part, look=replace(BRAIN, dataset=f"brats23-{part.lower()}")),
                folders=(f"BraTS2023-{part}-ar-pool", f"BraTS2023-{part}", part),
                printed=4 * examinations,
                overlaps=("brats21",) if part == "GLI" else (),
                phantoms=ONE_EXAMINATION,
            )
            for part, examinations in (("GLI", 1_470), ("MEN", 1_141), ("MET", 165), ("PED", 144), ("SSA", 75))
        ),
        CorpusMember(
            key="deeplesion",
            files=DeepLesion(look=LESIONS),
            folders=("DeepLesion",),
            printed=9_816,
            phantoms=LESION_COUNTS,
        ),
    ),
    printed=45_083,
    intensity=Intensity("zscore"),
    exposes={  # of the tasks that sets overlap with: whence, or how sure it is
        "flare22": "all of its labelled scans",
        "covid1920": "all of its scans, which TCIA's COVID-19 set holds",
        "fracturemnist3d": "all: cut from RibFrac",
        "brats21": "probably all: BraTS 2023's glioma part continues BraTS 2021",
        "msd03": "probably most: AbdomenCT-1K gathers LiTS, which is the liver task, test volumes included",
        "msd07": "probably most: AbdomenCT-1K gathers the pancreas task, test volumes included",
        "msd09": "probably most: AbdomenCT-1K gathers the spleen task, test volumes included",
        "organmnist3d": "probably most: cut from LiTS, which AbdomenCT-1K gathers",
    },
    licence="each set its own; BraTS 2023 by Synapse agreement, DeepLesion for research by the NIH's terms",
    page="https://nihcc.app.box.com/v/DeepLesion and https://www.synapse.org/brats2023; the others as their owners say",
    notes=(
        "Native voxels of any modality, z-scored for storage; the method scales every crop by its own percentiles.",
        "The paper counts 23,287 volumes, 2,995 examinations and 10,594 scans; here every contrast of an examination and every "
        "lesion with a category is an image. It prints no count per set: those here are the owners' and sum to 23,311.",
        "Lesions without a category (DeepLesion's training part) are not drawn, as in the code: 9,816 of 32,735 remain.",
        "A source is left out by a variant of the method (no_spatial, no_contrast, no_semantic: the paper's ar-corpus-subset), "
        "sets that hold images of tasks by no_downstream_overlap.",
    ),
)
