"""A BERT as its owners ship it: `config.json`, `vocab.txt` and weights, read from a folder without network.

Source   Devlin et al., NAACL 2019 (arXiv 1810.04805); layouts of StanfordAIMI/RadBERT and microsoft/BiomedVLP-CXR-BERT
Changes  only the encoder is taken; pooler and pre-training heads of the file are left out. Frozen: no gradient, no dropout
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts.errors import SpecError
from bench.nets.bert_files import WEIGHTS, bert_config
from bench.nets.text_encoder import TextEncoder

SPECIALS = ("[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]")
OF_THE_FILE = ("model_type", "auto_map", "architectures")  # words of config.json about its own classes
HEADS = re.compile(r"^(cls\.|cls_|pooler\.|projection|.*position_ids$)")


class WordPieces:
    """BERT's WordPiece tokeniser over a `vocab.txt`; text comes in lower case."""

    def __init__(self, path: Path) -> None:
        words = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        place = {word: number for number, word in enumerate(words)}
        absent = [word for word in SPECIALS if word not in place]
        if absent:
            raise SpecError(
                f"{path.name} of {len(words)} words lacks {', '.join(absent)}.",
                case=str(path.parent),
                remedy="Give a BERT with a WordPiece vocabulary, as RadBERT and CXR-BERT have.",
            )
        self.size = len(words)
        self.padding, self.start, self.end, self.mask, _ = (place[word] for word in SPECIALS)
        self.specials = frozenset(place[word] for word in SPECIALS)
        self._goes_on = np.array([word.startswith("##") for word in words])
        self._pieces = _transformers().BertTokenizerFast(vocab=str(path), do_lower_case=True)

    def ids(self, text: str) -> list[int]:
        found: list[int] = self._pieces.encode(text, add_special_tokens=False)
        return found

    def continues(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        return self._goes_on[ids]


class BertFolder(TextEncoder):
    """The frozen BERT of a folder. Its weights are part of the state, so that a run keeps what it was trained with."""

    def __init__(self, folder: str, *, longest: int, dropout: bool = False) -> None:
        super().__init__()
        path = Path(folder)
        told = bert_config(path, longest)
        config = {name: value for name, value in told.items() if name not in OF_THE_FILE}
        transformers = _transformers()
        self.tokeniser = WordPieces(path / "vocab.txt")
        self.bert = transformers.BertModel(transformers.BertConfig(**config), add_pooling_layer=False)
        _load(self.bert, path)
        self.bert.requires_grad_(False)
        self._dropout = dropout
        self.width, self.vocabulary = int(config["hidden_size"]), int(config["vocab_size"])
        self.train()

    def forward(self, words: Tensor, group: Tensor, position: Tensor) -> Tensor:
        together = group[:, :, None] == group[:, None, :]
        told = (group > 0)[:, None]  # padding sees what is told in its row, or itself where nothing is: no row is empty
        together = torch.where((group == 0)[..., None] & told.any(-1, keepdim=True), told, together)[:, None]
        found: Tensor = self.bert(input_ids=words, attention_mask=together, position_ids=position).last_hidden_state
        return found

    def embed(self, words: Tensor, position: Tensor) -> Tensor:
        found: Tensor = self.bert.embeddings(input_ids=words, position_ids=position)
        return found

    def train(self, mode: bool = True) -> Self:
        """Evaluation mode, unless dropout was asked for."""
        super().train(mode)
        self.bert.train(mode and self._dropout)
        return self


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise SpecError(
            "A BERT folder is read with the package transformers, which is not installed.",
            remedy="pip install 'ssl3d-bench[text]', or name no folder with a BERT.",
        ) from error
    return transformers


def _load(bert: torch.nn.Module, folder: Path) -> None:
    """Fill every tensor of the encoder from the folder; SpecError names the first that is not there or does not fit."""
    found = {_plain_name(name): tensor for name, tensor in _read(folder).items()}
    for name, own in bert.state_dict().items():
        if HEADS.match(name):
            continue
        shape = tuple(found[name].shape) if name in found else "nothing"
        if shape != tuple(own.shape):
            raise SpecError(
                f"The weight '{name}' has shape {tuple(own.shape)} by config.json, the file holds {shape}.",
                case=str(folder),
                remedy="Fetch config.json and the weights from the same page.",
            )
    bert.load_state_dict({name: tensor for name, tensor in found.items() if name in bert.state_dict()}, strict=False)


def _read(folder: Path) -> Mapping[str, Tensor]:
    path = folder / WEIGHTS[0]
    if path.is_file():
        from safetensors.torch import load_file

        return load_file(path)
    found: dict[str, Tensor] = torch.load(folder / WEIGHTS[1], map_location="cpu", weights_only=True)
    return found


def _plain_name(name: str) -> str:
    """Without the prefix of a model with heads or of CT-CLIP's text tower, and with layer norms named as they are today."""
    bare = name.removeprefix("bert.").removeprefix("text_transformer.")
    return re.sub(r"LayerNorm\.(gamma|beta)$", lambda m: f"LayerNorm.{'weight' if m[1] == 'gamma' else 'bias'}", bare)
