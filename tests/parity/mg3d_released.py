"""MG-3D's released modules, imported from a checkout: what stands in for what they import, their weights by our names.

Their `main.py` asks the package for a class that it does not hold; the module that it must mean imports, and runs once three of
its calls are met: it unpacks its Swin encoder as if it were a ViT, hides patches as only a ViT can, and unpacks layers of BERT
as transformers gave them in its day. `pretrainer` meets the three, and the mask is that of the utility which fits the
shapes (`mg3d/models/ops.py`).
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts.method import Encoder, Features
from tests.parity.released import moved, stand_in

LENGTH = 120  # tokens of a report where a network reads it, for 250
Get = Callable[[str], Tensor]


class Lightning(nn.Module):
    """What their module needs of a LightningModule."""

    device = torch.device("cpu")

    def save_hyperparameters(self) -> None:
        self.hparams = SimpleNamespace(config=inspect.currentframe().f_back.f_locals["config"])

    def log(self, *_: Any, **__: Any) -> None:
        """Nothing is logged."""


class Settings:
    """A sacred experiment: what each of its functions assigns is a set of settings."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.of: dict[str, dict[str, Any]] = {}

    def config(self, function: Callable[[], None]) -> Callable[[], None]:
        body = textwrap.dedent("".join(inspect.getsourcelines(function)[0])).split("\n", 2)[
            2
        ]  # behind its first two lines
        own: dict[str, Any] = {}
        exec(textwrap.dedent(body), dict(function.__globals__), own)
        self.of[function.__name__] = own
        return function

    named_config = config


class Patches(Encoder):
    """Stands for both vision encoders where what follows them is compared: one convolution to tokens of stride 32."""

    def __init__(self) -> None:
        super().__init__()
        self.channels, self.strides, self.pooled_width = (768,), ((32, 32, 32),), 768
        self.patch = nn.Conv3d(1, 768, 32, stride=32)

    def forward(self, volume: Tensor) -> Features:
        found = self.patch(volume)
        return Features([found], found.mean((2, 3, 4)))


class Tokens(nn.Module):
    """The same behind the calls that their module makes of a ViT."""

    def __init__(self, inner: Patches) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, volume: Tensor) -> tuple[Tensor, None]:
        return self.inner(volume).maps[-1].flatten(2).transpose(1, 2), None

    def forward_patch_embed(self, volume: Tensor) -> Tensor:
        return volume

    forward_trans = forward


def imported(folder: Path) -> SimpleNamespace:
    """Their modules for pre-training and for vocabulary prompts, and the network that they fine-tune for segmentation."""
    import transformers.optimization

    sys.dont_write_bytecode = True  # a checkout stays as it was
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    transformers.optimization.AdamW = torch.optim.AdamW  # gone from transformers; their settings ask for Adam
    stand_in("pytorch_lightning", LightningModule=Lightning)
    stand_in("sacred", Experiment=Settings)
    stand_in("torchio")
    stand_in("mg3d.datasets.transforms", keys_to_transforms=None)
    stand_in("mg3d.models.language_encoders.bert_model", BertCrossLayer=lambda _: nn.Identity())  # built, never called
    stand_in("mg3d.models.language_encoders.bert_model_generation", BertGenerationDecoder=None)
    counters = ("Accuracy", "Scalar", "VQARADScore", "COCOCaptionScore", "JBScore")
    stand_in("mg3d.metrics.my_metrics", **dict.fromkeys(counters, lambda: lambda value, *_: value))
    clip = folder / "downstream" / "CT-RATE" / "CT_CLIP" / "ct_clip"
    stand_in("ct_clip").__path__ = [str(clip)]
    stand_in("ct_clip.mlm", MLM=None)
    stand_in("ct_clip.visual_ssl", SimSiam=None, SimCLR=None)
    sys.path.insert(0, str(folder))
    sys.modules["ct_clip.local_attention"] = importlib.import_module("mg3d.models.local_attention")  # see `guided`
    names = {
        "module": "mg3d.models.mg3d_module",
        "objectives": "mg3d.models.objectives",
        "masks": "mg3d.models.ops",
        "settings": "mg3d.config",
        "training": "mg3d.models.mg3d_utils",
        "cases": "mg3d.datasets.base_dataset",
        "heads": "mg3d.models.vision_encoders.ssl_head",
        "prompts": "ct_clip.ct_clip",
    }
    found = {short: importlib.import_module(name) for short, name in names.items()}
    return SimpleNamespace(**found, unetr=_from_file(folder / "downstream" / "MSD" / "networks" / "swin_unetr.py"))


def settings_of(theirs: SimpleNamespace) -> dict[str, Any]:
    """What the released script for CTRG-Chest runs with: its named settings, and the image size of its command line."""
    named = theirs.settings.ex.of
    told = [named[name] for name in ("config", "task_pretrain_ptunifier", "vit3d16", "text_radbert")]
    return {name: value for one in told for name, value in one.items()} | {"image_size": 128}


def pretrainer(theirs: SimpleNamespace, bert: Path, words: int) -> nn.Module:
    """Their module on a small BERT, moved off its start, in evaluation mode."""
    torch.manual_seed(0)
    told = {"tokenizer": str(bert), "vocab_size": words, "max_text_len": LENGTH}
    network: nn.Module = theirs.module.MG3DTransformerSS(settings_of(theirs) | told).eval()
    text = network.language_encoder
    for layer in text.encoder.layer:
        layer.forward = (lambda call: lambda *told: (call(*told),))(layer.forward)
    least = torch.finfo(torch.float32).min
    text.get_extended_attention_mask = lambda shown, *_: (1 - shown[:, None, None].float()) * least
    moved(network, 1)
    return network


def ours_of(get: Get, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors by our names."""
    told = {name: own[name] for name in own if name.startswith(("encoder.image_head.", "encoder.text_head."))}
    renamed = {"encoder.vision.patch": "vision_encoder.inner.patch", "encoder.see": "multi_modal_vision_proj"}
    renamed |= {
        "encoder.say": "multi_modal_language_proj",
        "sentence_views.again": "multi_modal_agg_vision_pooler.dense",
    }
    renamed |= {"views_pool.dense": "multi_modal_agg_vision_pooler.dense"}
    for here, there in (("encoder.image_pool", "uni_modal"), ("informed_image_pool", "multi_modal")):
        renamed |= {f"{here}.weights": f"{there}_vision_pooler.fc", f"{here}.dense": f"{there}_vision_pooler.dense"}
    for here, there in (("encoder.text_pool", "uni"), ("informed_text_pool", "multi")):
        parts = zip(("query", "key", "value", "out"), "qkvc", strict=True)
        renamed |= {f"{here}.{part}": f"{there}_global_text_attention.{letter}_proj" for part, letter in parts}
    for layer in range(2):
        for stack, there in (("volume_stack", "local_img"), ("word_stack", "local_text")):
            at = f"{there}_cross_multihead_attention.{layer}"
            for stream, one, other in (("first", 1, 2), ("second", 2, 1)):
                here = f"{stack}.{stream}.{layer}"
                renamed |= {f"{here}.query": f"{at}.query{one}", f"{here}.key": f"{at}.key{other}"}
                renamed |= {f"{here}.value": f"{at}.value{one}"}
        for part in ("query2", "key1", "value1"):
            renamed[f"sentence_views.layers.{layer}.{part[:-1]}"] = f"agg_img_cross_attention.{layer}.{part}"
    renamed |= {f"mim_decoder.stages.{n}.0": f"mim_swin_unter_head.conv.{4 * n}" for n in range(5)}
    renamed |= {"mim_decoder.out": "mim_swin_unter_head.conv.20"}
    renamed |= {"mlm_transform.0": "mlm_head.transform.dense", "mlm_transform.2": "mlm_head.transform.LayerNorm"}
    renamed |= {f"sfr_project.{n}": f"mlm_head.fc.{n}" for n in (0, 3)}
    renamed |= {f"sfr_target.{n}": f"uni_emd_sen.{n}" for n in (0, 2)}
    renamed |= {f"ssm_project.{n}": f"multi_modal_sen_vision_pooler.dense.{n}" for n in (0, 3)}
    renamed |= {"encoder.modality": "modality_type_embeddings", "mlm_decoder": "mlm_head.decoder"}
    for number, side in enumerate(("language", "vision")):
        for part, there in (("norm", "ln"), ("project", "proj")):
            renamed[f"dfa_heads.{number}.{part}"] = f"itc_agg_head.{side}_{there}"
            renamed[f"cml_heads.{number}.{part}"] = f"itc_cross_head.{side}_{there}"
    for name in own.keys() - told.keys():
        place, _, kind = name.rpartition(".")
        if name == "mlm_decoder.bias":
            told[name] = get("mlm_head.bias")
        elif name.startswith("encoder.text.bert."):
            told[name] = get("language_encoder." + name.removeprefix("encoder.text.bert."))
        elif name.startswith(("encoder.vision.patch_embed.", "encoder.vision.layers")):
            told[name] = get("vision_encoder." + name.removeprefix("encoder.vision."))
        elif place in renamed:
            told[name] = get(f"{renamed[place]}.{kind}")
            if name.startswith("cml_heads."):
                told[name] = torch.cat(told[name].chunk(2, -1)[::-1], -1)  # report before volume there
    return told


def _from_file(path: Path) -> ModuleType:
    """A module of theirs that lies in no package."""
    spec = importlib.util.spec_from_file_location(f"released_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
