"""The numbers of `full` and `ref_code` of AR, MiM, MG-3D and SPAD: each as its fidelity spec has it, and nothing else differs.

A comment names the place in the method's specification: a section, or a row of its section 7, paper against code. `full`
is the paper, and its code where the paper is silent; `ref_code` departs from it in these fields alone.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import methods.ar
import methods.mg3d
import methods.mim
import methods.spad
from bench.blueprint import chosen_preset
from bench.contracts.configs import PhaseConfig
from bench.spec import make_spec

AR, MIM = methods.ar.METHOD, methods.mim.METHOD
MG3D, SPAD = methods.mg3d.METHOD, methods.spad.METHOD


def has(config: PhaseConfig, **expected: Any) -> None:
    """Every number at once, so that a failure shows all that moved."""
    assert {name: getattr(config, name) for name in expected} == expected


def departures(full: PhaseConfig, code: PhaseConfig) -> dict[str, Any]:
    """What `ref_code` has where it is not `full`; fields that decide nothing are left out."""
    decides = [f.name for f in dataclasses.fields(full) if f.metadata.get("decides", True)]
    return {name: getattr(code, name) for name in decides if getattr(full, name) != getattr(code, name)}


def test_ar_s_full_is_the_paper_and_its_code_where_the_paper_is_silent() -> None:
    full = AR.full
    assert isinstance(full, PhaseConfig)
    has(full, token_order="patch_major", reduction="per_sequence", pooled_sequences=0)  # rows 1 and 2
    has(full, crop=(128, 128, 128), slabs=4, patch=(16, 16, 16))  # row 4
    has(full, random_start=True, sequences=True, stride=8)  # rows 5, 8 and 30
    has(full, steps=100_000, batch_size=288, optimiser="adamw", lr=1e-4)  # row 9, Sec. 4
    has(full, families=("spatial", "contrast", "semantic"))  # row 10, the order of the list
    has(full, crops_per_volume=50, crops_per_group=100, sequences_per_category=20_000)  # rows 10 and 12
    has(full, betas=(0.9, 0.999), weight_decay=0.01, decay_all=True)  # row 13
    has(full, schedule="cosine", warmup_steps=0, lr_floor=0.0, lr_every=1)  # row 13
    has(full, precision="bf16", bf16_voxels=True, grad_clip=0.0, ema_decay=0.0, seed=0)  # row 13, Sec. 4
    has(full, width=768, depth=12, heads=12, skips=(4, 7, 10, 12))  # row 26, Sec. 2
    has(full, held_out_every=0, exclude_overlap=False)  # row 29, Sec. 1.1


def test_ar_s_ref_code_departs_from_full_where_its_code_does() -> None:
    assert isinstance(AR.full, PhaseConfig) and isinstance(AR.ref_code, PhaseConfig)
    assert departures(AR.full, AR.ref_code) == {
        "token_order": "raster",  # row 1
        "reduction": "pooled",  # row 2
        "pooled_sequences": 72,  # row 2, those of one of four devices
        "held_out_every": 500,  # row 29
    }


def test_mim_s_full_is_the_paper_and_its_code_where_the_paper_is_silent() -> None:
    assert isinstance(MIM.full, PhaseConfig)
    has(
        MIM.full, optimiser="adamw", lr=1e-4, weight_decay=1e-2, warmup_steps=100, steps=45_000, batch_size=256
    )  # row 19
    has(MIM.full, betas=(0.9, 0.95), decay_all=False, precision="fp16", grad_clip=0.0, ema_decay=0.0)  # row 20, Sec. 4
    has(MIM.full, schedule="cosine", lr_floor=0.0, lr_every=1)  # Sec. 4, to 0 and set anew at every update
    has(MIM.full, crop=(384, 384, 192), input_shape=(96, 96, 96), geometry="paper")  # rows 1 to 3
    has(MIM.full, next_level_from="hidden", children=4)  # rows 4 and 6, Sec. 1.3 gamma
    has(MIM.full, mask_ratios=(0.6, 0.6, 0.6))  # row 5
    has(MIM.full, normalise_target=True, reconstruction_reduction="sum", level_schedule="constant")  # rows 8 and 9
    has(MIM.full, alignment="info_nce", alignment_reduction="sum", rebuilt_levels=(1, 2, 3))  # row 10, Sec. 3
    has(MIM.full, aligned_pairs=("12", "23"))  # row 12
    has(MIM.full, temperature=1.0)  # row 13, tau
    has(MIM.full, exclude_positive_from_denominator=False, negatives="all")  # row 14, Sec. 3.2
    has(MIM.full, stop_grad_parent=True, projection_hidden=2048, projection_out=2048)  # rows 15 and 17
    has(MIM.full, alignment_weight=0.1)  # row 18, alpha
    has(MIM.full, widths=(48, 96, 192, 384), depths=(2, 2, 2, 11), heads=12)  # rows 22 and 23
    has(MIM.full, decoder_width=576, decoder_depth=8, decoder_heads=16)  # row 22
    has(MIM.full, drop_path=0.2)  # row 26


def test_mim_s_ref_code_departs_from_full_where_its_code_does() -> None:
    assert isinstance(MIM.full, PhaseConfig) and isinstance(MIM.ref_code, PhaseConfig)
    assert departures(MIM.full, MIM.ref_code) == {
        "crop": (192, 192, 192),  # row 1
        "geometry": "repo",  # rows 2 to 4
        "mask_ratios": (0.5, 0.6, 0.5),  # row 5
        "alignment": "byol_released",  # rows 10 to 12
        "projection_hidden": 576,  # row 17
        "projection_out": 576,  # row 17
        "lr": 2e-4,  # row 19, 1e-4 * 512 / 256
        "weight_decay": 0.05,  # row 19
        "warmup_steps": 200,  # row 19, 40 epochs of 5 updates
        "steps": 4_000,  # row 19, 800 epochs of 5 updates
        "batch_size": 128,  # row 19, 1 volume, 64 accumulations, 2 devices
    }


def test_mim_s_temperatures_are_swept_by_name() -> None:
    """Row 13: 1, and a sweep over 0.1 and 0.2."""
    swept = {name: changes for name, changes in MIM.variants.items() if "temperature" in changes}
    assert swept == {"temperature_0_1": {"temperature": 0.1}, "temperature_0_2": {"temperature": 0.2}}


def test_mg3d_s_full_is_the_paper_and_its_code_where_the_paper_is_silent() -> None:
    full = MG3D.full
    assert isinstance(full, PhaseConfig)
    has(full, optimiser="adamw", weight_decay=0.01, betas=(0.9, 0.98), decay_all=False)  # row 21, Sec. 4
    has(full, lr=1e-4, slow_lr=2e-5, slow_parts=("encoder.vision.",))  # row 22
    has(full, warmup_steps=10_000, schedule="linear", lr_floor=0.0, lr_every=1)  # row 23
    has(full, steps=300_000, batch_size=16)  # row 24, Sec. 4
    assert MG3D.on_corpus["ct-rate-47.1k"] == {"steps": 100_000}  # row 24
    for corpus, batch in (("ct-rate-47.1k", 16), ("ctrg-chest-1.4k", 4)):  # the code's scripts: 4 devices, and one
        words = make_spec(method="mg3d", task="ctrate_prompts", preset="ref_code", corpus=corpus)
        config = chosen_preset(MG3D, words)
        assert (config.batch_size, config.steps) == (batch, 300_000)
    has(full, precision="fp16", grad_clip=0.0, ema_decay=0.0, seed=0)  # Sec. 4
    has(full, crop=(128, 96, 128), middle_share=(0.875, 0.65625, 0.88))  # row 25, Sec. 1.2
    has(full, encoder="swin", feature=48, doubled=False, depths=(2, 2, 2, 2), heads=(3, 6, 12, 24))  # Sec. 2.1
    has(full, window=(7, 7, 7), merging="legacy")  # Sec. 2.1
    has(full, text_dropout=False, text_width=768, text_length=250)  # row 2, Sec. 1.3 and 2.2
    has(full, block_ratio=0.5, block=(16, 16, 16), word_ratio=0.15)  # row 4
    has(full, shared_mask=False, mim_guide="sentence")  # rows 5 and 6
    has(full, volume_attention="proposed", word_attention="proposed")  # rows 7 and 8
    has(full, fusion_depth=2, fusion_heads=12, fusion_dropout=0.1, width=768, mask_padding=True)  # row 9, Sec. 2.3
    has(full, sfr_space="frozen", sfr_reduction="sum")  # row 11, Sec. 3 item 3
    has(full, cml="paper", cml_symmetric=False, cml_direct=False)  # row 12, Sec. 3 item 4
    has(full, temperature=0.1)  # row 13, tau
    has(full, ssm_target="soft", ssm_text="encoder", ssm_reduction="mean")  # rows 15 and 16, Sec. 3 item 5
    has(full, sentence_views="tokens", centred=True, ssm_head="none")  # row 17
    has(full, dfa_image="volume", sentence_pool="attention", pool="mean")  # rows 18 to 20
    has(full, projected_twice=False, detached_sentences=False)  # row 41, Sec. 2.2
    has(full, terms=("mim", "mlm", "sfr", "cml", "ssm", "dfa"), intra_weight=0.1, inter_weight=0.1)  # Sec. 3, lambdas


def test_mg3d_s_ref_code_departs_from_full_where_its_code_does() -> None:
    assert isinstance(MG3D.full, PhaseConfig) and isinstance(MG3D.ref_code, PhaseConfig)
    assert departures(MG3D.full, MG3D.ref_code) == {
        "text_dropout": True,  # row 2
        "shared_mask": True,  # row 5
        "mim_guide": "word_stack",  # row 6
        "volume_attention": "gate",  # rows 7 and 8
        "word_attention": "gate",  # rows 7 and 8
        "mask_padding": False,  # Sec. 2.3
        "pool": "learned",  # row 20
        "sentence_pool": "mean",  # row 19
        "sfr_space": "projected",  # row 11
        "cml": "joined",  # row 12
        "sentence_views": "gate",  # row 17
        "ssm_head": "released",  # row 17
        "ssm_text": "embedding",  # row 16
        "ssm_target": "thresholded",  # row 15
        "dfa_image": "informed",  # row 18
        "detached_sentences": True,  # Sec. 2.2
        "projected_twice": True,  # row 41
        "batch_size": 4,  # Sec. 4, CTRG-Chest on one device
        "lr": 5e-5,  # row 22
        "slow_lr": 1e-5,  # row 22
        "slow_parts": (
            "encoder.vision.",
            "encoder.modality.",
            "encoder.image_pool.",
            "encoder.text_pool.",
            "volume_stack.",
            "word_stack.",
            "sentence_views.layers.",
            "informed_text_pool.",
            "cml_heads.",
            "sfr_target.",
        ),  # row 22, "fusion at base"
        "betas": (0.9, 0.999),  # row 21, Adam
        "weight_decay": 1e-8,  # row 21
    }


def test_spad_s_tokenizer_at_full_is_the_paper_and_its_code_where_the_paper_is_silent() -> None:
    full = SPAD.full["tokenizer"]  # type: ignore[index]
    has(full, steps=600_000, batch_size=48, crop=(64, 128, 128))  # row 3, Sec. 3.2 and 1.3
    has(full, optimiser="adamw", lr=1e-4, discriminator_rate=10.0, betas=(0.9, 0.999), weight_decay=0.05)  # Sec. 3.2
    has(full, schedule="cosine_overlong", warmup_steps=25_000, lr_floor=1e-6, lr_every=100)  # Sec. 3.2
    has(full, precision="fp16", grad_clip=0.0, ema_decay=0.0, decay_all=False)  # Sec. 3.2
    has(full, usage_weight=1.0, certainty_weight=0.2)  # row 2, lambda_1 and lambda_2
    has(full, perceptual_weight=1.0, perceptual_slices=24, lpips_shifted=False)  # rows 4 and 5
    has(full, adversarial_weight=3e-3, gate_at=0.025, gate_decay=0.9)  # row 4, Sec. 3.1 gate
    has(full, widths=(128, 256, 512), factors=(4, 2, 2), words=1024, codebook_reach=1 / 1024)  # row 6, Sec. 3
    has(full, discriminator_widths=(128, 256, 512), up_reduce="sum")  # row 18, Sec. 3.1
    has(full, buffer=16_384, dataset_weights="paper", exclude_overlap=False)  # row 11, Sec. 1


def test_spad_s_transformer_at_full_is_the_paper_and_its_code_where_the_paper_is_silent() -> None:
    full = SPAD.full["predict"]  # type: ignore[index]
    has(full, steps=300_000, batch_size=84, crop=(80, 160, 160), optimiser="adamw", lr=2e-5)  # Sec. 4.5 and 1.3
    has(full, betas=(0.9, 0.999), weight_decay=0.05, decay_all=False, grad_clip=0.5, precision="fp16")  # Sec. 4.5
    has(full, schedule="cosine_overlong", warmup_steps=10_000, lr_floor=1e-6, lr_every=100)  # Sec. 4.5
    has(full, mask_ratio=0.55, masked_keep_position=False)  # rows 13 and 14
    has(full, eva02_class_row=0)  # row 16
    has(full, patch=16, width=768, depth=12, heads=12, norm_eps=1e-5, taps=(4, 6, 8, 12))  # rows 17 and 21, Sec. 4.1
    has(full, buffer=16_384, dataset_weights="paper", exclude_overlap=False, ema_decay=0.0)  # row 11, Sec. 1
    assert dataclasses.replace(full, eva02_file="weights").eps() == 1e-6  # row 17


def test_spad_s_ref_code_departs_from_full_where_its_code_does() -> None:
    full, code = SPAD.full, SPAD.ref_code
    assert departures(full["tokenizer"], code["tokenizer"]) == {  # type: ignore[index]
        "steps": 500_000,  # row 3
        "lpips_shifted": True,  # row 5
        "even_axis": 0,  # row 31
    }
    assert departures(full["predict"], code["predict"]) == {  # type: ignore[index]
        "even_axis": 0,  # row 31
        "eva02_class_row": 1,  # row 16
        "eva02_eps": 1e-5,  # row 17
    }
