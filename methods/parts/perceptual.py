"""LPIPS: how far two images are apart in the features of a VGG16 that somebody else trained.

Source   Zhang et al., CVPR 2018 (arXiv 1801.03924), Sec. 3 and the released linear weights v0.1; the factor 2 and the slip of
         sign that `shifted` repeats are SPAD's released code's
Changes  weights come from a local file: VGG16's `features.*` and, where it has them, LPIPS' `lin*`; without those all channels
         of a layer count alike
Shapes   slices (B, 3, H, W) in [-1, 1], H and W at least 16
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts.errors import EncoderMismatch
from methods.parts.foreign import read_foreign

LAYERS: tuple[tuple[int, ...], ...] = (
    (64, 64),
    (128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (512, 512, 512),
)  # relu1_2 .. relu5_3 close each
MEAN = (0.485, 0.456, 0.406)
SD = (0.229, 0.224, 0.225)
FACTOR = 2.0  # SPAD's code returns twice the sum over layers


class Perceptual(nn.Module):
    """The distance of two batches of slices: a scalar. Its weights are fixed and belong to no state that is saved."""

    def __init__(self, path: str, *, shifted: bool = False) -> None:
        super().__init__()
        state = read_foreign(path)
        blocks, place = [], 0
        inputs = 3
        for widths in LAYERS:
            convs: list[nn.Module] = []
            for width in widths:
                convs += [_conv(state, place, inputs, width, path), nn.ReLU()]
                inputs, place = width, place + 2
            blocks.append(nn.Sequential(*convs))
            place += 1  # the pooling between two blocks
        self.blocks = nn.ModuleList(blocks)
        found = [_line(state, n, widths[-1]) for n, widths in enumerate(LAYERS)]
        self.is_weighted = all(line is not None for line in found)
        for n, (line, widths) in enumerate(zip(found, LAYERS, strict=True)):
            even = torch.full((widths[-1],), 1.0 / widths[-1])
            self.register_buffer(f"line{n}", line if self.is_weighted and line is not None else even)
        shift = torch.tensor(MEAN) * 2 - 1
        self.register_buffer("shift", (-shift if shifted else shift).view(1, 3, 1, 1))
        self.register_buffer("scale", (torch.tensor(SD) * 2).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = self.normalised(x), self.normalised(y)
        total = x.new_zeros(())
        for n, block in enumerate(self.blocks):
            if n:
                x, y = F.max_pool2d(x, 2), F.max_pool2d(y, 2)
            x, y = block(x), block(y)
            gap = (_unit(x) - _unit(y)).square()
            total = total + (gap * self.get_buffer(f"line{n}").view(1, -1, 1, 1)).sum(1).mean()
        return FACTOR * total

    def normalised(self, x: Tensor) -> Tensor:
        """ImageNet's normalisation for x in [-1, 1]: (x - (2m - 1)) / 2 sd; `shifted` takes (1 - 2m) for (2m - 1)."""
        return (x - self.get_buffer("shift")) / self.get_buffer("scale")


def some_slices(x: Tensor, most: int) -> Tensor:
    """Which slices of (B, C, D, H, W) are compared: (B, min(D, most)) distinct ones per volume, drawn anew at each call."""
    if x.shape[2] <= most:
        return torch.arange(x.shape[2], device=x.device).expand(len(x), -1)
    return torch.rand(len(x), x.shape[2], device=x.device).argsort(1)[:, :most]


def as_slices(x: Tensor, chosen: Tensor) -> Tensor:
    """The chosen slices (B, K) of (B, C, D, H, W) as a batch of images (B * K, C, H, W)."""
    index = chosen[:, None, :, None, None].expand(-1, x.shape[1], -1, *x.shape[3:])
    return x.gather(2, index).transpose(1, 2).flatten(0, 1)


def _unit(x: Tensor) -> Tensor:
    x = x.float()
    return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)


def _conv(state: dict[str, Tensor], place: int, inputs: int, outputs: int, path: str) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    found = {part: state.get(f"features.{place}.{part}") for part in ("weight", "bias")}
    if found["weight"] is None or found["bias"] is None or found["weight"].shape != conv.weight.shape:
        raise EncoderMismatch(
            f"'features.{place}' of a VGG16 is asked for with shape {tuple(conv.weight.shape)}, found "
            f"{None if found['weight'] is None else tuple(found['weight'].shape)}.",
            case=path.rpartition("/")[2],
            remedy="Give a file with the names of torchvision's vgg16.",
        )
    conv.load_state_dict({part: value.float() for part, value in found.items() if value is not None})
    return conv


def _line(state: dict[str, Tensor], layer: int, width: int) -> Tensor | None:
    names = (f"lin{layer}.model.1.weight", f"lins.{layer}.model.1.weight", f"lin{layer}.weight")
    found = next((state[name] for name in names if name in state), None)
    return found.float().flatten() if found is not None and found.numel() == width else None
