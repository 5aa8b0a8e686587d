"""What a method shows after a phase of pre-training, drawn beside its log: rows of images, a histogram."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

from bench.contracts.pictures import Histogram, ImageRows
from bench.data.picture_file import read_pictures
from bench.figures.canvas import BLUE, VERMILION, new_figure, save


def draw_pictures(folder: Path) -> list[Path]:
    """Draw what a training room left in `pictures.npz`, one PNG per picture in the same folder; none where it left none."""
    path = folder / "pictures.npz"
    drawn = []
    for picture in read_pictures(path) if path.is_file() else ():
        out = folder / f"{picture.name}.png"
        if isinstance(picture, Histogram):
            _histogram(picture, out)
        else:
            _rows(picture, out)
        drawn.append(out)
    return drawn


def _rows(picture: ImageRows, out: Path) -> None:
    columns, rows = len(picture.columns), len(picture.rows)
    with new_figure((1.7 * columns + 1.2, 1.7 * rows + 0.7)) as figure:
        panels = figure.subplots(rows, columns, squeeze=False)
        for row, (label, images) in enumerate(picture.rows):
            for column, image in enumerate(images):
                panel = panels[row, column]
                panel.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                panel.set_xticks([])
                panel.set_yticks([])
                panel.spines[:].set_visible(False)
                if row == 0:
                    panel.set_title(picture.columns[column], fontsize=8)
            panels[row, 0].set_ylabel(textwrap.fill(label, 18), fontsize=7)
        figure.suptitle(textwrap.fill(picture.title, 24 * columns), fontsize=9, fontweight="bold", x=0.01, ha="left")
        save(figure, out)


def _histogram(picture: Histogram, out: Path) -> None:
    values = np.sort(picture.values)[::-1]
    with new_figure((6.4, 3.2)) as figure:
        panel = figure.add_subplot()
        panel.set_axisbelow(True)
        panel.bar(np.arange(len(values)), values, width=1.0, color=BLUE, linewidth=0)
        panel.axhline(picture.expected, color=VERMILION, linewidth=1.2)
        panel.text(
            len(values) - 0.5, picture.expected, "even use", color=VERMILION, ha="right", va="bottom", fontsize=8
        )
        panel.set_xlim(-0.5, len(values) - 0.5)
        panel.set_xlabel(picture.x)
        panel.set_ylabel(picture.y)
        panel.set_title(textwrap.fill(picture.title, 90), loc="left", fontweight="bold")
        save(figure, out)
