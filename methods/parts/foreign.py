"""Weight files of others: safetensors, or what torch saved, tensors only."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.contracts.errors import DataMissing, EncoderMismatch

_WRAPPERS = ("state_dict", "model", "module", "model_state")


def read_foreign(path: str) -> dict[str, Tensor]:
    """Tensors by name. A dict that wraps the state is opened. Raises DataMissing where there is no file, EncoderMismatch
    where it holds no tensors; nothing in it is executed."""
    file = Path(path)
    if not file.is_file():
        raise DataMissing(f"No weight file '{path}'.", case=file.name, remedy="Correct the path.")
    try:
        state = _read(file)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise _unreadable(file, (str(error).splitlines() or ["it is empty"])[0]) from error
    while not any(isinstance(value, Tensor) for value in state.values()):
        inside = next((state[name] for name in _WRAPPERS if isinstance(state.get(name), Mapping)), None)
        if inside is None:
            raise _unreadable(file, "it holds no tensors")
        state = inside
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}


def _read(file: Path) -> Mapping[str, Any]:
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(str(file))
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    found = torch.load(file, map_location="cpu", weights_only=True)
    return found if isinstance(found, Mapping) else {}


def _unreadable(file: Path, why: str) -> EncoderMismatch:
    return EncoderMismatch(
        f"'{file.name}' is no file of weights: {why}.",
        case=file.name,
        remedy="Give .safetensors, or torch's .pt or .pth.",
    )
