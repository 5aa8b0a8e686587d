"""What a tokenizer makes of images it has not seen: reconstructions, and how often each word is used."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from bench.contracts.method import Corpus
from bench.contracts.pictures import Histogram, ImageRows, Picture
from bench.nets.spad import MOST_ANISOTROPIC, crop_depth, degree_of_anisotropy
from bench.nets.spad_vt import SpadTokenizer
from methods.parts.equal_anisotropy import held_out
from methods.parts.lie import lie_of_case
from methods.parts.soft_tokens import TokenUse, token_use
from methods.parts.zoomed_crop import centred_crop

IMAGES_MOST = 64  # ours, counted for the histogram
SHOWN = 6  # ours, rows of the picture
COLUMNS = ("input", "rebuilt", "difference")


@torch.no_grad()
def tokenizer_pictures(
    tokenizer: SpadTokenizer, corpus: Corpus, side: int, depth: int, even_axis: int
) -> tuple[Picture, ...]:
    """Middle crops of held-out images (of any, where none is held out) through the tokenizer.

    `side` and `depth` are those of a crop at anisotropy 0. Reconstructions show the middle slice of as many degrees of
    anisotropy as there are. Titles name mean KL(q || uniform), the entropy of mean use, the largest over the least use of a
    word, and L1 beside that of each crop's mean.
    """
    patch = tokenizer.token_side
    spared = held_out(corpus)
    cases = (spared or corpus.cases)[:IMAGES_MOST]
    device = tokenizer.codebook.device
    words = len(tokenizer.codebook)
    use = TokenUse(torch.zeros(words, dtype=torch.float64), 0.0, 0)
    errors: list[tuple[float, float]] = []
    seen: list[tuple[int, str, tuple[NDArray[np.float32], ...]]] = []
    for case in cases:
        lie = lie_of_case(corpus, case, even_axis)
        da = degree_of_anisotropy(lie.ratio)
        crop = centred_crop(corpus, case, lie, (crop_depth(da, depth // patch, patch), side, side))
        x = torch.from_numpy(crop).to(device)[None].expand(-1, 3, -1, -1, -1)
        made, q = tokenizer(x * 2 - 1, da)
        made = ((made.float() + 1) / 2).clamp(0, 1)
        use += token_use(q)
        errors.append((float((made - x).abs().mean()), float((x - x.mean()).abs().mean())))
        seen.append((da, case, _middle(x, made, upright=da < MOST_ANISOTROPIC)))
    off, flat = (float(np.mean(column)) for column in zip(*errors, strict=True))
    which = "held out" if spared else "of the pool, of which it saw all"
    told = f"Tokenizer on {len(cases)} image{'s' * (len(cases) > 1)} {which}: L1 {off:.3g} (the crop's mean {flat:.3g})"
    used = (
        f"KL(q || uniform) {use.divergence:.3g} and H(mean q) {use.breadth:.3g} of {math.log(words):.3g} nats; "
        f"largest use over least {use.spread:.3g}"
    )
    rows = tuple((f"DA {da}: {case}", images) for da, case, images in _spread(seen))
    return (
        ImageRows("reconstructions", told, COLUMNS, rows),
        Histogram("token_use", used, "words, most used first", "sum of q", use.usage.numpy(), use.tokens / words),
    )


def _middle(x: torch.Tensor, made: torch.Tensor, *, upright: bool) -> tuple[NDArray[np.float32], ...]:
    """The middle slice of input, reconstruction and their distance, averaged over channels; `upright` shows the first
    in-plane axis from left to right and the second upwards, as volumes count them, otherwise rows as pictures have them."""
    before, after = (t[0, :, t.shape[2] // 2].mean(0).float().cpu().numpy() for t in (x, made))
    images = (before, after, np.abs(after - before))
    return tuple(image.T[::-1] for image in images) if upright else images


def _spread(
    seen: list[tuple[int, str, tuple[NDArray[np.float32], ...]]],
) -> list[tuple[int, str, tuple[NDArray[np.float32], ...]]]:
    """At most so many as are shown, one of each degree of anisotropy before a second of any."""
    turns: dict[int, int] = {}
    ranked = []
    for place, (da, case, images) in enumerate(seen):
        turns[da] = turns.get(da, 0) + 1
        ranked.append((turns[da], da, place, case, images))
    return [(da, case, images) for _, da, _, case, images in sorted(ranked, key=lambda row: row[:3])[:SHOWN]]
