"""MetaImage volumes (.mha, .mhd with .raw), read by SimpleITK: LUNA16 and STOIC ship them. An extra: imported when used."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import BenchError
from bench.data.axes import Affine, as_affine
from bench.data.place import Grid, Place, scaled

PACKED = ("T", "t", "1")  # how a header says yes
BLOCK_BYTES = 1 << 20
TO_RAS = np.diag([-1.0, -1.0, 1.0])  # ITK's directions stand in LPS


def grid(place: Place) -> Grid:
    """The grid from the header alone. Raises DataUnsound where the file of their own that voxels may lie in is not there."""
    sitk = _sitk()
    _demand_voxels(place)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("MetaImageIO")
    reader.SetFileName(str(place.path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise place.unsound(f"is no readable MetaImage ({_short(error)}).") from None
    matrix = np.eye(4)
    axes = reader.GetDimension()
    if axes == 3:
        direction = np.asarray(reader.GetDirection()).reshape(3, 3)
        matrix[:3, :3] = TO_RAS @ direction * np.asarray(reader.GetSpacing())
        matrix[:3, 3] = TO_RAS @ np.asarray(reader.GetOrigin())
    pixel = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    if reader.GetNumberOfComponents() != 1:
        raise place.unsound(
            f"holds {reader.GetNumberOfComponents()} numbers a voxel; one is due.", "Save one channel a file."
        )
    return Grid(tuple(int(n) for n in reader.GetSize()), as_affine(matrix), pixel)


def voxels(place: Place) -> NDArray[Any]:
    """All voxels as (x, y, z). Raises DataUnsound where the voxels' file is missing, too short or damaged."""
    sitk = _sitk()
    _demand_voxels(place)
    _demand_whole(place)
    try:
        image = sitk.ReadImage(str(place.path), imageIO="MetaImageIO")
    except RuntimeError as error:
        raise place.unsound(f"is truncated or damaged ({_short(error)}).") from None
    array: NDArray[Any] = sitk.GetArrayFromImage(image)
    return scaled(array.T, 1.0, 0.0, place)


def write_metaimage(path: Path, array: NDArray[Any], *, affine: Affine, packed: bool = False) -> list[Path]:
    """Write (x, y, z) voxels with a RAS affine; `.mhd` puts them into a `.raw` beside it, `packed` into a `.zraw`. Returns the
    files written."""
    sitk = _sitk()
    matrix = np.asarray(affine)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((TO_RAS @ matrix[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin((TO_RAS @ matrix[:3, 3]).tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), useCompression=packed)
    return [path, *([path.with_suffix(".zraw" if packed else ".raw")] if path.suffix == ".mhd" else [])]


def _demand_voxels(place: Place) -> None:
    data = voxels_file(place.path)
    if data is not None and not data.is_file():
        raise place.unsound(f"keeps its voxels in '{data.name}', which is not beside it.", "Complete the download.")


def _demand_whole(place: Place) -> None:
    """Refuse packed voxels that do not unpack to their end: ITK says so on the terminal, and hands out what it has got."""
    told, end = _header(place.path)
    if not told.get("CompressedData", "").startswith(PACKED):
        return
    beside = voxels_file(place.path)
    unpacker = zlib.decompressobj(wbits=47)  # zlib's form or gzip's, as ITK
    with (beside or place.path).open("rb") as file:
        file.seek(0 if beside else end)
        try:
            while not unpacker.eof and (block := file.read(BLOCK_BYTES)):
                unpacker.decompress(block)
        except zlib.error as error:
            raise place.unsound(f"is damaged: its packed voxels do not unpack ({error}).") from None
    if not unpacker.eof:
        raise place.unsound("is truncated: its packed voxels end too early.")


def voxels_file(path: Path) -> Path | None:
    """The file that an .mhd names for its voxels; None where they follow the header."""
    if path.suffix.lower() != ".mhd":
        return None
    name = _header(path)[0].get("ElementDataFile", "LOCAL")
    return None if name == "LOCAL" else path.parent / name


def _header(path: Path) -> tuple[dict[str, str], int]:
    """The words of a header, which end with where the voxels lie, and its length in bytes."""
    told: dict[str, str] = {}
    with path.open("rb") as file:
        for line in file:
            name, _, value = line.decode("latin-1").partition("=")
            told[name.strip()] = value.strip()
            if "ElementDataFile" in told:
                break
        return told, file.tell()


def _sitk() -> Any:
    try:
        import SimpleITK
    except ImportError:
        message = "MetaImage files (.mha, .mhd) need the package SimpleITK, which is not installed."
        raise BenchError(message, remedy="pip install 'ssl3d-bench[metaimage]'") from None
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # its warnings would go to the terminal past our own words
    return SimpleITK


def _short(error: Exception) -> str:
    """ITK's errors name source files and lines; the last line says what happened."""
    return str(error).strip().splitlines()[-1].strip()[:160]
