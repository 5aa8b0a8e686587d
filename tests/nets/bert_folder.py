"""A tiny random BERT on disk, as the owners of RadBERT and CXR-BERT lay theirs out. Written offline by the tests."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

WORDS = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", ";", "(", ")", "3", "4", "no", "a", "in", "the", "mm"),
    *("nod", "##ule", "##s", "right", "left", "lung", "lobe", "effusion", "stable", "two", "small", "clear", "find"),
    *("##ings", "of", "case", "_", "0", "1", "2", ":", "is", "are", "normal", "heart", "size", "aorta", "liver"),
)


def write_bert(folder: Path, *, width: int = 32, prefix: str = "bert.", binary: bool = False) -> Path:
    """`config.json`, `vocab.txt` and weights of a BERT of two layers, with the heads that released files carry besides."""
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=128,
    )
    torch.manual_seed(0)
    weights = {prefix + name: tensor.clone() for name, tensor in BertModel(config).state_dict().items()}
    weights["cls.predictions.bias"] = torch.zeros(len(WORDS))
    (folder / "config.json").write_text(json.dumps({**config.to_dict(), "architectures": ["BertForMaskedLM"]}))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    if binary:
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        save_file(weights, folder / "model.safetensors")
    return folder
