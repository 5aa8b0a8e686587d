"""What a tokenizer makes of images it has not seen: reconstructions, and how often each word is used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts.method import Corpus
from bench.contracts.pictures import Histogram, ImageRows, Picture
from bench.nets.spad import MOST_ANISOTROPIC, crop_depth, degree_of_anisotropy, degrees_by_depth
from bench.nets.spad_vt import SpadTokenizer
from methods.parts.equal_anisotropy import held_out
from methods.parts.lie import lie_of_case
from methods.parts.soft_tokens import TokenUse, token_use
from methods.parts.zoomed_crop import centred_crop

IMAGES_MOST = 64  # ours, counted for the histogram
SHOWN = 6  # ours, rows of the picture
COLUMNS = ("input", "rebuilt", "difference")


@dataclass(frozen=True)
class Tried:
    """A crop (1, 3, d, S, S) in [0, 1] of a case, what the tokenizer made of it, and its soft tokens (1, ..., V)."""

    case: str
    da: int
    crop: Tensor
    made: Tensor
    q: Tensor

    def errors(self) -> tuple[float, float]:
        """L1 of what was made, and of the crop's mean colour everywhere."""
        flat = self.crop.mean((2, 3, 4), keepdim=True)
        return float((self.made - self.crop).abs().mean()), float((flat - self.crop).abs().mean())


@torch.no_grad()
def tried(tokenizer: SpadTokenizer, corpus: Corpus, side: int, depth: int, even_axis: int) -> Iterator[Tried]:
    """Middle crops of held-out images (of any, where none is held out) through the tokenizer.

    `side` and `depth` are those of a crop at anisotropy 0. A crop is treated as batches of its depth were in training.
    """
    patch, device = tokenizer.token_side, tokenizer.codebook.device
    treated = degrees_by_depth(depth // patch, patch)
    for case in (held_out(corpus) or corpus.cases)[:IMAGES_MOST]:
        lie = lie_of_case(corpus, case, even_axis)
        da = degree_of_anisotropy(lie.ratio)
        crop = centred_crop(corpus, case, lie, (crop_depth(da, depth // patch, patch), side, side))
        x = torch.from_numpy(crop).to(device)[None].expand(-1, 3, -1, -1, -1)
        made, q = tokenizer(x * 2 - 1, treated[x.shape[2]])
        yield Tried(case, da, x, ((made.float() + 1) / 2).clamp(0, 1), q)


def tokenizer_pictures(
    tokenizer: SpadTokenizer, corpus: Corpus, side: int, depth: int, even_axis: int
) -> tuple[Picture, ...]:
    """Reconstructions of what is `tried`, the middle slice of as many degrees of anisotropy as there are, and use of words.

    Titles name mean KL(q || uniform), the entropy of mean use, the largest over the least use of a word, and L1 beside that
    of each crop's mean colour.
    """
    words = len(tokenizer.codebook)
    use = TokenUse(torch.zeros(words, dtype=torch.float64), 0.0, 0)
    errors: list[tuple[float, float]] = []
    seen: list[tuple[int, str, tuple[NDArray[np.float32], ...]]] = []
    for one in tried(tokenizer, corpus, side, depth, even_axis):
        use += token_use(one.q)
        errors.append(one.errors())
        seen.append((one.da, one.case, _middle(one.crop, one.made, upright=one.da < MOST_ANISOTROPIC)))
    off, flat = (float(np.mean(column)) for column in zip(*errors, strict=True))
    which = "held out" if held_out(corpus) else "of the pool, of which it saw all"
    told = f"Tokenizer on {len(seen)} image{'s' * (len(seen) > 1)} {which}: L1 {off:.3g} (the crop's mean {flat:.3g})"
    used = (
        f"KL(q || uniform) {use.divergence:.3g} and H(mean q) {use.breadth:.3g} of {math.log(words):.3g} nats; "
        f"largest use over least {use.spread:.3g}"
    )
    rows = tuple((f"DA {da}: {case}", images) for da, case, images in _spread(seen))
    return (
        ImageRows("reconstructions", told, COLUMNS, rows),
        Histogram("token_use", used, "words, most used first", "sum of q", use.usage.numpy(), use.tokens / words),
    )


def _middle(x: Tensor, made: Tensor, *, upright: bool) -> tuple[NDArray[np.float32], ...]:
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
