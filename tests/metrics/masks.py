"""Random masks, spacings and settings for the property tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from scipy import ndimage

SPACINGS_MM = (0.3, 0.5, 0.76, 1.0, 1.25, 3.0, 5.0)


def examples(count: int) -> settings:
    """The same examples in every run, as many as asked, none of them timed."""
    return settings(max_examples=count, deadline=None, derandomize=True, database=None)


@st.composite
def spacings(draw: Any) -> tuple[float, float, float]:
    """Three voxel sizes in mm, often unequal."""
    return draw(st.tuples(*[st.sampled_from(SPACINGS_MM)] * 3))


@st.composite
def mask_pairs(draw: Any, largest: int = 9, may_be_empty: bool = False) -> tuple[Any, Any]:
    """Two masks of one shape: noise, blobs, thin plates, full volumes, islands; the second often resembles the first."""
    shape = draw(st.tuples(*[st.integers(1, largest)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pred, truth = (_mask(rng, shape, draw(st.sampled_from(("noise", "blob", "blob", "box", "full")))) for _ in range(2))
    if draw(st.booleans()):
        pred = np.roll(truth, draw(st.integers(-2, 2)), axis=draw(st.integers(0, 2))) ^ (rng.random(shape) < 0.03)
    if may_be_empty:
        emptied = draw(st.sampled_from(("neither", "pred", "truth", "both")))
        pred = pred & (emptied not in ("pred", "both"))
        truth = truth & (emptied not in ("truth", "both"))
    else:
        pred, truth = (mask if mask.any() else np.ones(shape, bool) for mask in (pred, truth))
    return pred, truth


def _mask(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Any:
    if kind == "full":
        return np.ones(shape, bool)
    if kind == "box":
        mask = np.zeros(shape, bool)
        low = [int(rng.integers(0, size)) for size in shape]
        mask[tuple(slice(start, start + int(rng.integers(1, 5))) for start in low)] = True
        return mask
    field = rng.random(shape)
    field = ndimage.gaussian_filter(field, 1.2) if kind == "blob" else field
    return field > np.quantile(field, rng.uniform(0.2, 0.97))
