"""The settings of trainings, and what a network is shown: frozen dataclasses of plain values, no torch.

Every field of a config stands on one line whose trailing comment names its home (section, table or the word *ours*);
`bench show` prints that comment as the value's source. A field made by `recorded` is kept in the record and does not decide
the result, so it is no part of a key (a micro-batch, a log interval).

Longer than 250 lines because the settings of every training are one vocabulary: what `--set` takes and a record tells.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from bench.contracts.demands import demand_least, demand_range, demand_shape, demand_share
from bench.contracts.errors import PluginBroken, SpecError

Shape3 = tuple[int, int, int]
Spacing = tuple[float, float, float]
Value = TypeVar("Value")


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


def _demand_fields(config: type) -> None:
    """PluginBroken for a value of a config's class that is no field of it (no annotation, or no `@dataclass` above the class): it
    would decide results and stand in no key. A constant is annotated as ClassVar."""
    known = {f.name for f in dataclasses.fields(config)}
    for owner in config.__mro__[:-1]:
        told = inspect.get_annotations(owner)
        for name, value in vars(owner).items():
            plain = name.startswith("_") or name in known or "ClassVar" in str(told.get(name, ""))
            if not (plain or callable(value) or isinstance(value, (property, classmethod, staticmethod))):
                raise PluginBroken(
                    f"'{name}' of {owner.__name__} is no field: it would decide results and stand in no key.",
                    case=owner.__name__,
                    remedy=f"Annotate it ({name}: {type(value).__name__} = ...) and write "
                    "@dataclass(frozen=True, kw_only=True) above the class.",
                )


LEAST = {
    **dict.fromkeys(("steps", "lr", "lr_floor", "weight_decay", "warmup_steps", "grad_clip"), 0),
    **dict.fromkeys(("micro_batch", "workers", "checkpoint_every", "log_every"), 0),
    **dict.fromkeys(("batch_size", "lr_every", "summed_passes"), 1),
}


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
    summed_passes: int = later(1)  # ours, accumulated passes whose gradients a code sums where it means their mean
    decay_all: bool = later(False)  # ours; True decays biases, norms and other 1-D tensors too

    def __post_init__(self) -> None:
        """Raises SpecError for a setting below the least that means anything, PluginBroken for one that is no field."""
        _demand_fields(type(self))
        for name, least in LEAST.items():
            demand_least(name, getattr(self, name), least)


@dataclass(frozen=True, kw_only=True)
class MethodConfig(PhaseConfig):
    """The settings of a pre-training phase; each method adds its own."""

    crop: Shape3 = (96, 96, 96)  # baselines' common rule, voxels shown to the method per sample
    workers: int = recorded(4)  # loader processes
    shuffled_voxels: bool = later(False)  # ours, a control that must not help: the voxels of every view in random order
    white_noise: bool = later(False)  # ours, a control that must not help: noise with the mean and spread of every view
    even_views: bool = later(False)  # ours, every view at one mean and spread, so that controls tell no brightness

    def __post_init__(self) -> None:
        """Raises as `PhaseConfig` does, and SpecError for a crop that is no shape."""
        super().__post_init__()
        demand_shape("crop", self.crop)

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

    def __post_init__(self) -> None:
        """Raises SpecError for a step without crops, a rank below none, what is no chance or no range, and an axis that no volume
        has: counted from the end it would be another one of the image, whose channels come first, than of the mask."""
        super().__post_init__()
        for name, least in (("crops_per_volume", 1), ("evaluate_every", 0), ("lora_rank", 0)):
            demand_least(name, getattr(self, name), least)
        for name in (f.name for f in dataclasses.fields(self)):
            if name.endswith("_probability") or name == "positive_share":
                demand_share(name, getattr(self, name))
        for name in ("zoom", "elastic", "elastic_sd", "noise_sd", "blur_sd", "contrast", "low_resolution", "gamma"):
            demand_range(name, getattr(self, name), zero=name not in ("zoom", "low_resolution", "gamma"))
        if not set(self.flip_axes) <= {0, 1, 2} or len(set(self.flip_axes)) < len(self.flip_axes):
            found = ",".join(map(str, self.flip_axes))
            raise SpecError(
                f"flip_axes are axes of a volume, 0, 1 and 2, each once; found {found}.",
                remedy="For example --set flip_axes=0,2; --set flip_probability=0 flips none.",
            )

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

    def __post_init__(self) -> None:
        """Raises SpecError for windows that no volume can be cut into."""
        demand_least("window_batch", self.window_batch, 1)
        if not 0 <= self.overlap < 1:
            raise SpecError(
                f"overlap is a share of a window, from 0 to below 1, found {self.overlap:g}.",
                remedy="For example --set overlap=0.5.",
            )

    def sized(self, preset: str) -> Inference:
        """`tiny` takes windows without much overlap: it shows that the pipe holds, not what a network can do."""
        return dataclasses.replace(self, overlap=0.25) if preset == "tiny" else self


def phases(preset: Any) -> dict[str, MethodConfig]:
    """A preset as phase name -> config; a lone config is the phase `pretrain`."""
    return dict(preset) if isinstance(preset, Mapping) else {"pretrain": preset}
