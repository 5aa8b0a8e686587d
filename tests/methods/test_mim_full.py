"""MiM at full size: the parameters, the cost and the first loss that the fidelity spec measured."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.contracts.configs import Intensity, Sight
from bench.keys import key_of
from bench.nets.decoders import build_decoder
from bench.train.loader import AHEAD
from methods.mim import FULL, REF_CODE, MiM, build_encoder

SIGHT = Sight(1, (96, 96, 96), None, Intensity("hu"))


def trainable(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_parameter_counts_are_those_of_the_released_model() -> None:
    with torch.device("meta"):
        paper, released = MiM(FULL, SIGHT), MiM(REF_CODE, SIGHT)
        encoder = build_encoder(FULL, SIGHT)
    assert trainable(paper.encoder) == 33_891_600
    assert trainable(paper.decoder) == 34_497_280
    assert trainable(paper) == 89_901_072
    assert trainable(released) == 71_047_696
    assert trainable(released) + paper.encoder.positions.numel() + paper.decoder.positions.numel() == 71_255_056
    assert trainable(encoder) == 24_132_060


def test_encoder_attends_with_12_heads_before_and_after_the_hand_over_and_decoder_with_16() -> None:
    """No count of parameters tells them before fine-tuning, and other heads would take the weights without a word."""
    with torch.device("meta"):
        before, after = MiM(FULL, SIGHT), build_encoder(FULL, SIGHT)
    stages = (before.encoder.stage4, before.decoder.blocks, after.stage4)  # type: ignore[union-attr]
    assert [{block.attention.heads for block in stage} for stage in stages] == [{12}, {16}, {12}]  # type: ignore[union-attr]


def test_the_fine_tuning_network_adds_the_decoder_of_swin_unetr_48() -> None:
    with torch.device("meta"):
        encoder = build_encoder(FULL, SIGHT)
        decoder = build_decoder("swin_unetr", encoder=encoder, in_channels=1, classes=14)
    assert trainable(encoder) + trainable(decoder) == 24_132_060 + 54_125_294


@torch.no_grad()
def test_first_losses_are_1_25_and_a_pass_through_the_decoder_costs_15_gflop() -> None:
    """At random weights L_R = 1 + 2 * 576 / (576 + 4096): the Xavier head alone sets the excess."""
    torch.manual_seed(0)
    small_heads = dataclasses.replace(FULL, projection_hidden=6, projection_out=6)  # heads take no part here
    method = MiM(small_heads, SIGHT).eval()
    noise = torch.rand(1, 1, 96, 96, 96)
    smooth = nn.functional.interpolate(torch.rand(1, 1, 5, 5, 5), size=(96, 96, 96), mode="trilinear")
    for volume in (noise, smooth):
        level = method.see(volume, number=3)
        assert level.features.shape == (1, 216, 576) and level.rebuilt.shape == (1, 216, 4096)
        assert float(method.rebuild_error(level)) == pytest.approx(1 + 2 * 576 / (576 + 4096), abs=0.01)
    seen = method.encoder.tokens(noise, keep=~level.hidden)
    with FlopCounterMode(display=False) as decoding:
        method.decoder(seen, level.hidden)
    assert round(decoding.get_total_flops() / 1e9) == 15  # attention's own products are not counted on a CPU


def test_the_steps_that_loaders_hold_ready_fit_into_32_gib_and_their_number_is_in_no_key() -> None:
    step = FULL.batch_size * math.prod(FULL.crop) * 2  # bytes of int16
    assert step / 2**30 == pytest.approx(13.5)
    assert AHEAD * FULL.workers * step < 32 * 2**30
    assert key_of(config=FULL) == key_of(config=dataclasses.replace(FULL, workers=4))
