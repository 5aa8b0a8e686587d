"""WindowAttention: MONAI's attention within windows, which on CUDA never writes its logits out.

Source   Liu et al., ICCV 2021, Eq. 4; Hatamizadeh et al., 2022 (arXiv 2201.01266), Eq. 2; weights and names are MONAI's
Ways     On CUDA one call of `scaled_dot_product_attention` with position bias and window mask added up beforehand, once for
         all volumes of a batch. Elsewhere MONAI's own pass, whose bits older results carry: it writes logits and softmax of
         every window, 343 x 343 per head, and MONAI's own fused call serves no training
Shapes   B volumes of W windows, N voxels a window, H heads, C the width
"""

from __future__ import annotations

from monai.networks.nets.swin_unetr import SwinTransformerBlock
from monai.networks.nets.swin_unetr import WindowAttention as WrittenOut
from torch import Tensor, nn
from torch.nn import functional


class WindowAttention(WrittenOut):
    """Takes over the weights of a MONAI attention, as they were drawn."""

    def __init__(self, drawn: WrittenOut) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(drawn.__dict__)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B * W, N, C) -> the same; `mask` (W, N, N) is added to the logits of each volume's windows."""
        return self.fused(x, mask) if x.device.type == "cuda" else super().forward(x, mask)

    def fused(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The same numbers by one call, windows and heads in one axis, so that volumes share what is added."""
        rows, voxels, _ = x.shape
        windows = 1 if mask is None else len(mask)
        q, k, v = (
            part.reshape(rows // windows, windows * self.num_heads, voxels, -1)
            for part in self.qkv(x).view(rows, voxels, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        )
        places = self.relative_position_index[:voxels, :voxels].flatten()
        added = self.relative_position_bias_table[places].T.reshape(1, -1, voxels, voxels)  # (1, H, N, N)
        if mask is not None:
            added = (added + mask[:, None]).flatten(0, 1)[None]  # (1, W * H, N, N)
        # rows that do not lie one behind the other would send the call to its slow way
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=added.to(q.dtype).contiguous())
        found: Tensor = self.proj(mixed.reshape(rows, self.num_heads, voxels, -1).transpose(1, 2).reshape(x.shape))
        return found


def fuse(block: SwinTransformerBlock) -> SwinTransformerBlock:
    """The block with its attention replaced."""
    block.attn = WindowAttention(block.attn)
    return block
