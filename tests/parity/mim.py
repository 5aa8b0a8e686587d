"""MiM's released code and ours, given the same weights, draws and input: `python -m tests.parity.mim FOLDER [--out FILE.json]`.

FOLDER is a checkout of github.com/JiaxinZhuang/MiM. Ours is preset `ref_code`, from which `full` differs as its file tells.
Compared are

- pre-training at the paper's size (71 M weights, a crop of 192^3, 21 volumes of 96^3): sine positions, how many tokens hide,
  the volumes of all levels, what is rebuilt, the five terms of the loss; the same at a quarter of the width and 5 blocks for 17,
  so that memory suffices, with all gradients; InfoNCE between levels 1 and 2, which `full` has and the released script not;
- fine-tuning: maps and logits at the paper's size, rates of drop-path; loss and gradients in double precision at a quarter of
  the width and 64^3 voxels; what a pre-trained file fills for 192 x 192 x 32 voxels, and the maps then; a classifier's logits;
- losses of fine-tuning, learning rates, weights of levels, and the crop that the loader of pre-training makes of a file.

Left out since it cannot run as released: its factory (it never returns this network), InfoNCE between levels 2 and 3 (IndexError),
training loops (CUDA, wandb), loaders of other tasks than COVID-19-20 (they raise). Of draws only what is replayed is compared;
neither the start of weights nor metrics are. Five minutes and 7 GB on one core.
"""

from __future__ import annotations

import contextlib
import functools
import io
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts.record import ImageFile, Record
from bench.data.axes import as_affine
from bench.data.cache import prepare
from bench.data.cache_recipe import CacheRecipe
from bench.data.volumes import write_nifti
from methods.mim import REF_CODE, MiM, MiMConfig, level_weights
from methods.parts.views import OneCrop
from tests.parity import mim_tuning
from tests.parity.mim_networks import NARROW, SIGHT, Released, both_pretraining, gradients, named
from tests.parity.released import Compared, checkout, compared, report

REPOSITORY = "JiaxinZhuang/MiM"
TERMS = ("rebuild_1", "rebuild_2", "rebuild_3", "align_12", "align_23")


def looked(theirs: nn.Module, ours: MiM, volume: Tensor) -> tuple[Any, list[Tensor], list[Any], dict[str, Tensor]]:
    """What theirs answers and which tokens it hid; our levels and terms after the same draws."""
    hidden: list[Tensor] = []
    chosen: list[Tensor | None] = []
    count = ours.config.children
    theirs.forward_encoder = _heard(theirs.forward_encoder, lambda answer: hidden.append(answer[1].bool()))
    theirs.select_patches = _heard(theirs.select_patches, lambda answer: chosen.append(answer[1].view(-1, count)))
    answer = theirs(volume)
    draws = iter(zip(hidden, [*chosen, None], strict=True))
    with mock.patch.object(ours, "hide", lambda *_: next(draws)):
        levels = ours.look(volume)
    return answer, hidden, levels, {**ours.reconstruction(levels), **ours.alignment(levels)}


def _heard(call: Callable[..., Any], hear: Callable[[Any], None]) -> Callable[..., Any]:
    def heard(*words: Any, **named: Any) -> Any:
        answer = call(*words, **named)
        hear(answer)
        return answer

    return heard


def pretraining(code: Released, what: str, config: MiMConfig) -> list[Compared]:
    """Geometry, what is rebuilt and the terms of the loss; where the network is narrow, their gradients."""
    narrow = config.widths != REF_CODE.widths
    theirs, ours = both_pretraining(code, config)
    with torch.set_grad_enabled(narrow):
        answer, hidden, levels, terms = looked(theirs, ours, torch.rand(1, 1, *config.crop))
    found = []
    for k, level in enumerate(levels):
        drawn, _ = ours.hide(len(level.volume), torch.device("cpu"), k + 1)
        parts = 8 if k == 0 else 1  # level 1 hides eighths of its tokens
        counts = [x.view(len(x) * parts, -1).sum(1).sort().values for x in (hidden[k], drawn)]
        found += [
            compared(f"{what}: how many tokens of level {k + 1} are hidden, ours by own draws", *counts),
            compared(f"{what}: volumes of level {k + 1}", answer[-1][k], level.volume),
            compared(f"{what}: rebuilt voxels of level {k + 1}", answer[1 + k], level.rebuilt),
        ]
    losses = [loss.squeeze() * weight for loss, weight in zip(answer[0], (1, 1, 1, 0.1, 0.1), strict=True)]
    found += [compared(f"{what}: loss {name}", one, terms[name]) for name, one in zip(TERMS, losses, strict=True)]
    if not narrow:
        return found
    sum(losses).backward()
    sum(terms.values()).backward()
    return found + gradients(what, named(theirs, gradients=True), ours)


def contrast(code: Released) -> list[Compared]:
    """InfoNCE of a child's mean against the means of its parent's eighths: what the paper has, where the code can run it."""
    config = replace(NARROW, alignment="info_nce", aligned_pairs=("12",), children=2)
    fewer = ("--sample_usual", "2", "--sample_down", "2")
    theirs, ours = both_pretraining(code, config, "--attn_loss_name", "CE", "--atten_weight_ud", "0", *fewer)
    with mock.patch.object(Tensor, "cuda", lambda self: self):
        answer, *_, terms = looked(theirs, ours, torch.rand(2, 1, *config.crop))
    one, other = 0.1 * answer[0][3], terms["align_12"]
    one.backward()
    other.backward()
    return [compared("InfoNCE: loss align_12", one, other), *gradients("InfoNCE", named(theirs, gradients=True), ours)]


def fixed(code: Released) -> list[Compared]:
    """What no weight decides: positions, and how the outer levels are weighed over the epochs."""
    ours = MiM(REF_CODE, SIGHT)
    told = named(code.pretraining.convmae_convvit_base_patch16(args=code.arguments.get_args().parse_args([])))
    found = [
        compared("sine positions of the encoder", told["encoder.positions"], ours.encoder.positions),
        compared("sine positions of the decoder", told["decoder.pos_embed"][0], ours.decoder.positions),
    ]
    epochs = torch.arange(0, 801, 50)
    args, weights = SimpleNamespace(epochs=800), level_weights("coarse_to_fine", epochs / 800)
    for name, k in (("get_cos_weight_lower", 0), ("get_sin_weight_higher", 2)):
        theirs = torch.stack([getattr(code.schedule, name)(args, int(epoch)) for epoch in epochs])
        found.append(compared(f"weight of level {k + 1}, coarse to fine", theirs, weights[k]))
    return found


def preparation(code: Released) -> list[Compared]:
    """The crop of a file in another orientation, smaller than the crop: turned, windowed, padded at both ends."""
    shape = (150, 171, 192)
    voxels = np.random.default_rng(7).integers(-1500, 1500, shape).astype(np.int16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        affine = as_affine(np.array([[0.0, 0, 1.5, 30], [-0.7, 0, 0, 9], [0, 0.7, 0, 0], [0, 0, 0, 1]]))
        write_nifti(folder / "case.nii.gz", voxels, affine=affine, dtype=np.int16)
        args = code.arguments.get_args().parse_args(["--batch_size", "1", "--num_workers", "1", "--cache_dir", name])
        args.distributed = False
        with mock.patch.object(code.loader, "get_dataset", lambda _: [str(folder / "case.nii.gz")]):
            theirs = next(iter(code.loader.get_loader_mmsmae(args)))
        image = (ImageFile(path="case.nii.gz", format="nifti"),)
        record = Record(dataset="d", adapter_version="1", case_id="a", patient_id="a", group="a", images=image)
        cases = prepare(folder, [record], CacheRecipe(intensity=SIGHT.intensity), folder / "cache")
        crop = OneCrop(REF_CODE.crop)(cases, ("a",), np.random.default_rng(0))["volume"]
        ours = MiM(NARROW, SIGHT).prepare({"volume": torch.from_numpy(crop)[None]})["volume"]
    return [compared("preparation: crop of 192^3", torch.as_tensor(theirs), ours)]


PARTS = (
    fixed,
    functools.partial(pretraining, what="pre-training", config=REF_CODE),
    functools.partial(pretraining, what="pre-training, narrow", config=NARROW),
    contrast,
    preparation,
    mim_tuning.segmentation,
    mim_tuning.segmentation_gradients,
    mim_tuning.taken_from_pretraining,
    mim_tuning.classification,
    mim_tuning.losses,
    mim_tuning.rates,
)
NOTES = (
    "Unlike the code: in pre-training's warm-up ours gives update s of 200 the share (s + 1) / 200 of the rate, the code s / 200, "
    "so 0 to the first; and the code's five updates of an epoch lie at 64 of its 373 batches each, ours at fifths of it.",
    "Unlike the code: of 50 epochs of warm-up in fine-tuning it gives epoch e the share e / 49, so 0 to the first; ours, of 6 "
    "updates an epoch, e / 50 + 1 / 300.",
    "Unlike the code: the classifier's norm has 1e-6 below the root, our pooled features 1e-5.",
    "Known: with several crops on a device the code's align_12 takes every anchor from the first; its script has one, as here.",
)


def main() -> None:
    """Compare, print, write the report."""
    folder, out = checkout(REPOSITORY)
    torch.manual_seed(0)
    warnings.filterwarnings("ignore")  # theirs, of older versions of torch
    with contextlib.redirect_stdout(io.StringIO()):
        code = Released(folder)
        found = [one for part in PARTS for one in part(code)]
    report(REPOSITORY, folder, found, out, NOTES)


if __name__ == "__main__":
    main()
