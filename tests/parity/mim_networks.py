"""MiM's released modules and networks, and ours with their weights and gradients: what `tests.parity.mim` compares.

Stand-ins: timm, and `utils.pos_embed`, which the release imports from where it does not lie.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts.configs import Intensity, Shape3, Sight
from bench.nets.decoders import build_decoder
from methods.mim import FULL, REF_CODE, MiM, MiMConfig, build_encoder
from tasks.kinds.segmentation import SegmentationNet
from tests.parity.released import Compared, compared, moved, stand_in, taken_over

SIGHT = Sight(1, (96, 96, 96), None, Intensity("hu"))
NARROW = replace(
    REF_CODE,
    widths=(12, 24, 48, 96),
    heads=3,
    depths=(1, 1, 1, 2),
    decoder_width=96,
    decoder_depth=2,
    decoder_heads=4,
    projection_hidden=96,
    projection_out=96,
)
SHOWN = (  # whose gradients are reported one by one, wherever a network has them
    "encoder.embed1.conv.weight",
    "encoder.stage4.0.attention.qkv.weight",
    "encoder.stage4.0.table",
    "encoder.positions",
    "encoder.fuse1.weight",
    "encoder.down.0.weight",
    "decoder.mask_token",
    "decoder.head.weight",
    "decoder.skip_blocks.0.layer.conv1.conv.weight",
    "project_context.12.0.weight",
    "project_patches.23.2.weight",
)
NAMES = (  # theirs to ours, applied in turn
    (r"^(backbone\.)?((patch_embed|stage|blocks\d|fpn|norm|pos_embed).*)", r"encoder.\2"),
    (r"^encoder\.patch_embed(\d)(\.proj)?", lambda m: f"encoder.embed{m[1]}{'.conv' if m[2] else ''}"),
    (r"stage(\d)_output_decode", r"fuse\1"),
    (r"blocks([123])\.(\d+)\.attn", r"stage\1.\2.mix"),
    (r"blocks([123])\.(\d+)\.mlp\.fc([12])", lambda m: f"stage{m[1]}.{m[2]}.mlp.{2 * int(m[3]) - 2}"),
    (r"blocks(\d)", r"stage\1"),
    (r"attn\.relative_position_bias_table", "table"),
    (r"\.attn\.", ".attention."),
    (r"\.gamma_", ".gamma"),
    (r"encoder\.fpn", "encoder.down"),
    (r"encoder\.pos_embed", "encoder.positions"),
    (r"^mask_token", "decoder_mask_token"),
    (r"^decoder_pred", "decoder_head"),
    (r"^decoder_", "decoder."),
    (r"^aggregate_mid", "project_context.12"),
    (r"^aggregate_down", "project_context.23"),
    (r"^aggregate_pred_up_feature", "project_patches.12"),
    (r"^aggregate_pred_mid_feature", "project_patches.23"),
    (r"^(project.*)fc([12])", lambda m: f"{m[1]}{2 * int(m[2]) - 2}"),
    (r"^encoder1\.", "decoder.volume_block."),
    (r"^encoder10\.", "decoder.deepest_block."),
    (r"^encoder(\d)\.", lambda m: f"decoder.skip_blocks.{int(m[1]) - 2}."),
    (r"^decoder(\d)\.", lambda m: f"decoder.ups.{5 - int(m[1])}."),
    (r"^out\.", "decoder.out."),
)


class Released:
    """The modules of a checkout, imported as they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = {"DropPath": _Path, "drop_path": lambda x, *_: x, "trunc_normal_": nn.init.trunc_normal_}
        tuples = {f"to_{n}tuple": lambda x, n=n: tuple(x) if isinstance(x, Sequence) else (x,) * n for n in (2, 3)}
        stand_in("timm.models.layers", **path, **tuples)
        stand_in("timm.models.helpers", load_pretrained=None)
        stand_in("timm.models.resnet", resnet26d=None, resnet50d=None)
        stand_in("timm.models.registry", register_model=None)
        stand_in("timm.data", IMAGENET_DEFAULT_MEAN=None, IMAGENET_DEFAULT_STD=None)
        sys.path.insert(0, str(folder / "Pretrain"))
        sys.modules["utils.pos_embed"] = importlib.import_module("utils.MAE.pos_embed")
        (
            self.pretraining,
            self.encoder,
            self.classifier,
            self.segmentation,
            self.schedule,
            self.loader,
            self.arguments,
        ) = map(
            importlib.import_module,
            (
                "models_convmae3d_v4",
                "models_convvit3d_seg",
                "models_convvit3d_cls",
                "networks.convvit3d_unetr",
                "utils.lr_sched",
                "utils.data_utils",
                "utils.default_arguments",
            ),
        )
        self.losses, self.transfer, self.rates = map(
            self._fine_tuning, ("utils/loss.py", "utils/downstream_utils.py", "optimizers/lr_scheduler.py")
        )

    def _fine_tuning(self, file: str) -> ModuleType:
        """A file of the other half of the release, whose packages have the same names."""
        spec = importlib.util.spec_from_file_location(f"fine_tuning_{Path(file).stem}", self.folder / "Finetune" / file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


class _Path(nn.Module):
    """Drop-path that only tells its rate: nothing random is compared."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        return x


def named(theirs: nn.Module, grid: Sequence[int] = (6, 6, 6), *, gradients: bool = False) -> dict[str, Tensor | None]:
    """Their weights, or gradients, by our names; the encoder's positions (1, N, C) as the map (C, d, h, w) that ours are."""
    told: dict[str, Tensor | None] = {}
    for name, weight in theirs.named_parameters():
        for pattern, ours in NAMES:
            name = re.sub(pattern, ours, name)
        value = weight.grad if gradients else weight.detach()
        told[name] = value[0].T.reshape(-1, *grid) if name == "encoder.positions" and value is not None else value
    return told


def gradients(what: str, told: Mapping[str, Tensor | None], ours: nn.Module) -> list[Compared]:
    """Those of some weights, then of all the one furthest apart for its size."""
    each = {}
    for name, weight in ours.named_parameters():
        both = [torch.zeros_like(weight) if g is None else g.reshape(weight.shape) for g in (told[name], weight.grad)]
        each[name] = compared(f"{what}: gradient of {name}", *both)
    least = 1e-6 * max(one.largest for one in each.values())  # before a norm a bias has none but for rounding
    furthest = max((one for one in each.values() if one.largest > least), key=lambda one: one.share)
    return [each[name] for name in SHOWN if name in each] + [
        replace(furthest, what=f"{furthest.what}, of {len(each)} the furthest apart")
    ]


def both_pretraining(code: Released, config: MiMConfig, *words: str) -> tuple[nn.Module, MiM]:
    """Their network by their script's options and ours with equal weights, none of them at its start."""
    script = ("--attn_loss_name", "byol", "--atten_weight_uu", "0.1", "--atten_weight_ud", "0.1")
    args = code.arguments.get_args().parse_args([*script, *words])
    if config.widths == REF_CODE.widths:
        theirs = code.pretraining.convmae_convvit_base_patch16(norm_pix_loss=True, args=args)
    else:
        theirs = code.pretraining.MaskedAutoencoderConvViT3d(
            in_chans=1,
            img_size=[[side] * 3 for side in (96, 48, 24, 12)],
            patch_size=[2] * 4,
            embed_dim=config.widths,
            depth=config.depths,
            num_heads=config.heads,
            decoder_embed_dim=config.decoder_width,
            decoder_depth=config.decoder_depth,
            decoder_num_heads=config.decoder_heads,
            mlp_ratio=[4] * 4,
            norm_layer=functools.partial(nn.LayerNorm, eps=1e-6),
            norm_pix_loss=True,
            args=args,
        )
    moved(theirs, 1)
    ours, told = MiM(config, SIGHT), named(theirs)
    taken_over(ours, {name: told[name] for name, _ in ours.named_parameters()})
    ours.encoder.positions.copy_(told["encoder.positions"])  # fixed, yet moved with the rest
    ours.decoder.positions.copy_(told["decoder.pos_embed"][0])
    return theirs, ours


def fine_tuned(code: Released, shape: Shape3, config: MiMConfig) -> tuple[nn.Module, SegmentationNet]:
    """Their fine-tuning network and ours with equal weights, none of them at its start."""
    x, y, z = shape
    args = {"sr_ratio": 1, "model_name": "MiM", "dataset_name": "Covid19_20", "roi_x": x, "roi_y": y, "roi_z": z}
    theirs = code.segmentation.ConvViT3dUNETR(
        shape, in_channels=1, out_channels=5, feature_size=config.widths[0], args=SimpleNamespace(**args)
    )
    if config.widths != FULL.widths:
        theirs.backbone = encoder_of(code.encoder, shape, config, (*config.widths, 2 * config.widths[3]))
    moved(theirs, 4)
    encoder = build_encoder(config, replace(SIGHT, shape=shape))
    ours = SegmentationNet(encoder, build_decoder("swin_unetr", encoder=encoder, in_channels=1, classes=5))
    taken_over(ours, named(theirs, encoder.grid))
    return theirs.eval(), ours.eval()


def encoder_of(module: ModuleType, shape: Shape3, config: MiMConfig, widths: Sequence[int], **words: Any) -> nn.Module:
    return module.ConvViT3d(
        img_size=[[side // 2**k for side in shape] for k in range(4)],
        patch_size=[2] * 4,
        in_chans=1,
        embed_dim=widths,
        depth=config.depths,
        num_heads=config.heads,
        mlp_ratio=[4] * 4,
        norm_layer=functools.partial(nn.LayerNorm, eps=1e-6),
        args=SimpleNamespace(sr_ratio=1),
        **words,
    )
