"""The look of all figures, and how they reach the disk: no window, no global state, the same input the same bytes.

Colours are those of Okabe and Ito (2008), told apart by colour-blind readers.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.data.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
INK, FAINT = "#222222", "#9AA0A6"
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E8EA",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",  # letters stay letters: to be searched, and read aloud
    "svg.hashsalt": "bench",
    "text.parse_math": False,  # a case called `$x$` is a name, not a formula
}


@contextmanager
def new_figure(inches: tuple[float, float], layout: Literal["constrained"] | None = "constrained") -> Iterator[Figure]:
    """A figure in our style, whatever a matplotlibrc of the reader's own says, that no window and no global state knows of."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield Figure(figsize=inches, dpi=150, layout=layout, facecolor="white")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as the suffix of `path` says: `.png`, or `.svg` inside `new_figure`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    form = path.suffix.removeprefix(".")
    figure.savefig(buffer, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    write_bytes(path, buffer.getvalue())
