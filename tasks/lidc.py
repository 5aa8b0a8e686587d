"""LIDC-IDRI: is a lung nodule benign or malignant, as the readers of its CT judged? Native scans and outlines.

Source   Armato et al., Medical Physics 2011; TCIA LIDC-IDRI
Split    1,010 patients by our hash rule (splits/lidc_patients.txt); what AR prints as LIDC-IDRI is `nodulemnist3d --protocol ar`
"""

from dataclasses import replace

from bench.contracts.cards import ClassificationTask
from bench.contracts.configs import FineTuneConfig, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.lidc import Lidc

BENCH = Protocol(
    split=SplitRule(
        file="lidc_patients.txt",
        key="lidc",
        origin="ours: sha256('split-v1|lidc|patient'), first 0.2 test, next 0.1 val; all nodules of a patient together",
        divides="all",
        unit="group",
    ),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("hu", (-1000.0, 400.0)),
    spacing_mm=(1.0, 1.0, 1.0),
    patch_voxels=(48, 48, 48),
    recipe=FineTuneConfig(
        steps=10_000,
        batch_size=16,
        lr=1e-4,
        weight_decay=0.01,
        loss="ce",
        rotate_degrees=(10.0, 10.0, 10.0),
        zoom=(0.9, 1.1),
        evaluate_every=250,
    ),
    metrics=("auc", "acc"),
    notes=(
        "No published number carries this task: AR's LIDC-IDRI is NoduleMNIST3D, which is `nodulemnist3d --protocol ar`.",
        "Outlines of up to four readers are one nodule where their centres lie closer than its radius.",
        "Nodules that three readers at least have drawn; --protocol any_reader takes those of one reader too.",
        "The median of malignancy decides: below 3 benign, above 3 malignant, 3 left out. Readers judged, no biopsy did.",
        "Cubes of 48 mm at 1 mm; window and recipe are ours. A label ratio takes whole patients.",
        "Of 1,012 numbers two, 0238 and 0585, belong to no patient (as recalled, not verified).",
        "LUNA16 and NoduleMNIST3D are made from these scans, and several pre-training pools hold them.",
    ),
)
ANY_READER = replace(
    BENCH,
    files=Lidc(unseen=BENCH.split, readers=1),
    notes=(
        *(note for note in BENCH.notes if "three readers at least" not in note),
        "Nodules that one reader at least has drawn, so that the judgement may be one person's; otherwise as `bench`, whose "
        "nodules it holds under the same names in the same parts.",
    ),
)

TASK = ClassificationTask(
    title="LIDC-IDRI malignancy",
    version=1,
    modality="CT",
    files=Lidc(unseen=BENCH.split),
    classes=("benign", "malignant"),
    protocols={"bench": BENCH, "any_reader": ANY_READER},
    elsewhere={"ar": "nodulemnist3d --protocol ar"},
    counts={"patients": 1010},
    folders=("LIDC-IDRI", "manifest-1600709154662"),
    gigabytes=125.0,
    licence="CC BY 3.0",
    page="https://www.cancerimagingarchive.net/collection/lidc-idri/ (open download)",
    citation="Armato et al., The Lung Image Database Consortium and Image Database Resource Initiative, Medical Physics 38, 2011",
    hu=(-5000.0, 33000.0),
)
