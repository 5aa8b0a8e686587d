"""States and weights on disk: written whole or not at all, and never believed when damaged."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts.errors import StoreError

UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, pickle.UnpicklingError)
DIGEST = "sha256"  # the metadata entry in which `save_weights` keeps the digest that `load_weights` checks


@contextmanager
def whole_or_nothing(path: Path) -> Iterator[Path]:
    """A file in `path`'s folder to write to; it takes `path`'s name only once all of it is on the disk.

    A process killed at any point leaves the old file as it was. What it left half-written is overwritten by the next
    writer. Raises StoreError when the disk refuses.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the rename itself must survive a power cut
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise StoreError(
            f"cannot be written: {error.strerror or error}.",
            case=str(path),
            remedy="Free space or choose another folder.",
        ) from error


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training state (tensors, numbers, texts, and lists, tuples and dicts of them) atomically."""
    with whole_or_nothing(path) as partial, partial.open("wb") as file:
        try:
            torch.save(dict(state), file)
        except RuntimeError as error:  # torch hides a full disk in it
            raise OSError(_first_line(error)) from error


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote, to the CPU, executing no code from the file.

    Every record's checksum is verified first, which torch leaves out. Raises StoreError for a missing, truncated or
    altered file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"checksum of record '{damaged}' does not fit")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise StoreError("there is no checkpoint here.", case=str(path), remedy="Train from the start.") from error
    except UNREADABLE as error:
        raise _damaged(path, "checkpoint", error) from error
    if not isinstance(state, dict):
        raise _damaged(path, "checkpoint", TypeError(f"holds a {type(state).__name__}, not a state"))
    return state


def save_weights(
    path: Path, weights: nn.Module | Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write weights as safetensors, atomically, with a metadata dict; their digest is added to it as `sha256`.

    Equal weights and metadata give equal bytes: the hash of a file is in the key of a run that is brought it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # clones: safetensors refuses tied tensors, and a file must hold each name's values anyway
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors(weights).items()}
    with whole_or_nothing(path) as partial:
        try:
            save_file(state, str(partial), metadata={**(metadata or {}), DIGEST: sha256_of_weights(state)})
            _order_metadata(partial)
        except SafetensorError as error:
            raise OSError(_first_line(error)) from error


def _order_metadata(path: Path) -> None:
    """Put the metadata's names in order: safetensors writes them in another one from process to process."""
    with path.open("rb+") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(ordered) <= length, "the same names and numbers, as compact as they were"
        file.seek(8)
        file.write(ordered.ljust(length))


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read safetensors: tensors by name, on the CPU, and the metadata.

    A file with a digest is checked against it; a foreign one has none. Raises StoreError for a missing or damaged file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError as error:
        raise StoreError("there is no weight file here.", case=str(path), remedy="Give an existing file.") from error
    except (OSError, SafetensorError) as error:
        raise _damaged(path, "weight file", error) from error
    if DIGEST in metadata and metadata[DIGEST] != sha256_of_weights(state):
        raise _damaged(path, "weight file", ValueError("its numbers do not fit the digest it was saved with"))
    return state, metadata


def beside(model: nn.Module, state: Mapping[str, Tensor], resting: Collection[str]) -> Mapping[str, Tensor]:
    """A stored state for a model whose `resting` parameters keep the values, and the shapes, that they have."""
    if not resting:
        return state
    own = model.state_dict()
    return {n: own[n] if n in resting else state[n] for n in own if n in resting or n in state}


def sha256_of_weights(weights: nn.Module | Mapping[str, Tensor]) -> str:
    """A digest of names, dtypes, shapes and bytes, in the order of names: equal if and only if the weights are."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors(weights).items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()


def tensors(weights: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a module's state, or of a state, by name."""
    state: Mapping[str, Any] = weights.state_dict() if isinstance(weights, nn.Module) else weights
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _damaged(path: Path, what: str, error: Exception) -> StoreError:
    remedy = (
        "Delete it and start the same command again: this phase then begins anew."
        if what == "checkpoint"
        else "Copy it again from where it came, or delete it and run the command that made it."
    )
    return StoreError(f"this {what} is damaged or incomplete ({_first_line(error)}).", case=str(path), remedy=remedy)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
