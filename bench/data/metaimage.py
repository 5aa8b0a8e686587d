"""MetaImage volumes (.mha, .mhd with .raw), read by SimpleITK: LUNA16 and STOIC ship them. An extra: imported when used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import BenchError
from bench.data.axes import Affine, as_affine
from bench.data.place import Grid, Place, scaled

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
    return Grid(tuple(int(n) for n in reader.GetSize()), as_affine(matrix), pixel)


def voxels(place: Place) -> NDArray[Any]:
    """All voxels as (x, y, z). Raises DataUnsound where the voxels' file is missing or too short."""
    sitk = _sitk()
    _demand_voxels(place)
    try:
        image = sitk.ReadImage(str(place.path), imageIO="MetaImageIO")
    except RuntimeError as error:
        raise place.unsound(f"is truncated or damaged ({_short(error)}).") from None
    array: NDArray[Any] = sitk.GetArrayFromImage(image)
    return scaled(array.transpose(2, 1, 0), 1.0, 0.0, place)


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


def voxels_file(path: Path) -> Path | None:
    """The file that an .mhd names for its voxels; None where they follow the header."""
    if path.suffix.lower() != ".mhd":
        return None
    for line in path.read_text(encoding="latin-1").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "ElementDataFile":
            return None if value.strip() == "LOCAL" else path.parent / value.strip()
    return None


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
