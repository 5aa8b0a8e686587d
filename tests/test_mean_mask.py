"""The control that looks at no image: masks laid over each other by their middles."""

import numpy as np

from tests.benchmarks.mean_mask import centred, commonest


def test_a_mask_is_padded_or_cut_evenly_about_its_middle() -> None:
    line = np.array([[[1, 2, 3, 4]]], np.uint8)
    assert centred(line, (1, 1, 6)).tolist() == [[[0, 1, 2, 3, 4, 0]]]
    assert centred(line, (1, 1, 2)).tolist() == [[[2, 3]]]
    assert centred(line, (3, 1, 4))[:, 0].tolist() == [[0] * 4, [1, 2, 3, 4], [0] * 4]


def test_each_voxel_takes_the_class_of_most_masks_and_background_has_a_vote() -> None:
    masks = [np.array([[row]], np.uint8) for row in ([1, 1, 0, 2], [1, 2, 0, 0], [0, 2, 1])]
    # the third is laid over places 0 to 2; of equals the lower class stands
    assert commonest(masks, 2).tolist() == [[[1, 2, 0, 0]]]
