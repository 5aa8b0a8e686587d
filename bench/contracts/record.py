"""The records that travel between rooms: a case on disk, a manifest, a finished cell. Pydantic, so that reading checks.

Axes are (x, y, z) in canonical RAS order throughout; spacing in mm; an undefined number is None in JSON and NaN in Parquet.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.contracts.cards import Modality

Source = Literal["real", "phantom"]
ImageFormat = Literal["nifti", "h5", "nrrd", "dicom", "slices", "hu_slices", "metaimage", "npz", "png"]
SCHEMA_MANIFEST = "bench-manifest/1"
SCHEMA_CELL = "bench-cell/1"
CHOSEN_BY_SEED = "so few labels that the seed chose them"
"""So begins the note of a run whose training units are in another order than the first."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageFile(_Frozen):
    """Where one image of a case lies, relative to the dataset's folder.

    `key` is the dataset inside an h5 file or the array inside an npz archive, `index` the place along its first axis; the
    path of a `dicom` or `slices` image is the folder of its slices, `key` the series where a folder holds several. A `png` image
    is any one picture; with frames 0, 1, 2 its three colours. `rescale` (slope, intercept) and `spacing_mm` (in the file's axis
    order) are what the owners' table says of a file whose own header does not, or says wrongly.
    """

    path: str
    format: ImageFormat
    channel: int = 0
    key: str | None = None
    frame: int | None = None
    index: int | None = None
    rescale: tuple[float, float] | None = None
    spacing_mm: tuple[float, float, float] | None = None


class LabelFile(_Frozen):
    """What is known of a case: a mask in a file, a class, one answer per finding, or a report.

    `kind` none means that the owners withhold it. `value` is a class's place in the card's `classes`; `values` hold 1, 0 or
    -1 (not told) per class; where they lie in the very archive of the image, `path` and `key` say so. A report lies in the file
    `path` under `key`; its text travels in `Record.text`.
    """

    kind: Literal["mask", "class", "multilabel", "report", "none"] = "none"
    path: str | None = None
    format: Literal["nifti", "h5", "nrrd", "slices", "series_masks", "table"] = "nifti"
    key: str | None = None
    value: int | None = None
    values: tuple[int, ...] = ()


class Record(_Frozen):
    """One unit of evaluation. `group` is what must never straddle two parts of a split (a patient where known).

    Where several cases lie in one scan (candidates), `scan_id` names it and `centre_mm` says where the case is, in RAS mm.
    `meta` holds whatever else a layout tells of a case. Of it these names are read: `release` (of the owners' files), `depth_axis`
    (across the slices), `scan` and `reconstruction` (several volumes of one examination), `finding` and `findings` (of a
    candidate), and in pools `weight` (how often an image is drawn), `category` and `lesion_centre`.
    """

    dataset: str
    adapter_version: str
    case_id: str
    patient_id: str
    group: str
    images: tuple[ImageFile, ...]
    label: LabelFile = LabelFile()
    modality: Modality = "CT"
    contrast: str = ""
    shape: tuple[int, ...] | None = None
    scan_id: str = ""
    centre_mm: tuple[float, float, float] | None = None
    spacing: tuple[float, float, float] | None = None
    affine: tuple[tuple[float, ...], ...] | None = None
    orientation: str | None = None
    depth_axis: int | None = None
    anisotropy: int | None = None
    intensity: Literal["hu", "raw", "zscore"] = "raw"
    split: str = ""
    protocol: str = ""
    fold: int = 0
    order: int = -1
    fingerprint: str = ""
    source: Source = "real"
    meta: dict[str, Any] = Field(default_factory=dict)
    text: str = Field("", exclude=True, repr=False)  # a report, in memory only: no manifest or cell ever holds it


class ManifestHeader(_Frozen):
    """What a manifest says of itself. `checks` maps a check's name to `ok`, `n/a` (not looked at) or what failed."""

    schema_: str = Field(SCHEMA_MANIFEST, alias="schema")
    task: str
    protocol: str
    adapter: str
    root_hint: str
    n: dict[str, int]
    classes: tuple[tuple[int, str], ...]
    split_source: str
    ratios: tuple[float, ...]
    checks: dict[str, str]
    content_hash: str
    created_from: Source
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Cell(_Frozen):
    """One finished run. `scores` maps a metric id to its mean as the protocol averages; None where nothing is defined.

    `n` counts test cases scored, `n_listed` those the split names; `counts` holds what was undefined (empty truths, failed
    predictions). `config` maps a phase to its resolved values, `keys` a room to its key, `differs` lists what departs from the
    paper. `exposed` maps a test case that pre-training has seen to how that is known, `exposure` says it in a sentence ('' in
    records from before it was kept), `excluded` are the test cases left out for it. `corpus_id` says by a hash which volumes the
    corpus consisted of, or which `file` of weights was brought, `corpus_volumes` how many of how many in the paper's (None in
    records from before). `hashes` holds full
    sha256 of initial and final weights, of the predictions and of the per-case Parquet.
    """

    schema_: str = Field(SCHEMA_CELL, alias="schema")
    name: str
    key: str
    method: str
    variant: str = ""
    task: str
    target: str = ""
    protocol: str
    ratio: float
    preset: str
    corpus: str
    corpus_id: str = ""
    corpus_volumes: tuple[int, int] | None = None
    seed: int
    pretrain_seed: int
    fold: int
    source: Source
    partial: str = ""
    metrics: tuple[str, ...]
    classes: tuple[str, ...]
    scores: dict[str, float | None]
    class_scores: dict[str, dict[str, float | None]]
    n: int
    n_listed: int
    n_train: int
    counts: dict[str, int]
    average: str
    distance_unit: str
    config: dict[str, dict[str, Any]]
    keys: dict[str, str]
    hashes: dict[str, str]
    content_hash: str
    command: str
    differs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    exposure: str = ""
    exposed: dict[str, str] = Field(default_factory=dict)
    excluded: tuple[str, ...] = ()
    provenance: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, dict[str, Any]] = Field(default_factory=dict)
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def order(self) -> str:
        """The note on the order of training units that the seed chose; '' for the first, which most runs take."""
        return next((note for note in self.notes if note.startswith(CHOSEN_BY_SEED)), "")


class ErrorReport(_Frozen):
    """What `--json` prints on standard error."""

    error: str
    case: str
    message: str
    remedy: str
