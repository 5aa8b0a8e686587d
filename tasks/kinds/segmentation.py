"""Segmentation: an encoder with a decoder, trained on labelled crops, slid over whole volumes, scored class by class.

Predictions are NIfTI label maps, or maps of codes where the target's classes overlap (see `regions.py`). At `score_grid` native
they lie on the grid of the case's own file (probabilities are resampled back linearly, then the best class is taken); at
`resampled` on the grid that the network saw.

Longer than 250 lines because training, predicting and scoring must agree on what a voxel of a label map means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts.configs import Spacing
from bench.contracts.errors import DataUnsound
from bench.contracts.kind import Scored, Setup
from bench.contracts.method import Batch, Encoder, Losses, Phase, Turn
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.patches import pad_to, unpad
from bench.data.resample import likeliest, native_labels
from bench.data.volumes import label_map, read_image, read_label, to_native, write_nifti
from bench.metrics import parse_metric
from bench.metrics.overlap import dice
from bench.metrics.surface import label_map_scores
from bench.nets.decoders import build_decoder
from bench.nets.intensity import darkest, to_network_range
from bench.nets.shared_batch_norm import shares_batch, whole_batch
from bench.train.seeds import reseed_torch
from tasks.kinds.crops import LabelledCrop, VolumesThenCrops
from tasks.kinds.demand import demand_loss
from tasks.kinds.dice_ce import dice_ce, plain_dice_ce
from tasks.kinds.disturb import disturbed
from tasks.kinds.regions import codes, flattened, mask, region_dice_ce
from tasks.kinds.vary import turn

suffix = ".nii.gz"
MEASURES = ("overlap", "surface")
PROBED = True
UNUSED = frozenset({"random_factor"})  # MedMNIST's shapes alone are made brighter or darker by it
UNUSED_WHOLE = frozenset({"balanced_classes", "crops_per_volume", "positive_share", "overlap", "blending"})
# cross-entropy and soft Dice in equal parts, with plain sums in the Dice, with Dice over foreground alone, or soft Dice alone
LOSSES = ("dice_ce", "dice_ce_plain", "dice_ce_foreground", "dice_ce_plain_foreground", "dice", "dice_plain")
OVERLAPPING_LOSSES = ("dice_ce", "dice", "dice_squared")  # with plain sums in the Dice unless told otherwise


class SegmentationNet(nn.Module):
    """An encoder and a decoder: volume (B, C, D, H, W) in network range -> logits (B, K + 1, D, H, W).

    Where classes overlap the logits are (B, K, D, H, W), one sigmoid each.
    """

    def __init__(self, encoder: Encoder, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, volume: Tensor) -> Tensor:
        logits: Tensor = self.decoder(volume, self.encoder(volume).maps)
        return logits

    def supervised(self, volume: Tensor) -> list[tuple[float, Tensor]]:
        """Logits at full size with their shares in the loss: the network's own, or those of all heads of a decoder that is
        supervised deeply (its `supervised`)."""
        maps = self.encoder(volume).maps
        deep = getattr(self.decoder, "supervised", None)
        return deep(volume, maps) if deep else [(1.0, self.decoder(volume, maps))]


def build_net(setup: Setup, encoder: Encoder, decoder: str, seed: int) -> SegmentationNet:
    """Put a fresh decoder on an encoder. The decoder's start depends on the seed only, not on what made the encoder."""
    reseed_torch("decoder", setup.task.title, setup.target, seed)
    outputs = len(setup.classes) + (not setup.overlapping)
    head = build_decoder(decoder, encoder=encoder, in_channels=setup.sight.channels, classes=outputs)
    return SegmentationNet(encoder, head)


def layers(net: nn.Module) -> list[nn.Module]:
    """Modules from input to output, for layer-wise decay: the encoder's, then the decoder as one."""
    assert isinstance(net, SegmentationNet)
    return [*net.encoder.layers(), net.decoder]


def demand(setup: Setup) -> None:
    """Raises SpecError for a loss that is none of LOSSES, or, where classes overlap, none of OVERLAPPING_LOSSES."""
    possible = OVERLAPPING_LOSSES if setup.overlapping else LOSSES
    demand_loss(setup.recipe.loss, possible, "classes that overlap" if setup.overlapping else "label maps")


def training_phase(setup: Setup, net: nn.Module) -> Phase:
    """The phase that the loop runs: labelled crops and the recipe's loss, one of those that `demand` lets through."""
    recipe = setup.recipe
    crops = 1 if setup.protocol.whole_volume else recipe.crops_per_volume
    highest = max(len(setup.task.classes), *setup.values)
    views = LabelledCrop(
        shape=setup.sight.shape,
        whole_volume=setup.protocol.whole_volume,
        values=tuple(setup.values.get(value, 0) for value in range(highest + 1)),
        recipe=recipe,
    )

    def judged(logits: Tensor, label: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        if setup.overlapping:
            return region_dice_ce(logits, label, inside, squared="squared" in recipe.loss)
        measure = plain_dice_ce if "plain" in recipe.loss else dice_ce
        return measure(logits, label, inside, background="foreground" not in recipe.loss)

    def loss(batch: Batch) -> Losses:
        assert isinstance(net, SegmentationNet)
        label, inside = batch["label"], batch["inside"]
        found = [(share, judged(logits, label, inside)) for share, logits in net.supervised(batch["volume"])]
        entropy, overlap = (torch.stack([share * both[k] for share, both in found]).sum() for k in (0, 1))
        return {"dice": overlap} if "ce" not in recipe.loss.split("_") else {"cross_entropy": entropy, "dice": overlap}

    draw, turns = VolumesThenCrops(crops), (Turn("all", loss),)
    return Phase("finetune", recipe, draw, views, turns, splits_batch=not whole_batch(net), gathers=shares_batch(net))


def prepare(setup: Setup) -> Callable[[Batch], Batch]:
    """On the device: network range, rotation, zoom and bent space, gain, offset and disturbances; padding stays the darkest."""
    low = darkest(setup.sight.intensity)
    turned = any(setup.recipe.rotate_degrees) or setup.recipe.zoom != (1.0, 1.0) or setup.recipe.elastic_probability > 0

    def apply(batch: Batch) -> Batch:
        volume = to_network_range(batch["volume"], setup.sight.intensity)
        label, inside = batch["label"], batch["inside"]
        if turned:
            volume, label, inside = turn(volume - low, label, inside, batch["turn"], batch.get("bent"))
            volume = volume + low
        volume = disturbed(volume, batch["gain"], batch["offset"], batch.get("disturb"))
        return {"volume": padded(volume, inside[:, None], low), "label": label, "inside": inside}

    return apply


def padded(volume: Tensor, inside: Tensor, low: float) -> Tensor:
    """A volume with `low` where it is not inside (1, else 0)."""
    return volume * inside + low * (1 - inside.to(volume.dtype))


def evaluate(setup: Setup, net: nn.Module, cases: Any) -> float:
    """Mean foreground Dice over cases on the network's grid, means taken in the protocol's order. Selects a checkpoint, by windows
    of the protocol's."""
    setup = replace(setup, inference=setup.selecting)
    found = np.full((len(cases.cases), len(setup.classes)), np.nan)
    for row, case in enumerate(cases.cases):
        guess = _decided(setup)(_probabilities(setup, net, cases, case))
        truth = mapped(cases.read_label(case, (0, 0, 0), cases.shape(case)), setup.values)
        found[row] = [dice(_of_class(setup, guess, k), _of_class(setup, truth, k)) for k in _indices(setup)]
    within = found.T if setup.protocol.average == "class_then_case" else found
    defined = [row[~np.isnan(row)] for row in within]
    return float(np.mean([row.mean() for row in defined if row.size])) if np.isfinite(found).any() else np.nan


def predict_case(setup: Setup, net: nn.Module, cases: Any, case: str, path: Path) -> None:
    """Write a case's label map (uint8 NIfTI, 0 background, classes 1, 2, ..., or codes where classes overlap)."""
    probabilities = _probabilities(setup, net, cases, case)
    meta = cases.meta(case)
    if setup.protocol.score_grid == "native":
        labels = native_labels(probabilities, meta.placement, _decided(setup))
        write_nifti(path, to_native(labels, meta.header), affine=meta.header.affine, dtype=np.uint8)
        return
    affine = np.diag([*cases.spacing(case), 1.0]).tolist()
    write_nifti(path, _decided(setup)(probabilities), affine=affine, dtype=np.uint8)


def score_case(setup: Setup, folder: Path, record: Record, cases: Any, prediction: Path) -> Scored:
    """Score a stored label map against the truth on the protocol's grid and in its unit; volumes are counted in mm3."""
    truth, guess, spacing = _truth_and_guess(setup, folder, record, cases, prediction)
    names = dict(enumerate(setup.classes, start=1))
    maps = (
        [(_of_class(setup, guess, k), _of_class(setup, truth, k), {1: name}) for k, name in names.items()]
        if setup.overlapping
        else [(guess, truth, names)]
    )
    scores = [
        [
            label_map_scores(one, other, classes=classes, spacing_mm=size, metrics=asked)
            for size, asked in _sizes(setup, spacing)
        ]
        for one, other, classes in maps
    ]
    counts: Counter[str] = Counter()
    for in_mm, *_ in scores:
        counts.update(in_mm.counts())
    rows = tuple((row.class_, row.metric, row.value) for found in scores for score in found for row in score.rows)
    return Scored(rows, dict(counts))


def _sizes(setup: Setup, spacing_mm: Spacing) -> list[tuple[Spacing, tuple[str, ...]]]:
    """Voxel sizes to measure with and the metrics of each: the true one, then 1 for what a protocol measures in voxels."""
    metrics = setup.protocol.metrics
    if setup.protocol.distance_unit == "mm":
        return [(spacing_mm, metrics)]
    in_mm = tuple(metric for metric in metrics if parse_metric(metric).variant == "mm")
    return [(spacing_mm, in_mm), ((1.0, 1.0, 1.0), tuple(metric for metric in metrics if metric not in in_mm))]


def case_images(
    setup: Setup, folder: Path, record: Record, cases: Any, prediction: Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Spacing | None]:
    """What a picture of a case needs: first image channel, truth and prediction (D, H, W) on the scored grid, spacing in mm."""
    truth, guess, spacing = _truth_and_guess(setup, folder, record, cases, prediction)
    if setup.protocol.score_grid == "native":
        image = read_image(folder, record).array[0]
    else:
        image = cases.read(record.case_id, (0, 0, 0), cases.shape(record.case_id))[0]
    if setup.overlapping:
        truth, guess = flattened(truth, len(setup.classes)), flattened(guess, len(setup.classes))
    return image, truth, guess, spacing


def _truth_and_guess(
    setup: Setup, folder: Path, record: Record, cases: Any, prediction: Path
) -> tuple[np.ndarray, np.ndarray, Spacing]:
    """Truth and prediction as class indices (or codes) of the target on the grid that the protocol scores on, its spacing."""
    if setup.protocol.score_grid == "native":
        volume = read_label(folder, record, label_map(len(setup.task.classes), setup.task.label_values))
        truth, spacing = volume.array, volume.spacing_mm
    else:
        size = cases.shape(record.case_id)
        truth, spacing = cases.read_label(record.case_id, (0, 0, 0), size), cases.spacing(record.case_id)
    highest = (1 << len(setup.classes)) - 1 if setup.overlapping else len(setup.classes)
    guess = read_label(prediction.parent, _of_prediction(prediction, record), label_map(highest, {})).array
    if guess.shape != truth.shape:
        raise DataUnsound(
            f"the prediction has {guess.shape} voxels, the truth {truth.shape}.",
            case=record.case_id,
            remedy=f"Delete {prediction.name} and predict again.",
        )
    return mapped(truth, setup.values), guess, spacing


def _of_prediction(path: Path, record: Record) -> Record:
    """A prediction read like any case: its own file is both image and label."""
    file = ImageFile(path=path.name, format="nifti")
    label = LabelFile(kind="mask", path=path.name)
    return record.model_copy(update={"images": (file,), "label": label, "spacing": None})


def mapped(label: np.ndarray, values: Mapping[int, int]) -> np.ndarray:
    """Stored labels as class indices (or codes) of the target; what the target leaves out is background."""
    table = np.zeros(256, np.uint8)
    table[list(values)] = list(values.values())
    return table[label]


def _indices(setup: Setup) -> range:
    return range(1, len(setup.classes) + 1)


def _of_class(setup: Setup, labels: np.ndarray, k: int) -> np.ndarray:
    """Where a map of class indices, or of codes, holds class k."""
    return mask(labels, k) if setup.overlapping else labels == k


def _decided(setup: Setup) -> Callable[[np.ndarray], np.ndarray]:
    """How probabilities (K + 1, D, H, W) become a label map or codes (D, H, W)."""
    return (lambda block: codes(block[1:])) if setup.overlapping else likeliest


@torch.no_grad()
def _probabilities(setup: Setup, net: nn.Module, cases: Any, case: str) -> np.ndarray:
    """Softmax (K + 1, D, H, W) float32 on the grid of the cached case; where classes overlap their sigmoids, after an unused 0."""
    device = next(net.parameters()).device
    shape = cases.shape(case)
    stored = cases.read(case, (0, 0, 0), shape)
    wanted = (
        setup.sight.shape
        if setup.protocol.whole_volume
        else tuple(max(have, least) for have, least in zip(shape, setup.sight.shape, strict=True))
    )
    inside = torch.from_numpy(pad_to(np.ones(shape, np.uint8), wanted)).to(device)[None, None]
    volume = to_network_range(torch.from_numpy(pad_to(stored, wanted)).to(device)[None], setup.sight.intensity)
    volume = padded(volume, inside, darkest(setup.sight.intensity))
    mean = _mirrored_mean(setup, net, volume) if setup.inference.mirrored else _windowed(setup, net, volume)
    return np.stack([unpad(channel, shape) for channel in mean[0].float().cpu().numpy()])


def _mirrored_mean(setup: Setup, net: nn.Module, volume: Tensor) -> Tensor:
    """The mean probabilities over the eight mirrorings."""
    total = torch.zeros((), device=volume.device)
    for flips in ([], [2], [3], [4], [2, 3], [2, 4], [3, 4], [2, 3, 4]):
        total = total + _windowed(setup, net, volume.flip(flips)).flip(flips)
    return total / 8


def _windowed(setup: Setup, net: nn.Module, volume: Tensor) -> Tensor:
    if tuple(volume.shape[2:]) == setup.sight.shape:
        return _normalised(setup, net(volume).float())
    from monai.inferers import sliding_window_inference  # three seconds to import: only where windows slide

    logits = sliding_window_inference(
        volume,
        setup.sight.shape,
        setup.inference.window_batch,
        net,
        overlap=setup.inference.overlap,
        mode=setup.inference.blending,
    )
    assert isinstance(logits, Tensor)
    return _normalised(setup, logits.float())


def _normalised(setup: Setup, logits: Tensor) -> Tensor:
    if not setup.overlapping:
        return torch.softmax(logits, 1)
    return torch.cat([torch.zeros_like(logits[:, :1]), torch.sigmoid(logits)], 1)
