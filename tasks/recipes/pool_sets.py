"""One public set of a pre-training pool, in a line, and the member of a corpus that it makes."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from bench.contracts.cards import CorpusMember
from tasks.layouts.image_tree import Images, ImageTree
from tasks.layouts.phantom_case import Look
from tasks.layouts.series_tree import Series, SeriesTree

# FLARE23 gathers public sets, the Decathlon and LiTS among them; which of their scans it holds no list tells
_GATHERED = ("amos22", "msd03", "msd06", "msd07", "msd08", "msd09", "msd10", "organmnist3d")
FLARE23_EXPOSES = {
    "flare22": "probably a part: FLARE23 gathers scans of FLARE22",
    **dict.fromkeys(_GATHERED, "perhaps a part: FLARE23 gathers public sets, and which scans no list tells"),
}
"""Task -> what is told of its test cases where a pool holds FLARE23."""


class PoolSet(NamedTuple):
    """A set as its owners ship it. `printed` is how many images the paper counts, `weight` how often one is drawn,
    `overlaps` names the tasks that know its images; `files` tells images by pattern, or series of DICOM; `exposes` says of a task
    that it knows of a part alone."""

    key: str
    folders: tuple[str, ...]
    look: Look
    printed: int
    weight: float
    overlaps: tuple[str, ...]
    files: tuple[Images, ...] | tuple[Series, ...]
    exposes: Mapping[str, str] = MappingProxyType({})


def pool_member(one: PoolSet, pool: str) -> CorpusMember:
    """The set in a pool; `pool` ends the name of the folder where its phantoms go, for none may stand in for a task's data."""
    folders = (f"{one.key}-{pool}", *one.folders)
    look = replace(one.look, dataset=one.key)
    images = tuple(part for part in one.files if isinstance(part, Images))
    series = tuple(part for part in one.files if isinstance(part, Series))
    return CorpusMember(
        key=one.key,
        files=ImageTree(names=folders, images=images, look=look)
        if images
        else SeriesTree(names=folders, series=series, look=look),
        folders=folders,
        printed=one.printed,
        weight=one.weight,
        overlaps=one.overlaps,
        exposes=one.exposes,
    )
