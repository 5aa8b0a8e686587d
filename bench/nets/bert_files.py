"""Does a folder hold a BERT as its owners ship it: `config.json`, `vocab.txt` and weights? No torch, so that it is asked first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.contracts.errors import DataMissing, SpecError

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
LEAST_TOKENS = 3  # one between the two marks


def bert_config(folder: str | Path, longest: int) -> dict[str, Any]:
    """The folder's `config.json`, once all files are there, it is a BERT's, and that reads `longest` tokens.

    Raises DataMissing or SpecError, about the folder.
    """
    folder = Path(folder)
    if absent := _absent(folder):
        raise DataMissing(
            f"The text encoder's folder lacks {', '.join(absent)}.",
            case=str(folder),
            remedy="Name a folder with a BERT as its page ships it (RadBERT, CXR-BERT), or leave the setting empty.",
        )
    config = _read(folder / "config.json")
    kind, most = config.get("model_type", "bert"), config.get("max_position_embeddings", 512)
    if kind not in ("bert", "cxr-bert") or "hidden_size" not in config or "vocab_size" not in config:
        raise SpecError(
            f"config.json describes a '{kind}'.", case=str(folder), remedy="Give a BERT (RadBERT, CXR-BERT)."
        )
    if not LEAST_TOKENS <= longest <= most:
        raise SpecError(
            f"This BERT reads {LEAST_TOKENS} to {most} tokens, asked for {longest}.",
            case=str(folder),
            remedy=f"Set text_length={most}, or text_tower_length={most}.",
        )
    return config


def _absent(folder: Path) -> list[str]:
    absent = [name for name in ("config.json", "vocab.txt") if not (folder / name).is_file()]
    return absent if any((folder / name).is_file() for name in WEIGHTS) else [*absent, " or ".join(WEIGHTS)]


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(config, dict):
            return config
        problem = f"it is a {type(config).__name__}, no object"
    except ValueError as error:
        problem = str(error)
    raise SpecError(
        f"config.json is damaged: {problem}.", case=str(path.parent), remedy="Fetch it again from the BERT's page."
    )
