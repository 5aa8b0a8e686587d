"""The decoder of a linear probe: one linear map of all that an encoder tells, whatever the volume holds."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bench.contracts.configs import Intensity, Sight
from bench.nets.decoders import build_decoder
from bench.nets.linear_decoder import LinearDecoder
from bench.nets.unet3d import UNet3D

CHANNELS, CLASSES, GRID = (6, 10), 3, (8, 12, 8)


def maps() -> list[torch.Tensor]:
    """Maps at strides 2 and 4, in double precision, the second on a scale of its own."""
    source = torch.Generator().manual_seed(0)
    sizes = [tuple(side // stride for side in GRID) for stride in (2, 4)]
    scales = (1.0, 50.0)
    return [
        scale * torch.randn(2, width, *size, generator=source, dtype=torch.float64)
        for width, size, scale in zip(CHANNELS, sizes, scales, strict=True)
    ]


def test_it_equals_one_convolution_over_all_maps_brought_to_mean_0_and_variance_1_and_enlarged() -> None:
    decoder, volume = LinearDecoder(CHANNELS, CLASSES).double(), torch.zeros(2, 1, *GRID, dtype=torch.float64)
    with torch.no_grad():
        decoder.bias.copy_(torch.tensor([1.0, -2.0, 3.0]))
    over = (0, 2, 3, 4)
    even = [(m - m.mean(over, keepdim=True)) / (m.var(over, False, keepdim=True) + 1e-5).sqrt() for m in maps()]
    large = torch.cat([F.interpolate(m, size=GRID, mode="trilinear") for m in even], dim=1)
    weight = torch.cat([read.weight for read in decoder.reads], dim=1)[..., None, None, None]
    torch.testing.assert_close(decoder(volume, maps()), F.conv3d(large, weight, decoder.bias), atol=1e-10, rtol=0)


def test_a_case_alone_is_judged_by_the_statistics_of_training() -> None:
    decoder, volume = LinearDecoder(CHANNELS, CLASSES).double(), torch.zeros(2, 1, *GRID, dtype=torch.float64)
    for _ in range(200):  # running statistics settle
        decoder(volume, maps())
    decoder.eval()
    both = decoder(volume, maps())
    torch.testing.assert_close(decoder(volume[:1], [m[:1] for m in maps()]), both[:1], atol=1e-12, rtol=0)


def test_it_sees_of_the_volume_its_grid_alone_and_learns_a_number_per_channel_and_class() -> None:
    decoder, volume = LinearDecoder(CHANNELS, CLASSES).double(), torch.zeros(2, 1, *GRID, dtype=torch.float64)
    assert torch.equal(decoder(volume, maps()), decoder(volume + 7, maps()))
    assert sum(p.numel() for p in decoder.parameters()) == CLASSES * (sum(CHANNELS) + 1)


def test_it_reads_the_maps_of_an_encoder_of_many_strides() -> None:
    encoder = UNet3D(Sight(1, (16, 16, 16), None, Intensity("zscore")), widths=(8, 16, 32))
    decoder = build_decoder("linear", encoder=encoder, in_channels=1, classes=CLASSES)
    volume = torch.zeros(1, 1, 16, 16, 16)
    assert decoder(volume, encoder(volume).maps).shape == (1, CLASSES, 16, 16, 16)
