"""SPAD's pool of 55 public sets, 2-D and 3-D, of many modalities, read as their owners ship them.

Source   arXiv 2312.07630, Sec. 4.1 and Table 7; how the sets lie on disk and how often each is drawn is its code's, PUMIT
"""

from dataclasses import replace

from bench.contracts.cards import CorpusCard
from bench.contracts.configs import Intensity
from tasks.layouts.image_tree import Images
from tasks.layouts.phantom_case import Look
from tasks.recipes import dicom_sets
from tasks.recipes.pool_sets import PoolSet, pool_member

CHEST, PELVIS = dicom_sets.CHEST, dicom_sets.PROSTATE
THICK = Look(
    dataset="", view="abdomen", modality="ct", smoke=(40, 40, 16), mini=(80, 80, 24), spacing_mm=(0.75, 0.75, 5.0)
)
BODY = Look(
    dataset="", view="abdomen", modality="ct", smoke=(40, 40, 32), mini=(72, 72, 56), spacing_mm=(1.5, 1.5, 1.5)
)
HEAD = Look(
    dataset="", view="brain-tumor", modality="t1", smoke=(32, 40, 32), mini=(64, 72, 64), spacing_mm=(1.0, 1.0, 1.0)
)
HEART = Look(
    dataset="", view="ventricles", modality="mr", smoke=(40, 40, 10), mini=(80, 80, 12), spacing_mm=(1.5, 1.5, 10.0)
)
SPINE = Look(
    dataset="", view="abdomen", modality="t2", smoke=(12, 40, 40), mini=(16, 80, 80), spacing_mm=(4.9, 0.6, 0.6)
)
STRESS = replace(PELVIS, spacing_mm=(0.5, 0.5, 8.0))  # the one set with slices sixteen times as thick as its pixels
FLAT = Look(dataset="", view="chest", modality="ct", smoke=(48, 40, 8), mini=(96, 80, 8), spacing_mm=(1.0, 1.0, 5.0))
FUNDUS = replace(FLAT, view="abdomen")

# fmt: off
SETS = (
    # key, folders, look, images in Table 7, weight, tasks that know its images, how images are told
    ("acdc", ("ACDC", "database"), HEART, 150, 1, ("acdc",), (
        Images("t*ing/patient*/patient*_4d.nii.gz", "training/patient{n:03d}/patient{n:03d}_4d.nii.gz", "MR", frames="repeats"),
    )),
    ("amos22", ("amos22", "AMOS22"), BODY, 600, 1, ("amos22",), (
        Images("images*/amos_0[0-4]*.nii.gz", "imagesTr/amos_{n:04d}.nii.gz", "CT"),
        Images("images*/amos_0[5-6]*.nii.gz", "imagesTr/amos_06{n:02d}.nii.gz", "MR", skip="amos_0500", phantom="mr"),
        Images("images*/amos_0500.nii.gz", "imagesTr/amos_0500.nii.gz", "CT"),
    )),
    ("bcv-abdomen", ("Abdomen",), THICK, 50, 1, ("btcv",), (
        Images("RawData/T*ing/img/*.nii.gz", "RawData/Training/img/img{n:04d}.nii.gz", "CT"),
    )),
    ("bcv-cervix", ("Cervix",), THICK, 50, 1, (), (
        Images("RawData/T*ing/img/*.nii.gz", "RawData/Training/img/{n:04d}-Image.nii.gz", "CT"),
    )),
    ("brainptm", ("BrainPTM-2021",), HEAD, 150, 1, (), (
        Images("case_*/T1.nii.gz", "case_{n}/T1.nii.gz", "MR"),
        Images("case_*/Diffusion.nii.gz", "case_{n}/Diffusion.nii.gz", "MR", frames="repeats", phantom="t2"),
    )),
    ("brats23-gli", ("BraTS2023-GLI", "GLI"), HEAD, 5_880, 0.4, ("brats21",), (
        Images("*/*/*-t[12][cnfw].nii.gz", "train/BraTS-GLI-{n:05d}-000/BraTS-GLI-{n:05d}-000-t1c.nii.gz", "MR"),
    )),
    ("brats23-men", ("BraTS2023-MEN", "MEN"), HEAD, 4_564, 0.5, (), (
        Images("*/*/*-t[12][cnfw].nii.gz", "train/BraTS-MEN-{n:05d}-000/BraTS-MEN-{n:05d}-000-t1c.nii.gz", "MR"),
    )),
    ("brats23-met", ("BraTS2023-MET", "MET"), HEAD, 660, 1, (), (
        Images("*/*/*-t[12][cnfw].nii.gz", "train/BraTS-MET-{n:05d}-000/BraTS-MET-{n:05d}-000-t1c.nii.gz", "MR"),
    )),
    ("brats23-ped", ("BraTS2023-PED", "PED"), HEAD, 576, 1, (), (
        Images("*/*/*-t[12][cnfw].nii.gz", "train/BraTS-PED-{n:05d}-000/BraTS-PED-{n:05d}-000-t1c.nii.gz", "MR"),
    )),
    ("brats23-ssa", ("BraTS2023-SSA", "SSA"), HEAD, 300, 1, (), (
        Images("*/*/*-t[12][cnfw].nii.gz", "train/BraTS-SSA-{n:05d}-000/BraTS-SSA-{n:05d}-000-t1c.nii.gz", "MR", phantom="t1"),
    )),
    ("busi", ("Dataset_BUSI_with_GT",), FLAT, 780, 0.4, (), (
        Images("*/*.png", "benign/benign ({n}).png", "US", skip="mask"),
    )),
    ("cgmh-pelvis", ("CGMH_PelvisSegment",), FLAT, 400, 1, (), (
        Images("Image/*.png", "Image/{n}.png", "XR"),
    )),
    ("pelvixnet", ("pxr-150",), FLAT, 150, 1, (), (
        Images("images_all/*.png", "images_all/{n}.png", "XR"),
    )),
    ("chase-db1", ("CHASE_DB1", "CHASEDB1"), FUNDUS, 28, 1, (), (
        Images("*.jpg", "Image_{n:02d}L.jpg", "FP", coloured=True),
    )),
    ("chuac", ("CHUAC",), FLAT, 30, 1, (), (
        Images("*/*.png", "Original/{n}.png", "XR", skip="(?i)photoshop|mask|manual"),
    )),
    ("chaksu", ("Chaksu", "Chákṣu"), FUNDUS, 1_345, 0.2, (), (
        Images("*/1.0_Original_Fundus_Images/*/*", "Train/1.0_Original_Fundus_Images/Remidio/{n}.jpg", "FP", coloured=True),
    )),
    ("idrid", ("IDRiD",), FUNDUS, 588, 0.5, (), (
        Images("*/1. Original Images/*/*.jpg",
               "B. Disease Grading/1. Original Images/a. Training Set/IDRiD_{n:03d}.jpg",
               "FP", skip="C. Localization", coloured=True),
    )),
    ("rfmid", ("RFMiD",), FUNDUS, 3_200, 1, (), (
        Images("**/*.png", "Training_Set/Training_Set/Training/{n}.png", "FP", coloured=True),
    )),
    ("ichallenge-adam", ("iChallenge-ADAM", "ADAM"), FUNDUS, 1_200, 0.2, (), (
        Images("**/*.jpg", "Training400/AMD/A{n:04d}.jpg", "FP", coloured=True),
    )),
    ("ichallenge-gamma", ("iChallenge-GAMMA", "GAMMA"), FUNDUS, 300, 1, (), (
        Images("*/multi-modality_images/*/*.jpg", "training/multi-modality_images/{n:04d}/{n:04d}.jpg", "FP", coloured=True),
    )),
    ("ichallenge-palm", ("iChallenge-PALM", "PALM"), FUNDUS, 1_200, 0.2, (), (
        Images("**/*.jpg", "PALM-Training400/P{n:04d}.jpg", "FP", coloured=True),
    )),
    ("refuge2", ("REFUGE2",), FUNDUS, 2_000, 0.1, (), (
        Images("**/*.jpg", "train/Images/g{n:04d}.jpg", "FP", coloured=True),
    )),
    ("chexpert", ("CheXpert-v1.0", "CheXpert-v1.0-small"), FLAT, 224_316, 0.007, (), (
        Images("*/patient*/study*/*.jpg", "train/patient{n:05d}/study1/view1_frontal.jpg", "XR"),
    )),
    ("nih-cxr", ("CXR8",), FLAT, 112_120, 0.007, (), (
        Images("images/images/*.png", "images/images/{n:08d}_000.png", "XR"),
    )),
    ("hc18", ("HC18",), FLAT, 1_334, 0.2, (), (
        Images("t*_set/*HC.png", "training_set/{n:03d}_HC.png", "US"),
    )),
    ("crossmoda22", ("crossMoDA2022", "crossmoda2022"), HEAD, 484, 1, (), (
        Images("**/*_ceT1.nii.gz", "training_source/crossmoda2022_{n}_ceT1.nii.gz", "MR"),
        Images("**/*_hrT2.nii.gz", "training_target/crossmoda2022_{n}_hrT2.nii.gz", "MR", phantom="t2"),
    )),
    ("episurg", ("EPISURG",), HEAD, 698, 1, (), (
        Images("subjects/**/*t1mri*.nii.gz", "subjects/sub-{n:04d}/postop/sub-{n:04d}_postop-t1mri-1.nii.gz", "MR"),
    )),
    ("ixi", ("IXI",), HEAD, 2_706, 0.5, (), (
        Images("IXI-T1/*.nii.gz", "IXI-T1/IXI{n:03d}-Guys-T1.nii.gz", "MR", phantom="t1"),
        Images("IXI-T2/*.nii.gz", "IXI-T2/IXI{n:03d}-Guys-T2.nii.gz", "MR", phantom="t2"),
        Images("IXI-PD/*.nii.gz", "IXI-PD/IXI{n:03d}-Guys-PD.nii.gz", "MR", phantom="t2"),
        Images("IXI-MRA/*.nii.gz", "IXI-MRA/IXI{n:03d}-Guys-MRA.nii.gz", "MR", phantom="t1"),
    )),
    ("flare22", ("FLARE2022", "FLARE22"), THICK, 2_100, 1, ("flare22",), (
        Images("Training/*/images/FLARE22_Tr_*_0000.nii.gz",
               "Training/FLARE22_LabeledCase50/images/FLARE22_Tr_{n:04d}_0000.nii.gz", "CT"),
        Images("Training/*/Case_*_0000.nii.gz", "Training/FLARE22_UnlabeledCase1-1000/Case_{n:05d}_0000.nii.gz", "CT"),
        Images("Validation/FLARETs_*_0000.nii.gz", "Validation/FLARETs_{n:04d}_0000.nii.gz", "CT"),
    )),
    ("han-seg", ("HaN-Seg",), CHEST, 84, 1, (), (
        Images("set_1/case_*/*_IMG_CT.*", "set_1/case_{n:02d}/case_{n:02d}_IMG_CT.nii.gz", "CT"),
        Images("set_1/case_*/*_IMG_MR_T1.*", "set_1/case_{n:02d}/case_{n:02d}_IMG_MR_T1.nii.gz", "MR", phantom="mr"),
    )),
    ("mrspineseg", ("MRSpineSeg",), SPINE, 387, 1, (), (
        Images("*/MR/*.nii.gz", "train/MR/Case{n}.nii.gz", "MR"),
    )),
    ("msd02", ("Task02_Heart",), HEART, 30, 1, (), (
        Images("imagesT*/*.nii.gz", "imagesTr/heart_{n:03d}.nii.gz", "MR"),
    )),
    ("msd03", ("Task03_Liver",), THICK, 201, 1, ("msd03", "organmnist3d"), (
        Images("imagesT*/*.nii.gz", "imagesTr/liver_{n:03d}.nii.gz", "CT"),
    )),
    ("msd04", ("Task04_Hippocampus",), HEAD, 390, 1, ("msd04",), (
        Images("imagesT*/*.nii.gz", "imagesTr/hippocampus_{n:03d}.nii.gz", "MR"),
    )),
    ("msd05", ("Task05_Prostate",), STRESS, 96, 1, (), (
        Images("imagesT*/*.nii.gz", "imagesTr/prostate_{n:03d}.nii.gz", "MR", frames="modalities"),
    )),
    ("msd06", ("Task06_Lung",), CHEST, 95, 1, ("msd06",), (
        Images("imagesT*/*.nii.gz", "imagesTr/lung_{n:03d}.nii.gz", "CT"),
    )),
    ("msd07", ("Task07_Pancreas",), THICK, 420, 1, ("msd07",), (
        Images("imagesT*/*.nii.gz", "imagesTr/pancreas_{n:03d}.nii.gz", "CT"),
    )),
    ("msd08", ("Task08_HepaticVessel",), THICK, 443, 1, ("msd08",), (
        Images("imagesT*/*.nii.gz", "imagesTr/hepaticvessel_{n:03d}.nii.gz", "CT"),
    )),
    ("msd09", ("Task09_Spleen",), THICK, 61, 1, ("msd09",), (
        Images("imagesT*/*.nii.gz", "imagesTr/spleen_{n:03d}.nii.gz", "CT"),
    )),
    ("msd10", ("Task10_Colon",), THICK, 190, 1, ("msd10",), (
        Images("imagesT*/*.nii.gz", "imagesTr/colon_{n:03d}.nii.gz", "CT"),
    )),
    ("pi-cai", ("PI-CAI", "picai"), PELVIS, 7_488, 0.25, (), (
        Images("*/*/*_t2w.*", "images/{n:05d}/{n:05d}_{n}_t2w.nii.gz", "MR"),
        Images("*/*/*_adc.*", "images/{n:05d}/{n:05d}_{n}_adc.nii.gz", "MR"),
        Images("*/*/*_hbv.*", "images/{n:05d}/{n:05d}_{n}_hbv.nii.gz", "MR"),
        Images("*/*/*_cor.*", "images/{n:05d}/{n:05d}_{n}_cor.nii.gz", "MR"),
        Images("*/*/*_sag.*", "images/{n:05d}/{n:05d}_{n}_sag.nii.gz", "MR"),
    )),
    ("prostate158", ("prostate158",), PELVIS, 417, 1, (), (
        Images("**/t2.nii.gz", "prostate158_train/train/{n:03d}/t2.nii.gz", "MR"),
        Images("**/adc.nii.gz", "prostate158_train/train/{n:03d}/adc.nii.gz", "MR"),
        Images("**/dwi.nii.gz", "prostate158_train/train/{n:03d}/dwi.nii.gz", "MR"),
    )),
    ("ribfrac", ("RibFrac",), CHEST, 500, 1, ("fracturemnist3d",), (
        Images("*/RibFrac*-image.nii.gz", "Part1/RibFrac{n}-image.nii.gz", "CT"),
    )),
    ("stoic", ("stoic2021-training", "STOIC"), CHEST, 2_000, 1, ("stoic",), (
        Images("data/mha/*", "data/mha/{n}.nii.gz", "CT"),
    )),
    ("totalsegmentator", ("Totalsegmentator_dataset", "TotalSegmentator"), BODY, 1_203, 1, (), (
        Images("s*/ct.nii.gz", "s{n:04d}/ct.nii.gz", "CT", skip="s0864"),
    )),
    ("verse", ("VerSe",), CHEST, 374, 1, (), (
        Images("*/rawdata/*/*.nii.gz", "dataset-01training/rawdata/sub-verse{n:03d}/sub-verse{n:03d}_ct.nii.gz", "CT"),
    )),
)
# fmt: on

CORPUS = CorpusCard(
    title="SPAD's 55 sets",
    version=2,  # nine sets of DICOM series are read
    key="spad-55",
    modality="mixed",
    members=tuple(pool_member(PoolSet(*one), "pool") for one in (*SETS, *dicom_sets.SETS)),
    printed=397_335,
    intensity=Intensity("percentile"),
    exposes={  # of the tasks that sets overlap with: whence, or how sure it is
        "brats21": "probably all: BraTS 2023's glioma part continues BraTS 2021",
        "organmnist3d": "all: cut from LiTS, which is MSD Task03",
        "luna16": "all: its scans are LIDC-IDRI's",
        "nodulemnist3d": "all: cut from LIDC-IDRI",
        "fracturemnist3d": "all: cut from RibFrac",
    },
    licence="each set its own; many need a registration or an agreement",
    page="https://arxiv.org/abs/2312.07630 (Table 7 names the sets)",
    notes=(
        "Native voxels; each image cropped to what is not empty, at most 512 voxels on its shorter in-plane side, scaled by its "
        "0.5th and 99.5th percentiles; pictures by 255.",
        "DICOM series of TCIA (HNSCC, LIDC-IDRI, NCTCT, PROSTATE-DIAGNOSIS, PROSTATE-MRI, V-S-SEG) are told by folders as its "
        "downloader names them by description; named by UID, dynamic series and localisers cannot be told and are read.",
        "CHAOS without its 40 CT scans: the table counts 120 images, three sequences of 40 MR patients; the code adds the CT.",
        "IXI without its diffusion images: the paper counts them as one image each, their files hold one direction each.",
        "Patterns of CHUAC, Chaksu, RFMiD and the iChallenges follow the releases as described, not as seen.",
        "One image per set and modality is held out, drawn by its weight from its name.",
    ),
)
