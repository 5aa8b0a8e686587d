"""EVA-02's weights, made for 2-D images, in the shapes of a SPAD-ViT.

Source   SPAD, App. B; bicubic kernels and the division by the depth are its released code's
Shapes   kernel (W, 3, 14, 14) -> (W, 3, P, P, P); positions (1, 1 + 16 * 16, W), the class token's first -> (W, d, h, w)
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from bench.contracts.configs import Shape3
from bench.contracts.errors import EncoderMismatch
from bench.nets.eva02 import renamed_eva02
from bench.nets.spad import inflate, resample_grid


def inflated_eva02(
    weights: Mapping[str, Tensor], *, width: int, patch: int, table: Shape3, cls_row: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights by our names for a SPAD-ViT of three channels, and what has no place in it.

    The 2-D patch kernel goes bicubically to `patch` and is spread along depth; the position table is repeated over depth and
    brought to `table` by area; the class token takes row `cls_row` of it. Raises EncoderMismatch for another width.
    """
    found = {name: value.float() for name, value in renamed_eva02(weights).items()}
    missing = [name for name in ("pos_embed", "cls_token", "patch_embed.proj.weight") if name not in found]
    if missing or found["cls_token"].numel() != width:
        raise EncoderMismatch(
            f"EVA-02 weights of width {width} are asked for; found {'no ' + missing[0] if missing else 'another width'}.",
            remedy="Give EVA-02-B (eva02_B_pt_in21k_p14, or timm's eva02_base_patch14_224.mim_in22k).",
        )
    kernel = F.interpolate(found.pop("patch_embed.proj.weight"), (patch,) * 2, mode="bicubic", align_corners=False)
    rows = found.pop("pos_embed")[0]  # (1 + 16 * 16, W), the class token's first
    side = round((len(rows) - 1) ** 0.5)
    plane = rows[1:].T.reshape(-1, 1, side, side).expand(-1, table[0], -1, -1)
    found["positions"] = resample_grid(plane, table)
    found["cls_token"] = found["cls_token"].flatten() + rows[cls_row]
    found["embed.weight"] = inflate(kernel, patch)
    found["embed.bias"] = found.pop("patch_embed.proj.bias")
    rest = {"mask_token": found.pop("mask_token").flatten()} if "mask_token" in found else {}
    return found, rest
