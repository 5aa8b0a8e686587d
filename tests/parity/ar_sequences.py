"""The sequences of AR beside those of its released code: files through their scripts and data set, and through our views.

Part of `tests.parity.ar`. Their scripts cut crops out of small NIfTI files and list them, their data set reads the lists as
sequences; ours repeats every draw of a box, a start and a prefix. Two volumes stand for the spatial family, one of them shallower
than a crop, one examination for the contrast family, 32 lesions of four series for the semantic one. The script of the latter has
its paths written in: its readers and its writer, under the names it gives them, are answered from memory.
"""

from __future__ import annotations

import importlib
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import nibabel
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts.configs import Intensity, Shape3, Sight
from bench.nets.prefix_attention import Prefix, prefix_attention
from methods.ar import AR
from methods.parts import slabs
from tests.parity.released import Compared, compared

CROP: Shape3 = (128, 128, 128)
SLAB: Shape3 = (128, 128, 32)
SPATIAL: Mapping[str, Shape3] = {"deep": (150, 140, 136), "shallow": (150, 130, 60)}
CONTRASTS = ("t1n", "t1c", "t2w", "t2f")
CENTRES = (
    (100, 90),
    (30, 170),
    (64, 64),
    (199, 0),
)  # columns and rows in the picture; three windows reach over its border
LESIONS = {f"{k:06d}_01_{category:02d}": (k, category) for category in range(1, 9) for k in range(4)}
PLACES = {"spatial": "", "contrast": "pair4", "semantic": "pair4"}  # where their script puts its lists
SEED = 204  # prefixes of 493, 8 and 227 tokens, so that a pooled loss is no mean of means


@dataclass(frozen=True)
class Shelf:
    """A corpus in memory: volumes (D, H, W) by case, and what is told of them."""

    volumes: Mapping[str, np.ndarray]
    told: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sight = Sight(1, CROP, None, Intensity("zscore"))

    @property
    def cases(self) -> tuple[str, ...]:
        return tuple(self.volumes)

    def shape(self, case: str) -> Shape3:
        return self.volumes[case].shape

    def read(self, case: str, start: Shape3, size: Shape3) -> np.ndarray:
        return self.volumes[case][tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))][None]

    def fields(self, case: str) -> Mapping[str, Any]:
        return self.told.get(case, {})


class Drawn:
    """Our generator's `integers` out of Python's `random`, at the crop that follows so many of the same shape and size."""

    def __init__(self, crops_before: int, shape: Shape3, size: Shape3) -> None:
        self.random = random.Random(SEED)
        for _ in range(crops_before):
            self.random.choice([size])  # the released scripts draw the size too, out of one
            slabs.random_box(shape, size, self)
        self.random.choice([size])

    def integers(self, low: int, high: int) -> int:
        return self.random.randint(low, high - 1)


def image(shape: Shape3, seed: int) -> np.ndarray:
    """Blobs and noise in whole numbers, as a scanner's."""
    generator = torch.Generator().manual_seed(seed)
    blobs = F.interpolate(torch.randn(1, 1, 7, 7, 7, generator=generator), size=shape, mode="trilinear")[0, 0]
    return (300 * blobs + 40 * torch.randn(shape, generator=generator)).round().short().numpy()


def corpus() -> Shelf:
    """What both are given."""
    volumes = {case: image(shape, k) for k, (case, shape) in enumerate(SPATIAL.items())}
    volumes |= {f"person-{name}": image((150, 140, 50), 10 + k) for k, name in enumerate(CONTRASTS)}
    series = [image((200, 200, 13), 20 + k) for k in range(4)]
    told: dict[str, dict[str, Any]] = {f"person-{name}": {"group": "person", "contrast": name} for name in CONTRASTS}
    for case, (k, category) in LESIONS.items():
        volumes[case] = series[k]
        told[case] = {"category": category, "lesion_centre": CENTRES[k][::-1]}  # rows are their first axis
    return Shelf(volumes, told)


def prepared(given: Shelf, work: Path) -> Mapping[str, list[str]]:
    """Their crops of it, stored by their scripts below `work`, and the three lists of them by their fourth."""
    spatial, contrast, semantic, lists = (
        importlib.import_module(name)
        for name in (
            *(f"proc_{family}_sequence" for family in ("spatial", "contrast", "semantic")),
            "gen_pretrain_list",
        )
    )
    folders = {name: work / f"patch_random_{name}" for name in ("spatial", "contrast", "semantic")}
    for folder in (*folders.values(), work / "files" / "more", work / "pair4"):
        folder.mkdir(parents=True)
    for case in (*SPATIAL, *(f"person-{name}" for name in CONTRASTS)):
        nibabel.save(nibabel.Nifti1Image(given.volumes[case], np.eye(4)), work / "files" / "more" / f"{case}.nii.gz")
    for case in SPATIAL:
        random.seed(SEED)
        path = str(work / "files" / "more" / f"{case}.nii.gz")
        spatial.cut_and_save_one_volume(path, [CROP[::-1]], 2, str(folders["spatial"]), 0, list(CROP))
    random.seed(SEED)
    path = str(work / "files" / "more" / "person-t1n.nii.gz")
    contrast.cut_and_save_one_volume(path, [SLAB[::-1]], 1, str(folders["contrast"]), 0, list(SLAB))
    _semantic(semantic, given, folders["semantic"])
    listdir = os.listdir
    with mock.patch.object(os, "listdir", lambda folder: sorted(listdir(folder))):
        for write in (lists.gen_spatial_list, lists.gen_contrast_list, lists.gen_semantic_list):
            write(str(work), str(work))
    return {name: (work / place / f"train_patch_{name}.txt").read_text().split("\n") for name, place in PLACES.items()}


def _semantic(script: Any, given: Shelf, folder: Path) -> None:
    """Their script over our series: its table, files and volumes from memory, what it writes into `folder`."""
    rows = [[""] * 18]
    for case, (k, category) in LESIONS.items():
        (x, y), row = CENTRES[k], [""] * 18
        row[0], row[9], row[11] = f"{case}_109.png", str(category), "103, 115"
        row[6] = ", ".join(str(float(n)) for n in (x - 7.5, y - 4.5, x + 8.5, y + 5.5))
        rows.append(row)
    save = np.save
    with (
        mock.patch.multiple(
            script,
            readCSV=lambda _path: rows,
            glob=lambda pattern: [Path(pattern).name.partition("_*")[0]],
            load_nii_data=lambda case: (given.volumes[case].astype(np.float64), None),
        ),
        mock.patch.object(os, "makedirs"),
        mock.patch.object(np, "save", lambda path, values: save(folder / Path(path).name, values)),
    ):
        script.main()


def sequences(work: Path, method: AR) -> tuple[list[Compared], dict[str, Tensor]]:
    """Their sequences and ours, and theirs of three families as a batch for the networks."""
    given = corpus()
    lists = prepared(given, work)
    settings = importlib.import_module("configs.datasets").custom_dataset(
        **{f"{name}_path": str(work / place / f"train_patch_{name}.txt") for name, place in PLACES.items()}
    )
    data = importlib.import_module("image_dataset").get_custom_dataset(settings, "train")
    items, found = [], entries(given, lists, data.ann, method)
    for number, line in enumerate(data.ann[:4]):
        random.seed(SEED + number)
        items.append(data[number])
        what = f"sequence {number + 1}, {_family(line)}"
        volume, prefix = ours(given, line, number, method)
        theirs = torch.as_tensor(items[-1]["input_image"]).reshape(CROP)
        found += [compared(f"{what}: voxels", theirs, volume[0]), seen(what, items[-1], prefix)]
        shown = method.prepare({"volume": volume, "prefix": prefix})["volume"]
        found.append(compared(f"{what}: voxels as a network gets them", theirs.bfloat16(), shown[0]))
    return found, {key: torch.stack([torch.as_tensor(item[key]) for item in items[1:]]) for key in items[0]}


def ours(given: Shelf, line: str, number: int, method: AR) -> tuple[Tensor, Tensor]:
    """Our view of the entry that their line names, with their draws: (1, D, H, W), ()."""
    names = [Path(path).stem for path in line.split(",")]
    draws, size, crops_before = random.Random(SEED + number), SLAB, 0
    if _family(line) == "spatial":
        _, case, _, crop = names[0].split("_")
        sample, size, crops_before = (case,), CROP, int(crop) - 1
        start, prefix = draws.randint(0, 63), draws.randint(0, 511)
        told = iter([prefix, 0, 0, start])
    else:
        prefix = draws.randint(0, 511)
        told = iter([prefix, 0])
        sample = tuple(f"person-{name}" for name in CONTRASTS)
        if _family(line) == "semantic":
            sample = tuple("_".join(name.split("_")[:3]) for name in names)
    box = Drawn(crops_before, given.shape(sample[0]), size)
    with mock.patch.object(slabs, "crop_generator", lambda _case, _number: box):
        (phase,) = method.phases
        shown = phase.views(given, sample, SimpleNamespace(integers=lambda *_: next(told)))
    return torch.from_numpy(shown["volume"]), torch.from_numpy(shown["prefix"])


def entries(given: Shelf, lists: Mapping[str, list[str]], kept: list[str], method: AR) -> list[Compared]:
    """How many entries a family has, which of all are trained on, and the lesion types of semantic ones, line by line."""
    draw = replace(method.draw, crops_per_volume=2, crops_per_group=1)  # what their scripts were asked for
    offer = draw.offer(given)
    lines = [line for name in lists for line in lists[name]]
    place = {line: number for number, line in enumerate(lines)}
    trained = [place[lines[draw.entry(k)]] for k in range(draw.trained(len(lines)))]
    first = len(lines) - len(lists["semantic"])
    some = range(first, len(lines), 97)
    types = [float(lines[number].rpartition("_")[2].removesuffix(".npy")) for number in some]
    own = [float(given.told[offer.sample(number)[0]]["category"]) for number in some]
    counts = [float(len(lists[name])) for name in lists]
    return [
        compared("entries by family", torch.tensor(counts), torch.tensor([float(n) for n in offer.counts().values()])),
        compared("numbers of the entries trained on", torch.tensor([place[x] for x in kept]), torch.tensor(trained)),
        compared("lesion types of semantic entries, every 97th", torch.tensor(types), torch.tensor(own)),
    ]


def seen(what: str, item: Mapping[str, Any], prefix: Tensor) -> Compared:
    """Who sees whom, ours read from attention whose every query likes all keys alike."""
    places = len(item["input_ids"])
    even = torch.zeros(1, 1, places, places)
    mixed = prefix_attention(even, even, torch.eye(places)[None, None], Prefix.of(prefix[None] + 1, places))
    theirs = torch.as_tensor(item["attention_mask"]).reshape(places, places)
    return compared(f"{what}: attention mask", theirs, mixed[0, 0] > 0)


def _family(line: str) -> str:
    return Path(line.split(",")[0]).parent.name.removeprefix("patch_random_")
