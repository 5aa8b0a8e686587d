"""Operations are counted, and the counter's numbers are those that one writes down by hand."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from bench import registry
from bench.contracts.configs import Intensity, Sight
from bench.flops import CONVENTION, cost_of, count_flops
from methods.mim import FULL, MiM
from tests.command_line import bench

SIGHT = Sight(1, (96, 96, 96), None, Intensity("hu"))


def test_vit_b_on_96_cubed_is_what_one_counts_by_hand() -> None:
    """216 tokens of 16^3 voxels, width 768: four products of C x C and two of C x 4C per token and block, then q k^T and
    its product with v."""
    embedding = 2 * 216 * 4096 * 768
    block = 2 * 216 * (4 * 768**2 + 2 * 4 * 768**2) + 2 * 2 * 216**2 * 768
    assert (embedding, block) == (1_358_954_496, 3_200_974_848)
    assert 12 * block + embedding == 39_770_652_672
    for name in ("unetr_scratch", "mae3d"):
        counted = count_flops(registry.method(name))
        assert counted["encoder"] == 39_770_652_672 and counted["input_voxels"] == [96, 96, 96]


def test_a_sample_of_mae3d_is_what_one_counts_by_hand() -> None:
    """54 visible tokens through the encoder, 216 through a decoder of width 384; backward twice, but none for the input."""
    embedding = 2 * 54 * 4096 * 768
    encoder = 12 * (24 * 54 * 768**2 + 4 * 54**2 * 768)
    decoder = 2 * 54 * 768 * 384 + 8 * (24 * 216 * 384**2 + 4 * 216**2 * 384) + 2 * 216 * 384 * 4096
    counted = count_flops(registry.method("mae3d"))
    assert counted["pretrain_sample"] == {"pretrain": 3 * (encoder + decoder) + 2 * embedding}


def test_mim_costs_what_its_fidelity_spec_measured() -> None:
    """Measured at mask 0.6, without attention's own products: 32 G encoder and 15 G decoder forward a pass, and 2.9 T
    forward and backward for a sample of 21 passes. Of the encoder's, what the released code spends on hidden voxels of
    its local stages is saved here."""
    encoders, decoders = 11 * 4 * 86**2 * 384, 8 * 4 * 216**2 * 576
    transformer = 11 * 24 * 86 * 384**2
    with torch.device("meta"), torch.no_grad():
        method = MiM(dataclasses.replace(FULL), SIGHT)
        volume, hidden = torch.empty(1, 1, 96, 96, 96), torch.empty(1, 216, dtype=torch.bool)
        seen = torch.empty(1, 86, 384)
        encoding = cost_of(lambda: method.encoder.tokens(volume, keep=~hidden, visible=86)).flops - encoders
        decoding = cost_of(lambda: method.decoder(seen, hidden)).flops - decoders
    saved = (encoding - transformer) * (216 / 86 - 1)
    assert encoding + saved == pytest.approx(32e9, rel=0.02)
    assert decoding == pytest.approx(15e9, rel=0.02)
    sample = count_flops(registry.method("mim"))["pretrain_sample"]["pretrain"]
    assert sample + 3 * 21 * saved == pytest.approx(2.9e12, rel=0.05)
    heads = 5 * 2 * 216 * (576 * 2048 + 2048**2)  # of the patches of five parents
    assert sample == pytest.approx(3 * (21 * (encoding + encoders + decoding + decoders) + heads), rel=0.005)


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_a_grouped_convolution_costs_three_forward_passes_with_its_backward(groups: int) -> None:
    forward = 2 * (8 // groups) * 27 * 8 * 5**3
    with torch.device("meta"):
        convolution, x = nn.Conv3d(8, 8, 3, padding=1, groups=groups), torch.empty(1, 8, 5, 5, 5, requires_grad=True)
        assert cost_of(lambda: convolution(x)).flops == forward
        assert cost_of(lambda: convolution(x).sum().backward()).flops == 3 * forward
        assert cost_of(lambda: convolution(x.detach()).sum().backward()).flops == 2 * forward


def test_show_tells_the_count_its_input_and_its_convention() -> None:
    shown = bench("show", "spad", "--json").value["flops"]
    assert set(shown) == {"encoder", "input_voxels", "convention", "pretrain_sample"}
    assert shown["convention"] == CONVENTION and set(shown["pretrain_sample"]) == {"tokenizer", "predict"}
    assert "pretrain_sample" not in bench("show", "unet3d_scratch", "--json").value["flops"]
