"""What a whole view keeps and rounds, and what gain and offset are among other disturbances."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tasks.kinds.disturb import disturbed
from tasks.kinds.whole_view import WholeView


def line_of(*values: int) -> Any:
    """A case of whole numbers along the first axis."""
    voxels = np.array(values, np.int16).reshape(1, -1, 1, 1)
    return SimpleNamespace(
        shape=lambda case: voxels.shape[1:], read=lambda case, start, size: voxels[:, start[0] : start[0] + size[0]]
    )


def test_whole_numbers_are_rounded_when_they_are_resized() -> None:
    """Three voxels of four stand at 1/6, 3/2 and 17/6: 1.67, 15 and 28.3."""
    found = WholeView((3, 1, 1), (1.0, 1.0, 1.0)).of(line_of(0, 10, 20, 30), "a")
    assert found.dtype == np.int16 and found.ravel().tolist() == [2, 15, 28]


def test_a_share_keeps_the_nearest_number_of_voxels() -> None:
    """Three quarters of five voxels are 3.75: four are kept, and none is resized."""
    assert WholeView((4, 1, 1), (0.75, 1.0, 1.0)).of(line_of(1, 2, 3, 4, 5), "a").ravel().tolist() == [1, 2, 3, 4]


def test_gain_and_offset_act_where_nothing_else_disturbs() -> None:
    volume = torch.rand(1, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    neutral = torch.tensor([[0.0, 0, 1, 1, 1]])
    found = disturbed(volume, torch.tensor([[2.0]]), torch.tensor([[0.5]]), neutral)
    torch.testing.assert_close(found, 2 * volume + 0.5, atol=1e-5, rtol=0)
