"""Nine public sets that their owners ship as DICOM series, as SPAD's pool takes them; two of them are AR's as well.

Source   arXiv 2312.07630, Table 7; which series of a collection count, and how often each set is drawn, is its code's, PUMIT.
         Folders of TCIA are told by their series' descriptions, as its downloader names them unless asked otherwise
"""

from tasks.layouts.phantom_case import Look
from tasks.layouts.series_tree import Series

CHEST = Look(dataset="", view="chest", modality="ct", smoke=(40, 40, 24), mini=(80, 80, 40), spacing_mm=(0.8, 0.8, 2.5))
NECK = Look(dataset="", view="chest", modality="ct", smoke=(40, 40, 32), mini=(72, 72, 56), spacing_mm=(1.0, 1.0, 1.5))
COLON = Look(
    dataset="", view="abdomen", modality="ct", smoke=(24, 24, 84), mini=(48, 48, 96), spacing_mm=(3.0, 3.0, 3.0)
)
HEAD = Look(
    dataset="", view="brain-tumor", modality="t1", smoke=(40, 40, 20), mini=(72, 72, 40), spacing_mm=(0.6, 0.6, 1.5)
)
BELLY = Look(
    dataset="", view="abdomen", modality="t1", smoke=(40, 40, 16), mini=(80, 80, 20), spacing_mm=(1.5, 1.5, 6.0)
)
PROSTATE = Look(
    dataset="", view="abdomen", modality="t2", smoke=(40, 40, 16), mini=(80, 80, 20), spacing_mm=(0.6, 0.6, 3.6)
)

NO_VOLUME = r"(?i)(loc[^/]*|-3D XRT VOL(-[^/]*)?)$"  # of HNSCC: localisers and treatment plans
DYNAMIC = r"-(AX BLISSGAD8?|dynTHRIVE)(-[^/]*)?$"  # of PROSTATE-DIAGNOSIS
STRANGE = tuple(  # series of HNSCC that the code leaves out by UID
    f"1.3.6.1.4.1.14519.5.2.1.1706.8040.{tail}"
    for tail in (
        "204861137296365813191219519295",
        "126694397784217103845514279404",
        "128464676098500286122976392857",
        "167120054523886306987571801649",
        "245936214162991561897245946126",
        "275430449343962751502690968943",
    )
)

# fmt: off
SETS = (
    # key, folders, look, images in Table 7, weight, tasks that know its images, how series are told
    ("chaos", ("CHAOS",), BELLY, 120, 1, ("chaos",), (
        Series("*_Sets/MR/*/T1DUAL/DICOM_anon/InPhase", "Train_Sets/MR/{n}/T1DUAL/DICOM_anon/InPhase", "MR"),
        Series("*_Sets/MR/*/T1DUAL/DICOM_anon/OutPhase", "Train_Sets/MR/{n}/T1DUAL/DICOM_anon/OutPhase", "MR"),
        Series("*_Sets/MR/*/T2SPIR/DICOM_anon", "Train_Sets/MR/{n}/T2SPIR/DICOM_anon", "MR", phantom="t2"),
    )),
    ("hnscc", ("HNSCC",), NECK, 1_246, 1, (), (
        Series("*/*/*", "HNSCC-01-{n:04d}/12-05-1998-NA-RT SIMULATION-{n:05d}/2.000000-NECK-{n:05d}", "CT", skip=NO_VOLUME,
               by_header=True, left_out=STRANGE),
        Series("*/*/*", "HNSCC-01-{n:04d}/12-05-1998-NA-MRI NECK-{n:05d}/4.000000-AX T1-{n:05d}", "MR", skip=NO_VOLUME,
               by_header=True, left_out=STRANGE, phantom="t1"),
    )),
    ("lidc", ("LIDC-IDRI",), CHEST, 1_018, 1, ("lidc", "luna16", "nodulemnist3d"), (
        Series("*/*/*", "LIDC-IDRI-{n:04d}/01-01-2000-NA-NA-{n:05d}/3000566.000000-NA-{n:05d}", "CT", by_header=True),
    )),
    ("nctct", ("CT COLONOGRAPHY", "CT_COLONOGRAPHY"), COLON, 1_735, 1, (), (
        Series("*/*/*", "1.3.6.1.4.1.9328.50.4.{n:04d}/01-01-2000-NA-CT-{n:05d}/3.000000-Supine-{n:05d}", "CT", fewest=81),
    )),
    ("prostate-diagnosis", ("PROSTATE-DIAGNOSIS",), PROSTATE, 261, 1, (), (
        Series("*/*/*", "ProstateDx-01-{n:04d}/10-21-2007-NA-MRI-{n:05d}/10.000000-T2WTSEAX-{n:05d}", "MR", skip=DYNAMIC),
    )),
    ("prostate-mri", ("PROSTATE-MRI",), PROSTATE, 182, 1, (), (
        Series("*/*/*", "MIP-PROSTATE-01-{n:04d}/11-19-2008-NA-MRI-{n:05d}/301.000000-T2-{n:05d}", "MR"),
    )),
    ("rsna-2020-ped", ("RSNA-2020-PED", "rsna-str-pulmonary-embolism-detection"), CHEST, 7_929, 0.3, (), (
        Series("*/*/*", "train/{n:012x}/{n:012x}", "CT"),
    )),
    ("rsna-2022-csfd", ("RSNA-2022-CSFD", "rsna-2022-cervical-spine-fracture-detection"), NECK, 2_022, 0.6, (), (
        Series("t*_images/*", "train_images/1.2.826.0.1.3680043.{n}", "CT"),
    )),
    ("v-s-seg", ("Vestibular-Schwannoma-SEG",), HEAD, 484, 1, (), (
        Series("*/*/*-t1*", "VS-SEG-{n:03d}/04-01-1998-NA-NA-{n:05d}/5.000000-t1mpragetrap2-{n:05d}", "MR"),
        Series("*/*/*-t2*", "VS-SEG-{n:03d}/04-01-1998-NA-NA-{n:05d}/7.000000-t2ci3dtrasc-{n:05d}", "MR", phantom="t2"),
    )),
)
# fmt: on
