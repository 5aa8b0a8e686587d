"""Pictures a method offers: kept as arrays in one file, drawn one PNG each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bench.contracts.pictures import Histogram, ImageRows
from bench.data.picture_file import read_pictures, write_pictures
from bench.figures.pictures import draw_pictures

RAMP = np.linspace(0, 1, 256).reshape(16, 16)
ROWS = ImageRows("rebuilt", "A title", ("input", "output"), (("one", (RAMP, 1 - RAMP)), ("two", (RAMP, RAMP))))
USE = Histogram("use", "Words", "words", "uses", np.array([1.0, 5.0, 0.0]), 2.0)


def test_pictures_come_back_from_the_file_with_eight_bits(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures.npz", (ROWS, USE))
    rows, use = read_pictures(tmp_path / "pictures.npz")
    assert isinstance(rows, ImageRows) and isinstance(use, Histogram)
    assert (rows.name, rows.title, rows.columns, [label for label, _ in rows.rows]) == (
        "rebuilt",
        "A title",
        ("input", "output"),
        ["one", "two"],
    )
    np.testing.assert_allclose(rows.rows[0][1][1], 1 - RAMP, atol=1e-9)
    assert use.values.tolist() == [1.0, 5.0, 0.0] and use.expected == 2.0


def test_each_picture_is_drawn_beside_its_file_and_nothing_where_there_is_none(tmp_path: Path) -> None:
    assert draw_pictures(tmp_path) == []
    write_pictures(tmp_path / "pictures.npz", (ROWS, USE))
    drawn = draw_pictures(tmp_path)
    assert [path.name for path in drawn] == ["rebuilt.png", "use.png"]
    for path in drawn:
        pixels = np.asarray(Image.open(path).convert("L"))
        assert pixels.min() < 60 and pixels.max() == 255 and len(np.unique(pixels)) > 20
