"""One prepared case as one file: image, mask, foreground voxels and meta, compressed and read through a memory map.

A single file can be put in place by one rename, so that a reader sees a whole entry or none, whoever else is writing.
Layout: 8 bytes magic, 8 bytes length of the meta (little-endian), 32 bytes sha256 of the meta, meta as JSON, then the
sections one after the other (blosc2 frames for image and mask, plain int32 triples for foreground voxels).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from bench.contracts.configs import Shape3
from bench.contracts.errors import StoreError
from bench.data.atomic import write_bytes
from bench.data.resample import Placement
from bench.data.volumes import Header

MAGIC = b"SSL3D\x00\x00\x02"  # the last byte is the layout's version
_HEAD_BYTES = 48
_BLOCK_VOXELS = (32, 32, 50)  # small enough to decode little, large enough to compress
_BLOCKS_PER_CHUNK = 4
REMEDY = "Delete that file and prepare the data again; nothing else is lost."


@dataclass(frozen=True)
class CaseMeta:
    """What is known of a prepared case besides its voxels.

    `header` is the native grid of the first image in the file's axis order. `mean` and `sd` are per channel over all
    native voxels (empty unless the intensity is `zscore`). `class_voxels` counts each class present on the prepared
    grid. `notes` says what preparation had to do to the values. `fingerprint` is of the native voxels, so that a volume is
    known again under another name.
    """

    case: str
    header: Header
    placement: Placement
    channels: int
    labelled: bool
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    class_voxels: dict[int, int]
    notes: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class Section:
    """Where a part lies in the file, in bytes from its start."""

    offset: int
    length: int


@dataclass(frozen=True)
class _Index:
    case: CaseMeta
    sections: dict[str, Section]
    payload_sha256: str
    file_bytes: int


@dataclass(frozen=True)
class Entry:
    """A sound entry on disk: its meta and where its parts lie; no voxels are read yet."""

    path: Path
    meta: CaseMeta
    sections: Mapping[str, Section]
    payload_sha256: str

    def frame(self, name: str) -> Any:
        """The blosc2 array `image` (C, D, H, W) or `label` (D, H, W), memory-mapped, decoded by one thread."""
        import blosc2

        offset = self.sections[name].offset
        try:
            return blosc2.open(str(self.path), mode="r", offset=offset, mmap_mode="r", dparams={"nthreads": 1})
        except (RuntimeError, ValueError, OSError) as error:
            raise damaged(self.path, self.meta.case, str(error)) from None

    def foreground(self) -> dict[int, NDArray[np.int32]]:
        """Per class up to 4096 of its voxels, (K, 3) in D, H, W order."""
        return {label: self._triples(f"foreground {label}") for label in sorted(self.meta.class_voxels)}

    def payload_is_whole(self) -> bool:
        """Whether every stored byte is what was written; reads the whole file."""
        start = min(section.offset for section in self.sections.values())
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            file.seek(start)
            while block := file.read(1 << 22):
                digest.update(block)
        return digest.hexdigest() == self.payload_sha256

    def _triples(self, name: str) -> NDArray[np.int32]:
        section = self.sections[name]
        with self.path.open("rb") as file:
            file.seek(section.offset)
            return np.frombuffer(file.read(section.length), "<i4").astype(np.int32).reshape(-1, 3)


def write_entry(
    path: Path,
    image: NDArray[Any],
    label: NDArray[np.uint8] | None,
    foreground: Mapping[int, NDArray[np.int32]],
    meta: CaseMeta,
) -> None:
    """Compress and write one case, atomically. Raises StoreError where the disk refuses; no half file is left."""
    parts = {"image": _compressed(image)}
    if label is not None:
        parts["label"] = _compressed(label)
    parts |= {f"foreground {name}": voxels.astype("<i4").tobytes() for name, voxels in foreground.items()}
    payload = hashlib.sha256()
    for part in parts.values():
        payload.update(part)
    index = _index(meta, {name: len(part) for name, part in parts.items()}, payload.hexdigest())
    head = MAGIC + len(index).to_bytes(8, "little") + hashlib.sha256(index).digest()
    write_bytes(path, b"".join([head, index, *parts.values()]))


def open_entry(path: Path) -> Entry | None:
    """The entry at `path`; None where there is none or it is damaged: other magic, size, or hash of its meta."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            text = file.read(int.from_bytes(head[8:16], "little")) if head.startswith(MAGIC) else b""
            size = file.seek(0, 2)
    except (OSError, MemoryError, OverflowError):
        return None
    if not text or hashlib.sha256(text).digest() != head[16:48]:
        return None
    try:
        index = _adapter().validate_json(text)
    except ValidationError:  # an older layout that forgot to raise the version
        return None
    if size != index.file_bytes:
        return None
    return Entry(path, index.case, index.sections, index.payload_sha256)


def damaged(path: Path, case: str, why: str) -> StoreError:
    """The error for an entry that turned bad after it was opened."""
    return StoreError(
        f"the prepared file '{path.name}' in '{path.parent}' is damaged ({why}).", case=case, remedy=REMEDY
    )


@cache  # building one takes longer than reading an entry
def _adapter() -> TypeAdapter[_Index]:
    return TypeAdapter(_Index)


def _index(meta: CaseMeta, lengths: Mapping[str, int], payload_sha256: str) -> bytes:
    """The meta as JSON. It holds byte offsets that depend on its own length, so the JSON is padded to a fixed one."""

    def text(start: int) -> bytes:
        sections, offset = {}, start
        for name, length in lengths.items():
            sections[name] = Section(offset, length)
            offset += length
        return _adapter().dump_json(_Index(meta, sections, payload_sha256, offset))

    room = len(text(1 << 40))  # offsets never have more digits than this
    return text(_HEAD_BYTES + room).ljust(room)


def _compressed(array: NDArray[Any]) -> bytes:
    import blosc2

    lead = array.ndim - 3
    shape = (array.shape[-3], array.shape[-2], array.shape[-1])
    blocks = _blocks(shape)
    chunks = tuple(min(n, _BLOCKS_PER_CHUNK * block) for n, block in zip(shape, blocks, strict=True))
    settings = {"codec": blosc2.Codec.ZSTD, "clevel": 1, "nthreads": 1}  # zstd 8: 25 times slower and no smaller
    packed = blosc2.asarray(array, chunks=(1,) * lead + chunks, blocks=(1,) * lead + blocks, cparams=settings)
    frame: bytes = packed.to_cframe()
    return frame


def _blocks(shape: Shape3) -> Shape3:
    """Blocks of about 32 x 32 x 50 that divide each axis evenly. Example: 35 x 50 x 150 -> 35 x 25 x 50."""
    d, h, w = (-(-n // max(1, round(n / target))) for n, target in zip(shape, _BLOCK_VOXELS, strict=True))
    return d, h, w
