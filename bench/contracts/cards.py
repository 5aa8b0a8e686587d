"""What a method, a task and a corpus say of themselves: plain values, no torch, so that words are checked in a second.

A config is a frozen dataclass. Every field stands on one line whose trailing comment names its home (section, table or
the word *ours*); `bench show` prints that comment as the value's source. A field made by `recorded` is kept in the
record and does not decide the result, so it is no part of a key (a micro-batch, a log interval).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from typing import Protocol as Interface

if TYPE_CHECKING:  # pydantic takes 0.07 s, and no card needs it to be read
    from bench.contracts.record import Record

Shape3 = tuple[int, int, int]
Spacing = tuple[float, float, float]
Value = TypeVar("Value")
Modality = Literal["CT", "MR", "XR", "US", "FP", "EM", "PATH", "SHAPE", "mixed"]


def recorded(default: Value) -> Value:
    """A config field that stands in the record and not in the key, because it does not decide the result."""
    return field(default=default, metadata={"decides": False})


def later(default: Value) -> Value:
    """A config field that came after results were stored: it enters the key only where it departs from its default.

    So a new option leaves the keys of every earlier result as they are.
    """
    return field(default=default, metadata={"since": default})


def from_disk(default: str, *, came_later: bool = False) -> str:
    """A config field that names a file or folder, empty where there is none: its content decides the result, not its path.

    With `came_later` it is a `later` field too.
    """
    return field(default=default, metadata={"path": True, **({"since": default} if came_later else {})})


@dataclass(frozen=True)
class Intensity:
    """How stored voxels become network input.

    `hu`: stored int16 HU, clipped to `window_hu` and scaled to `scaled_to`. `zscore`: one mean and sd per volume,
    taken over all voxels before cropping (sd floored at 1e-6), stored float16. `asis`: the owner already
    normalised the file; stored float16, untouched. `u8`: grey values 0 to 255, stored uint8, scaled to `scaled_to`.
    `percentile`: a pool of many modalities; each image cropped to what is not empty, clipped to its own percentiles and
    scaled to 0 .. 1 (8-bit pictures by 255), stored float16.

    `zscore` may count other voxels. `over` nonzero: mean and sd of what is not 0, and 0 stays 0 (skull-stripped MR); positive:
    mean and sd of what is above 0, applied to all. `clip_percentiles` first clips each channel to these percentiles of its
    voxels and scales what is left to [0, 1].
    """

    kind: Literal["hu", "zscore", "asis", "u8", "percentile"]
    window_hu: tuple[float, float] = (-1000.0, 1000.0)
    scaled_to: tuple[float, float] = (0.0, 1.0)
    over: Literal["all", "nonzero", "positive"] = later("all")
    clip_percentiles: tuple[float, float] | None = later(None)


@dataclass(frozen=True)
class Sight:
    """What a network is shown: channels, voxels per axis (D, H, W), their size in mm (None where the files hold none)."""

    channels: int
    shape: Shape3
    spacing_mm: Spacing | None
    intensity: Intensity


@dataclass(frozen=True, kw_only=True)
class PhaseConfig:
    """The settings of any phase of training, pre-training and fine-tuning alike."""

    steps: int = 45_000  # MiM Tab. II, updates; the rule by which its authors re-ran all baselines
    batch_size: int = 256  # MiM Tab. II, samples per update
    optimiser: str = "adamw"  # MiM Tab. II; adamw | sgd
    lr: float = 1e-4  # MiM Tab. II
    betas: tuple[float, float] = (0.9, 0.999)  # PyTorch's default; sgd takes the first as momentum
    weight_decay: float = 1e-2  # MiM Tab. II; biases, norms and other 1-D tensors are exempt
    schedule: str = "cosine"  # MiM Tab. II; one of bench.train.schedule.SCHEDULES
    warmup_steps: int = 100  # MiM Tab. II, linear
    grad_clip: float = 0.0  # ours, norm; 0 is off
    precision: str = "fp32"  # ours; fp32 | bf16 | fp16 (autocast)
    ema_decay: float = 0.0  # ours; 0 is off
    seed: int = 0  # ours
    micro_batch: int = recorded(0)  # samples at once on a device; 0 is the whole batch
    workers: int = recorded(0)  # loader processes
    checkpoint_every: int = recorded(500)  # steps
    log_every: int = recorded(10)  # steps
    compile: bool = recorded(False)  # torch.compile
    lr_floor: float = later(0.0)  # ours; the rate to which a cosine falls
    lr_every: int = later(1)  # ours, updates between two settings of the rate
    decay_all: bool = later(False)  # ours; True decays biases, norms and other 1-D tensors too


@dataclass(frozen=True, kw_only=True)
class MethodConfig(PhaseConfig):
    """The settings of a pre-training phase; each method adds its own."""

    crop: Shape3 = (96, 96, 96)  # baselines' common rule, voxels shown to the method per sample
    workers: int = recorded(4)  # loader processes
    shuffled_voxels: bool = later(False)  # ours, a control that must not help: the voxels of every view in random order
    white_noise: bool = later(False)  # ours, a control that must not help: noise with the mean and spread of every view

    def multiple(self) -> Shape3:
        """Voxels per axis of which the encoder's input must be a whole multiple."""
        return (16, 16, 16)

    def multiple_at(self, shape: Shape3, spacing_mm: Spacing | None) -> Shape3:
        """`multiple` for a task of this patch and voxel size, where an encoder adapts to them. Default: the same."""
        return self.multiple()


SMALL: Mapping[str, Any] = {"batch_size": 4, "lr": 2e-3}  # ours
SMALL_CLASSIFIER: Mapping[str, Any] = {"batch_size": 8, "lr": 1e-4}
"""Ours. A case brings one label, not one per voxel, so that an update of four is mostly noise: twice the cases, a twentieth of
the rate."""


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig(PhaseConfig):
    """A fine-tuning recipe. One update sees `batch_size` crops, `crops_per_volume` of them from one volume."""

    steps: int = 25_000  # ours
    batch_size: int = 8  # ours, crops per update
    crops_per_volume: int = 4  # ours
    lr: float = 2e-4  # ours
    weight_decay: float = 1e-5  # ours
    layer_decay: float = 1.0  # ours; learning rate times this per layer away from the head
    grad_clip: float = 5.0  # ours, norm
    loss: str = "dice_ce"  # ours; dice_ce is cross-entropy + softmax Dice (squared; dice_ce_plain: not) | ce | ce_by_class | bce
    positive_share: float = 0.5  # ours, share of crops centred on foreground
    balanced_classes: bool = False  # ours; True draws the class of a crop's centre, or of a case, uniformly
    flip_axes: tuple[int, ...] = (0, 1, 2)  # ours
    flip_probability: float = 0.5  # ours, per axis
    rot90_probability: float = 0.0  # ours, 1 to 3 quarter turns about the third axis
    rotate_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)  # ours, uniform in +- this about each axis
    rotate_probability: float = 1.0  # ours
    zoom: tuple[float, float] = (1.0, 1.0)  # ours, uniform, above 1 enlarges
    zoom_probability: float = 1.0  # ours
    intensity_scale: float = 0.1  # ours, factor 1 +- this
    intensity_scale_probability: float = 1.0  # ours
    intensity_shift: float = 0.1  # ours, offset +- this
    intensity_shift_probability: float = 1.0  # ours
    elastic_probability: float = later(0.0)  # ours, space bent by smooth noise
    elastic: tuple[float, float] = later((0.0, 900.0))  # nnU-Net's, factor of the smoothed noise, uniform
    elastic_sd: tuple[float, float] = later((9.0, 13.0))  # nnU-Net's, voxels of smoothing, uniform
    noise_probability: float = later(0.0)  # ours
    noise_sd: tuple[float, float] = later((0.0, 0.1))  # nnU-Net's, uniform
    blur_probability: float = later(0.0)  # ours
    blur_sd: tuple[float, float] = later((0.5, 1.0))  # nnU-Net's, voxels, uniform, at most 1.2
    contrast_probability: float = later(0.0)  # ours
    contrast: tuple[float, float] = later((0.75, 1.25))  # nnU-Net's, factor of the distance from the mean
    low_resolution_probability: float = later(0.0)  # ours
    low_resolution: tuple[float, float] = later((0.5, 1.0))  # nnU-Net's, zoom of the grid that is kept
    gamma_probability: float = later(0.0)  # ours
    gamma: tuple[float, float] = later((0.7, 1.5))  # nnU-Net's, exponent; mean and sd are kept
    selection: Literal["best_val", "last"] = "best_val"  # ours
    evaluate_every: int = 1_000  # ours, steps
    frozen_encoder: bool = False  # ours; True: of the encoder only what pre-training lacks learns
    linear_head: bool = later(
        False
    )  # ours; True reads evened features by one linear map, in the place of decoder or head
    permuted_labels: bool = later(
        False
    )  # ours, a control that must not help: each training case has another one's label
    lora_rank: int = later(0)  # MiM Tables XIII and XIV have 4, 8, 16; 0 trains every weight of the encoder
    lora_scale: float = later(2.0)  # ours, alpha / rank; MiM gives none
    select_by: str = later("")  # ours; metrics whose sum picks the weights (acc+auc); empty: the kind's own (Dice, AUC)
    matched_optim: bool = later(False)  # ours; True gives a start without weights the recipe of pre-trained encoders
    slice_mm: float = later(0.0)  # ours, mm between slices where files hold no voxel size; 0 as the protocol counts
    random_factor: bool = later(False)  # MedMNIST's shapes: training volumes times U(0, 1), all others times 0.5
    workers: int = recorded(4)  # loader processes

    def sized(self, preset: str, kind: str) -> FineTuneConfig:
        """This recipe at a preset, for a kind of task: `small` learns in minutes on a CPU, `tiny` in seconds; the rest keeps
        the paper's length."""
        if preset == "small":
            return dataclasses.replace(
                self,
                steps=600,
                crops_per_volume=min(2, self.crops_per_volume),
                warmup_steps=25,
                precision="bf16",
                evaluate_every=100,
                checkpoint_every=100,
                workers=0,
                **(SMALL_CLASSIFIER if kind == "classification" else SMALL),
            )
        if preset == "tiny":
            return dataclasses.replace(
                self,
                steps=12,
                batch_size=2,
                crops_per_volume=1,
                warmup_steps=2,
                lr=2e-3,
                precision="fp32",
                evaluate_every=6,
                checkpoint_every=6,
                workers=0,
                log_every=2,
            )
        return self


@dataclass(frozen=True, kw_only=True)
class Inference:
    """Sliding-window inference: share by which windows overlap, their blending, and whether mirrored copies are averaged."""

    overlap: float = 0.5  # ours
    blending: Literal["constant", "gaussian"] = "gaussian"  # ours
    mirrored: bool = False  # ours
    window_batch: int = recorded(2)  # windows at once

    def sized(self, preset: str) -> Inference:
        """`tiny` takes windows without much overlap: it shows that the pipe holds, not what a network can do."""
        return dataclasses.replace(self, overlap=0.25) if preset == "tiny" else self


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """Where a protocol's case lists come from.

    `file` lies in `tasks/splits/`, or is the absolute path of a list that a task from elsewhere brings, or is empty where the
    owners' own tables name the cases; `key` names the list inside it. `by_fold` says that fold k changes the lists.
    `order` is the order in which smaller label ratios take training units: `hash` (ours, nested) or `published`.
    `count` turns a ratio into units: ceil (ours) or the paper's int. `unit` group: the file lists groups (patients, scans)
    whose cases only the data tell. `stratified`: the hash order interleaves classes, so that every prefix has their shares.
    `divides`: the file lists all units and our rule divides them (`all`), or divides each stratum of them (`strata`);
    fold k then salts the hash with the k-th of `bench.data.splits.SALTS`. `others`: the file lists what each fold tests, and
    our rule takes the val part from the others. `with_val` False leaves the val part in train and
    selects on the test part.
    """

    file: str
    key: str
    origin: str
    by_fold: bool = False
    order: Literal["hash", "published"] = "hash"
    count: Literal["ceil", "int"] = "ceil"
    subsets: Mapping[float, str] = field(default_factory=dict)
    unit: Literal["case", "group"] = "case"
    straddles: bool = False  # the authors' list puts cases of one group in train and test: their number, and a leak
    stratified: bool = False
    divides: Literal["", "all", "strata", "others"] = ""
    with_val: bool = True


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How results come about: a split, a sight, a recipe, an inference and metric definitions.

    `spacing_mm` None keeps native voxels; where no file holds their size, `counted_mm` is what they count as, which a user who
    knows better sets right by `slice_mm`. `whole_volume` pads or centre-crops each case to `patch_voxels` and needs no
    windows. `score_grid`: `native` puts probabilities back on the file's grid first, `resampled` scores where the
    network saw. `distance_unit`: `voxels` is what some papers measured without saying so. `average` is the order of means.

    What classification needs besides: `box_voxels` cuts or pads each volume (after `spacing_mm`; an axis of 0 stays) to a
    box in the middle, or with `box_at_top` to one that ends where the volume ends along z; `box_share` keeps the middle
    share of each axis instead; `stored_voxels` then resizes it, so that a step reads few voxels. The device resizes what is
    stored to what the network sees. `image_voxels` is the size that all images of a set have, which presets `small` and `tiny`
    do not enlarge. `stored_values` takes DICOM pixels without rescale, slices by their number. `files` reads another table of
    the same dataset than the card's, or another file of it that `page` gives out.

    `scratch` is what the recipe changes for an encoder that starts without weights, `ref_code` what it changes at that preset.
    """

    split: SplitRule
    label_ratios: tuple[float, ...]
    intensity: Intensity
    spacing_mm: Spacing | None
    patch_voxels: Shape3
    whole_volume: bool = False
    crop_foreground: bool = False
    recipe: FineTuneConfig = field(default_factory=FineTuneConfig)
    inference: Inference = field(default_factory=Inference)
    metrics: tuple[str, ...] = ("dice", "nsd@2mm", "hd95", "assd")
    average: Literal["class_then_case", "case_then_class"] = "class_then_case"
    score_grid: Literal["native", "resampled"] = "native"
    distance_unit: Literal["mm", "voxels"] = "mm"
    target: str = ""
    notes: tuple[str, ...] = ()
    box_voxels: Shape3 | None = None
    box_at_top: bool = False
    box_share: tuple[float, float, float] | None = None
    stored_voxels: Shape3 | None = None
    image_voxels: Shape3 | None = None
    stored_values: bool = False
    files: Layout | None = None
    page: str = ""
    counted_mm: Spacing | None = None
    scratch: Mapping[str, Any] = field(default_factory=dict)
    ref_code: Mapping[str, Any] = field(default_factory=dict)

    def voxels_mm(self, slice_mm: float) -> Spacing | None:
        """What a network is told of the size of its voxels: `spacing_mm`, or what they count as with slices `slice_mm` apart
        (0: as the protocol counts); None where nothing is known."""
        if self.spacing_mm or self.counted_mm is None:
            return self.spacing_mm
        return (*self.counted_mm[:2], slice_mm or self.counted_mm[2])

    def recipe_at(self, preset: str, kind: str, *, from_scratch: bool) -> FineTuneConfig:
        """The recipe at a preset, for a kind of task, and for a start with weights or without."""
        of_code = self.ref_code if preset == "ref_code" else {}
        of_start = self.scratch if from_scratch else {}
        return dataclasses.replace(self.recipe, **{**of_code, **of_start}).sized(preset, kind)


class Layout(Interface):
    """One official on-disk layout. Reads what the owners ship and writes phantoms in the same form; never imports torch."""

    def locate(self, root: Path) -> Path | None:
        """The dataset's folder at `root` or at most two levels below it; None when it is not there."""
        ...

    def records(self, folder: Path) -> list[Record]:
        """One record per labelled or unlabelled case on disk, from names and headers alone (no voxels)."""
        ...

    def tree(self) -> str:
        """The expected tree, a few lines, shown to a user whose data are missing."""
        ...

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Literal["smoke", "mini"]) -> None:
        """Write phantom cases under their official ids, with `PHANTOM.json` in the folder."""
        ...


@dataclass(frozen=True, kw_only=True)
class TaskCard:
    """What every task's card says: no code, only facts. `kind` names the machinery in `tasks/kinds/`.

    `classes` are the foreground labels 1, 2, ... of a segmentation, the classes 0, 1, ... of a classification, the findings
    of a multi-label task, and empty where a task has none. `dims` 2 marks images of one slice. `text_targets` names the
    targets ('' is the task without one) that need an encoder with image and text in one space.
    """

    title: str
    version: int
    modality: Modality
    files: Layout
    classes: tuple[str, ...]
    protocols: Mapping[str, Protocol]
    channels: int = 1
    dims: int = 3
    targets: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    text_targets: tuple[str, ...] = ()
    label_values: Mapping[int, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(
        default_factory=dict
    )  # official number of cases, labelled and unlabelled; of scans or patients where each holds several or none
    archives: Mapping[str, str] = field(
        default_factory=dict
    )  # the owners' archive -> its md5, checked where it still lies
    folders: tuple[str, ...] = ()  # the dataset's official folder names, looked for below --root
    gigabytes: float = 0.0
    licence: str = ""
    page: str = ""
    citation: str = ""
    hu: tuple[float, float] | None = None  # plausible range of stored values, None where they have no unit
    cut_to_organ: bool = False  # a CT shows little but an organ full of contrast agent: no air tells its unit
    elsewhere: Mapping[str, str] = field(default_factory=dict)  # a paper that prints this name -> the task it means
    twins_told: bool = False  # the owners' own split may hold one image on both sides: told, not refused
    kind: str

    def under(self, protocol: Protocol) -> Self:
        """The card as a protocol reads its data, and where those are to be had."""
        return (
            dataclasses.replace(self, files=protocol.files, page=protocol.page or self.page) if protocol.files else self
        )


@dataclass(frozen=True, kw_only=True)
class SegmentationTask(TaskCard):
    """Labels are 1, 2, ... in the order of `classes`; 0 is background.

    `targets` maps a target's name to merged classes: `{"organ": {"liver": ("liver", "tumour")}}`; a class left out is
    background. `label_values` maps what stands in the files to the labels where they differ (255 -> 1).
    """

    kind: str = "segmentation"


@dataclass(frozen=True, kw_only=True)
class ClassificationTask(TaskCard):
    """One label per case: 0, 1, ... in the order of `classes`, or with `multilabel` one yes or no per class."""

    multilabel: bool = False
    kind: str = "classification"


@dataclass(frozen=True, kw_only=True)
class ReportTask(TaskCard):
    """A volume in, a report out."""

    kind: str = "report"


@dataclass(frozen=True, kw_only=True)
class PromptTask(TaskCard):
    """Findings (`classes`) judged by the similarity of a volume to a sentence that affirms and one that denies each."""

    kind: str = "prompts"


@dataclass(frozen=True, kw_only=True)
class RetrievalTask(TaskCard):
    """Reports ask, volumes answer: the rank of each report's own volume in a gallery."""

    kind: str = "retrieval"


@dataclass(frozen=True, kw_only=True)
class CorpusMember:
    """One set of volumes in a pre-training corpus. `cases` names a list in `tasks/splits/` (file, key); empty takes all.

    `named_as` are the tasks whose cases, or the scans in which they lie, bear the same names, so that a test case is known
    again by its name. `weight` is how
    often its images are drawn, beside 1; `overlaps` are the tasks whose images it holds, under whatever names, `exposes` what to
    say of such a task where this set alone holds a part of them, or it is not known how many. `phantoms` says how many phantom
    cases it has by size, where the usual number is not right (0: none are written).
    """

    key: str
    files: Layout
    folders: tuple[str, ...]
    printed: int
    cases: tuple[str, str] | None = None
    named_as: tuple[str, ...] = ()
    weight: float = 1.0
    overlaps: tuple[str, ...] = ()
    exposes: Mapping[str, str] = field(default_factory=dict)
    phantoms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CorpusCard:
    """A pre-training pool. `printed` is the paper's count. `spacing_mm` None keeps native voxels.

    Every test case of a task that a member `overlaps` counts as seen, unless that member is `named_as` the task: then each is
    looked up. `exposes` maps such a task to other words: a text that starts with `all` says whence, any other counts nothing
    and is passed on (a part, or not known for sure). Where no set is there but those that say so themselves, theirs hold.
    """

    title: str
    version: int
    modality: Modality
    members: tuple[CorpusMember, ...]
    printed: int
    intensity: Intensity
    key: str = ""  # where it differs from the file's name: a key may hold '-' and '.'
    spacing_mm: Spacing | None = None
    offers: frozenset[str] = frozenset({"volume"})
    exposes: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    page: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """A method's card. `build(config, sight)` gives the pre-training `Method`, `encoder(config, sight)` what fine-tuning sees.

    `build` None means no pre-training. Presets are configs, or a mapping of phase name to config where a method has
    several phases. `variants` maps a name to the fields it changes; `on_corpus` a corpus to those that its paper sets
    otherwise on it, at preset full alone: the other presets size the length. `decoder` names the segmentation decoder in
    `bench.nets.decoders`. `finetune` maps a preset, or a preset and a kind of task ("small classification"), to the recipe
    fields that this method needs otherwise than its tasks say.
    `offers` says what its encoder gives besides features of volumes: `text` means `Encoder.describe` and `image_vector`.
    """

    title: str
    version: int
    family: str
    paper: str
    decoder: str
    encoder: Callable[..., Any]
    full: Any
    small: Any
    tiny: Any
    build: Callable[..., Any] | None = None
    ref_code: Any = None
    needs: frozenset[str] | set[str] = frozenset({"volume"})
    dims: frozenset[int] | set[int] = frozenset({3})
    offers: frozenset[str] | set[str] = frozenset()
    corpus: str = "none"
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    on_corpus: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    finetune: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    licence: str = ""

    def recipe_changes(self, preset: str, kind: str) -> dict[str, Any]:
        """What `finetune` says of a preset and a kind of task; the kind's own goes before."""
        return {**self.finetune.get(preset, {}), **self.finetune.get(f"{preset} {kind}", {})}


PRESETS = ("full", "small", "tiny", "ref_code")


def phases(preset: Any) -> dict[str, MethodConfig]:
    """A preset as phase name -> config; a lone config is the phase `pretrain`."""
    return dict(preset) if isinstance(preset, Mapping) else {"pretrain": preset}


def deciding(config: Any) -> dict[str, Any]:
    """The fields of a config that decide the result, as a plain dict; a `later` field only where it departs.

    A field made by `from_disk` stands for the sha256 of what lies there.
    """
    chosen: Iterable[dataclasses.Field[Any]] = dataclasses.fields(config)
    values = {f.name: _told(f, getattr(config, f.name)) for f in chosen if f.metadata.get("decides", True)}
    return {f.name: values[f.name] for f in chosen if f.name in values and not _as_before(f, values[f.name])}


def _as_before(option: dataclasses.Field[Any], value: Any) -> bool:
    return "since" in option.metadata and bool(value == option.metadata["since"])


def _told(option: dataclasses.Field[Any], value: Any) -> Any:
    if not (option.metadata.get("path") and value):
        return value
    return _content(value, max((p.stat().st_mtime_ns for p in _files(Path(value))), default=0))


@cache
def _content(path: str, _changed_ns: int) -> str:
    """The sha256 over names and contents of a file or of a folder's files; in words where nothing lies there."""
    digest = hashlib.sha256()
    for file in _files(Path(path)):
        digest.update(file.name.encode())
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest() if _files(Path(path)) else f"nothing at {path}"


def _files(path: Path) -> list[Path]:
    """The file itself, or the files that lie in a folder, hidden ones left out."""
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in inside if file.is_file() and not file.name.startswith(".")]
