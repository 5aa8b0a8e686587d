"""The pictures that a method offers, as one file of arrays, from the room that trained it to the one that draws."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts.pictures import Histogram, ImageRows, Picture
from bench.data.atomic import write_bytes


def write_pictures(path: Path, pictures: Sequence[Picture]) -> None:
    """Write pictures atomically; images are kept with 8 bits."""
    told: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for picture in pictures:
        if isinstance(picture, Histogram):
            arrays[picture.name] = picture.values
            words = {"x": picture.x, "y": picture.y, "expected": picture.expected}
        else:
            for row, (_, images) in enumerate(picture.rows):
                for column, image in enumerate(images):
                    arrays[f"{picture.name}/{row}/{column}"] = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
            words = {"columns": list(picture.columns), "rows": [label for label, _ in picture.rows]}
        told.append({"name": picture.name, "title": picture.title, **words})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, words=np.array(json.dumps(told)), **arrays)
    write_bytes(path, buffer.getvalue())


def read_pictures(path: Path) -> tuple[Picture, ...]:
    """What `write_pictures` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return tuple(_picture(words, file) for words in json.loads(str(file["words"])))


def _picture(words: dict[str, Any], file: Any) -> Picture:
    name, title = words["name"], words["title"]
    if "columns" not in words:
        return Histogram(name, title, words["x"], words["y"], file[name], words["expected"])
    columns = tuple(words["columns"])
    rows = tuple(
        (label, tuple(file[f"{name}/{row}/{column}"] / 255.0 for column in range(len(columns))))
        for row, label in enumerate(words["rows"])
    )
    return ImageRows(name, title, columns, rows)
