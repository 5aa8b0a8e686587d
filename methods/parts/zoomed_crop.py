"""A crop of an image of any anisotropy, depth first: turned, zoomed and mirrored in one resampling, in loader workers.

Source   SPAD's released code; the paper says "random crop"
Changes  turns act on voxel indices, as MONAI's do
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from bench.contracts.configs import Shape3
from bench.contracts.method import Arrays, Corpus, Sample
from bench.nets.spad import MOST_ANISOTROPIC, along_back, crop_depth
from methods.parts.equal_anisotropy import ISOTROPIC, Zoomed
from methods.parts.lie import Lie, depth_first_array, lie_of_case, to_unit_range
from methods.parts.views import uniform_start

SLICES_PER_TOKEN = 24  # at most so many slices per token of depth are read


@dataclass(frozen=True)
class ZoomedCrop:
    """`{"volume": (C, d, side, side)}` float16 in [0, 1], d as the batch's anisotropy asks; C is 3 for flat batches, else 1.

    Read are at most 24 slices per token of depth, from a uniform start; the crop lies uniformly inside them, centred where
    they are smaller. With probability 0.3 it is turned, up to 90 degrees in-plane, and out of it up to 30 where slices are at
    most 1.5 times as thick as voxels are wide; each axis is mirrored with probability 0.5. Outside the image stands 0. Of a
    volume of several modalities one is shown, drawn evenly: each counts as an image of its own.
    """

    side: int
    tokens: int
    patch: int
    even_axis: int = 2

    def __call__(self, corpus: Corpus, sample: Sample, rng: np.random.Generator) -> Arrays:
        assert isinstance(sample, Zoomed), "drawn by EqualAnisotropy"
        (case,) = sample
        lie = lie_of_case(corpus, case, self.even_axis)
        size = (crop_depth(sample.da, self.tokens, self.patch), self.side, self.side)
        zoom = np.diag([sample.along_depth, sample.in_plane, sample.in_plane])
        matrix = turn(rng, tilted=lie.ratio <= ISOTROPIC) @ zoom
        slab = self._slab(lie, rng)
        centre = _centre(lie, slab, size, rng)
        image = one_image(cut(corpus, case, lie, slab, matrix, centre, size), lie, rng)
        flips = tuple(axis + 1 for axis in range(3) if rng.random() < 0.5)
        if sample.da == MOST_ANISOTROPIC and len(image) == 1:
            image = np.repeat(image, 3, axis=0)  # colour images and grey ones share their batches
        return {"volume": np.ascontiguousarray(np.flip(image, flips)).astype(np.float16)}

    def _slab(self, lie: Lie, rng: np.random.Generator) -> tuple[int, int]:
        """First and last-plus-one slice that is read."""
        most = min(lie.shape[0], SLICES_PER_TOKEN * self.tokens)
        first = int(rng.integers(0, lie.shape[0] - most + 1))
        return first, first + most


def one_image(image: NDArray[np.float32], lie: Lie, rng: np.random.Generator) -> NDArray[np.float32]:
    """The image itself where it is grey, or a flat one in three colours; else one of its modalities (1, D, H, W)."""
    if len(image) == 1 or (len(image) == 3 and lie.shape[0] == 1):
        return image
    chosen = int(rng.integers(len(image)))
    return image[chosen : chosen + 1]


def centred_crop(corpus: Corpus, case: str, lie: Lie, size: Shape3) -> NDArray[np.float32]:
    """The middle of a case, neither turned nor zoomed: (1 or 3, *size) in [0, 1]; of several modalities the first."""
    middle = (np.array(lie.shape) - 1) / 2
    middle -= (np.array(lie.shape) - size) % 2 / 2  # whole voxels
    image = cut(corpus, case, lie, (0, lie.shape[0]), np.eye(3), middle, size)
    return image if len(image) == 3 and lie.shape[0] == 1 else image[:1]


def turn(rng: np.random.Generator, *, tilted: bool) -> NDArray[np.float64]:
    """A rotation of (depth, h, w) with probability 0.3, else the identity. Draws four numbers in any case."""
    chance, angles = rng.random(), rng.uniform(-1, 1, 3) * np.deg2rad([90.0, 30.0, 30.0])
    if chance >= 0.3:
        return np.eye(3)
    (c0, c1, c2), (s0, s1, s2) = np.cos(angles), np.sin(angles)
    in_plane = np.array([[1, 0, 0], [0, c0, -s0], [0, s0, c0]])
    if not tilted:
        return in_plane
    about_h = np.array([[c1, 0, s1], [0, 1, 0], [-s1, 0, c1]])
    about_w = np.array([[c2, -s2, 0], [s2, c2, 0], [0, 0, 1]])
    turned: NDArray[np.float64] = in_plane @ about_h @ about_w
    return turned


def cut(
    corpus: Corpus,
    case: str,
    lie: Lie,
    slab: tuple[int, int],
    matrix: NDArray[np.float64],
    centre: NDArray[np.float64],
    size: Shape3,
) -> NDArray[np.float32]:
    """(C, *size) in [0, 1]: output voxel o shows the image at matrix (o - middle) + centre, linearly; 0 outside."""
    last = (np.array(size) - 1) / 2
    reach = np.abs(matrix) @ last
    low = np.maximum(np.floor(centre - reach - 1e-6).astype(int), (slab[0], 0, 0))
    high = np.minimum(np.ceil(centre + reach + 1e-6).astype(int) + 1, (slab[1], *lie.shape[1:]))
    channels = corpus.sight.channels
    if (high <= low).any():
        return np.zeros((channels, *size), np.float32)
    start, extent = (int(low[0]), int(low[1]), int(low[2])), high - low
    box = corpus.read(case, along_back(start, lie.axis), along_back((extent[0], extent[1], extent[2]), lie.axis))
    part = to_unit_range(depth_first_array(box, lie.axis), corpus.sight.intensity)
    inner = centre - low
    whole = np.rint(inner - last).astype(int)
    if np.array_equal(matrix, np.eye(3)) and np.allclose(inner - last, whole, atol=1e-6):
        return _placed(part, whole, size)
    if np.array_equal(matrix, np.diag(np.diag(matrix))):
        return _by_axis(part, np.diag(matrix), inner, size)
    return _by_grid(part, matrix, inner, size)


def _by_grid(
    part: NDArray[np.float32], matrix: NDArray[np.float64], inner: NDArray[np.float64], size: Shape3
) -> NDArray[np.float32]:
    """Every voxel at its own place, which turns need."""
    n = np.array(part.shape[1:], float)
    theta = np.concatenate([matrix * np.array(size) / n[:, None], ((2 * inner + 1) / n - 1)[:, None]], axis=1)
    theta = theta[::-1, [2, 1, 0, 3]].copy()  # torch counts axes from the last
    grid = F.affine_grid(torch.from_numpy(theta[None]).float(), [1, 1, *size], align_corners=False)
    shown = F.grid_sample(torch.from_numpy(np.ascontiguousarray(part))[None], grid, align_corners=False)
    found: NDArray[np.float32] = shown[0].clamp_(0, 1).numpy()
    return found


def _by_axis(
    part: NDArray[np.float32], zoom: NDArray[np.float64], inner: NDArray[np.float64], size: Shape3
) -> NDArray[np.float32]:
    """A zoom without a turn, one axis after the other: the same in less time, and seven crops of ten are such."""
    x = torch.from_numpy(np.ascontiguousarray(part))
    for axis, (step, middle, length) in enumerate(zip(zoom, inner, size, strict=True), start=1):
        at = step * (np.arange(length) - (length - 1) / 2) + middle
        low, have = np.floor(at).astype(np.int64), x.shape[axis]
        pair = []
        for place, share in ((low, 1 - (at - low)), (low + 1, at - low)):
            weight = np.where((place >= 0) & (place < have), share, 0.0).astype(np.float32)
            taken = x.index_select(axis, torch.from_numpy(place.clip(0, have - 1)))
            pair.append(taken.mul_(torch.from_numpy(weight).view([-1 if k == axis else 1 for k in range(4)])))
        x = pair[0].add_(pair[1])
    found: NDArray[np.float32] = x.clamp_(0, 1).numpy()
    return found


def _placed(part: NDArray[np.float32], start: NDArray[np.int64], size: Shape3) -> NDArray[np.float32]:
    """The box at `start` of a part, 0 where it reaches beyond."""
    out = np.zeros((len(part), *size), np.float32)
    source, target = [], []
    for first, length, have in zip(start.tolist(), size, part.shape[1:], strict=True):
        begin, end = max(first, 0), min(first + length, have)
        source.append(slice(begin, end))
        target.append(slice(begin - first, end - first))
    out[(slice(None), *target)] = part[(slice(None), *source)]
    return out


def _centre(lie: Lie, slab: tuple[int, int], size: Shape3, rng: np.random.Generator) -> NDArray[np.float64]:
    """The middle of a crop that lies uniformly among whole places inside the slab, centred on axes that are shorter."""
    starts = []
    for first, have, want in zip((slab[0], 0, 0), (slab[1] - slab[0], *lie.shape[1:]), size, strict=True):
        starts.append(first + uniform_start(have, want, rng))
    return np.array(starts) + (np.array(size) - 1) / 2
