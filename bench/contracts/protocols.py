"""How results of a task come about: its split, what a network is shown, recipe, inference and metrics; and how its files lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from typing import Protocol as Interface

from bench.contracts.configs import FineTuneConfig, Inference, Intensity, Shape3, Spacing

if TYPE_CHECKING:  # pydantic takes 0.07 s, and no card needs it to be read
    from bench.contracts.record import Record


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
