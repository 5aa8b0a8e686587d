"""The small pool of MiM: BTCV's 24 training scans and 722 chest CTs of COVID-19 patients.

Source   MiM (arXiv 2404.15580) Tab. I; lists of JiaxinZhuang/MiM and Project-MONAI/research-contributions
"""

from bench.contracts.cards import CorpusCard, CorpusMember
from bench.contracts.configs import Intensity
from tasks.btcv import TASK as BTCV
from tasks.layouts.nifti_folder import NiftiFolder
from tasks.layouts.phantom_case import Look

CHEST = Look(
    dataset="tcia-covid19",
    view="chest",
    modality="ct",
    smoke=(40, 40, 24),
    mini=(96, 96, 48),
    spacing_mm=(1.5, 1.5, 2.5),
)

CORPUS = CorpusCard(
    title="MiM-1k",
    version=1,
    key="mim-1k",
    modality="CT",
    members=(
        CorpusMember(
            key="btcv",
            files=BTCV.files,
            folders=("RawData", "BTCV"),  # not first as the task: a pool of phantoms must not stand in for the task's
            printed=24,
            cases=("btcv.json", "monai_24_6/train"),
            named_as=("btcv",),
        ),
        CorpusMember(
            key="tcia-covid19",
            files=NiftiFolder(prefix="volume-covid19-A-", look=CHEST),
            folders=("CT-Images-in-COVID-19", "TCIA-Covid19", "TCIAcovid19"),
            printed=722,
            cases=("corpus_tcia_covid19.json", "train"),
            named_as=("covid1920",),
            overlaps=("covid1920",),
        ),
    ),
    printed=746,
    intensity=Intensity("hu", (-1000.0, 1000.0)),
    exposes={"covid1920": "185 of its 199 scans are listed, the other 14 were held out"},
    licence="BTCV: Synapse agreement; CT-Images-in-COVID-19: CC BY 4.0",
    page="https://www.synapse.org/Synapse:syn3193805 and https://doi.org/10.7937/tcia.2020.gqry-nc81",
    notes=(
        "Native spacing; HU in [-1000, 1000] scaled to [0, 1].",
        "Of BTCV only the 24 training scans; 185 of the 199 scans of COVID-19-20 are among the 722, 14 among the 49 held out.",
    ),
)
