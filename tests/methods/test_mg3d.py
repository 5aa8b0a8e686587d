"""MG-3D: what must hold whatever the numbers are (checks 2, 3, 5, 6, 7, 9, 10, 12 to 14 of its fidelity spec), and its words."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import registry
from bench.blueprint import blueprint
from bench.contracts.errors import SpecError
from bench.contracts.method import Encoder
from bench.data.listings import listed
from bench.data.splits import every_fold, lists
from bench.metrics.ranking import auc
from bench.metrics.retrieval import recall_at
from bench.metrics.text import bleu, tokenise
from bench.pretrain import pretrain, trained
from bench.spec import make_spec
from bench.train import schedule
from bench.train.checkpoint import load_weights, sha256_of_weights
from bench.train.loader import batches
from bench.train.loop import Hardware
from methods.mg3d import CT_RATE, METHOD, MG3D, REF_CODE, TERMS, build_encoder
from methods.parts.alignment import batch_contrast
from methods.parts.fusion import FusionStack
from methods.parts.losses import hidden_voxel_error, reconstruction_gap
from methods.parts.sentence_views import similarity_gap, watched_similarities
from methods.parts.views import WholeVolume
from tasks.kinds.vocabulary import decoded
from tests.methods.volumes_with_reports import REPORTS, Reported, batch_of, made, sight
from tests.nets.bert_folder import write_bert

BOTH = torch.ones(2, 1, dtype=torch.bool)


def pair(cosine: float) -> Tensor:
    """Two patients of one sentence each, whose features have this cosine: (2, 1, 2)."""
    return torch.tensor([[[1.0, 0.0]], [[cosine, math.sqrt(1 - cosine**2)]]])


def test_only_hidden_voxels_count_and_guessing_a_half_of_uniform_noise_costs_a_twelfth() -> None:
    torch.manual_seed(0)
    hidden = made(terms=("mim",)).hide(8, torch.device("cpu"))
    volume = torch.rand(8, 1, 32, 32, 64)
    assert float(hidden_voxel_error(volume, volume, hidden)) == 0.0
    guess = torch.full_like(volume, 0.5)
    error = hidden_voxel_error(guess, volume, hidden)
    assert float(error) == pytest.approx(1 / 12, rel=0.01)
    assert torch.equal(hidden_voxel_error(torch.where(hidden, guess, 7.0), volume, hidden), error)


@torch.no_grad()
def test_hidden_blocks_are_zeroed_before_the_encoder_sees_them_and_the_rest_is_untouched() -> None:
    method, seen = made(terms=("mim",)), []
    method.encoder.vision.register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[0]))
    batch = batch_of(method)
    torch.manual_seed(5)
    method.loss(batch)
    torch.manual_seed(5)
    hidden = method.hide(4, torch.device("cpu"))
    assert len(seen) == 1
    assert torch.equal(seen[0], batch["volume"] * ~hidden)


@torch.no_grad()
def test_the_whole_volume_is_encoded_once_for_all_terms_that_need_it() -> None:
    method, calls = made(), []
    method.encoder.vision.register_forward_pre_hook(lambda *_: calls.append(1))
    method.loss(batch_of(method))
    assert len(calls) == 2  # with hidden blocks, and whole


@torch.no_grad()
def test_no_term_depends_on_the_order_of_the_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    method, order = made(), [2, 0, 3, 1]
    batch, hidden = batch_of(method), method.hide(4, torch.device("cpu"))
    monkeypatch.setattr(method, "hide", lambda *_: hidden)
    first = method.loss(batch)
    monkeypatch.setattr(method, "hide", lambda *_: hidden[order])
    second = method.loss({name: values[order] for name, values in batch.items()})
    assert {n: float(v) for n, v in second.items()} == pytest.approx({n: float(v) for n, v in first.items()}, abs=1e-5)


@pytest.mark.parametrize(("patients", "floor"), [(4, 1.3863), (16, 2.7726)])
def test_equal_features_leave_a_contrast_at_the_logarithm_of_the_batch(patients: int, floor: float) -> None:
    same = torch.ones(patients, 8)
    assert float(batch_contrast(same, same, temperature=0.1)) == pytest.approx(floor, abs=1e-4)


def test_orthonormal_pairs_that_match_leave_almost_nothing() -> None:
    pairs = torch.eye(4)
    assert float(batch_contrast(pairs, pairs, temperature=0.1)) == pytest.approx(1.36e-4, abs=1e-6)


@torch.no_grad()
def test_cml_sums_two_directions() -> None:
    method = made()
    same = torch.ones(4, 48)
    assert float(method.contrast_modalities((same, same), (same, same))) == pytest.approx(2 * math.log(4), abs=1e-5)
    assert float(method.agree(same, same)) == pytest.approx(math.log(4), abs=1e-5)
    direct = made(cml_direct=True)
    assert float(direct.contrast_modalities((same, same), (same, same))) == pytest.approx(3 * math.log(4), abs=1e-5)


def test_ssm_is_zero_only_where_both_similarities_agree_and_knows_no_order_of_patients() -> None:
    torch.manual_seed(0)
    shown = torch.arange(5)[None] < torch.tensor([5, 3, 4])[:, None]
    texts = torch.randn(3, 5, 6)
    assert float(similarity_gap(texts, texts, shown)) == pytest.approx(0.0, abs=1e-6)
    views = torch.randn(3, 5, 6)
    gap = similarity_gap(views, texts, shown)
    assert float(gap) > 0.1
    order = [2, 0, 1]
    assert float(similarity_gap(views[order], texts[order], shown[order])) == pytest.approx(float(gap), abs=1e-6)


def test_the_mean_similarities_of_two_patients_sentences_are_watched_and_no_loss() -> None:
    torch.manual_seed(0)
    shown = torch.arange(5)[None] < torch.tensor([5, 3, 4])[:, None]
    views, texts = torch.randn(3, 5, 6, requires_grad=True), torch.randn(3, 5, 6)
    found = watched_similarities(views, texts, shown)
    for name, features in (("mean_v", views), ("mean_t", texts)):
        cosines = [
            float(torch.cosine_similarity(features[i, a], features[j, b], dim=0).detach())
            for i in range(3) for j in range(i + 1, 3) for a in range(5) for b in range(5) if shown[i, a] and shown[j, b]
        ]  # fmt: skip
        assert float(found[name]) == pytest.approx(sum(cosines) / len(cosines), abs=1e-6)
        assert not found[name].requires_grad
    alone = watched_similarities(views[:1], texts[:1], shown[:1])
    assert [float(value) for value in alone.values()] == [0.0, 0.0]


def test_one_patient_has_nobody_to_be_compared_with() -> None:
    views = torch.randn(1, 3, 6, requires_grad=True)
    gap = similarity_gap(views, torch.randn(1, 3, 6), torch.ones(1, 3, dtype=torch.bool))
    gap.backward()
    assert float(gap.detach()) == 0.0 and views.grad is not None and not views.grad.any()


def test_the_texts_are_a_target_and_take_no_gradient() -> None:
    views, texts = pair(0.5).requires_grad_(), pair(0.8).requires_grad_()
    similarity_gap(views, texts, BOTH).backward()
    assert texts.grad is None and views.grad is not None and bool(views.grad.any())


@pytest.mark.parametrize(("text", "target"), [(0.95, 0.95), (0.75, None), (0.3, 0.0)])
def test_thresholds_keep_high_targets_silence_middling_ones_and_pull_low_ones_to_zero(
    text: float, target: float | None
) -> None:
    views = pair(0.5).requires_grad_()
    gap = similarity_gap(views, pair(text), BOTH, thresholded=True)
    gap.backward()
    assert views.grad is not None
    assert float(gap.detach()) == pytest.approx(0.0 if target is None else abs(target - 0.5), abs=1e-6)
    assert bool(views.grad.any()) == (target is not None)


def test_ssm_reaches_the_vision_encoder_and_the_word_vectors_never() -> None:
    method = made(terms=("ssm",))
    method.loss(batch_of(method))["ssm"].backward()
    gradients = [p.grad for p in method.encoder.vision.parameters()]
    norm = torch.stack([g.norm() for g in gradients if g is not None]).norm()
    assert float(norm) > 1e-4


def test_reports_of_other_patients_raise_the_rebuilding_error_after_some_steps_on_one_batch() -> None:
    """All patients show the same tokens, so that only the guides can tell what each one's hidden voxels are."""
    torch.manual_seed(0)
    stack, rebuild = FusionStack(32, depth=2, heads=4, cross="proposed", dropout=0.0), torch.nn.Linear(32, 64)
    tokens, sentences = torch.randn(1, 8, 32).expand(4, -1, -1), torch.randn(4, 5, 32)
    volume, hidden = torch.rand(4, 8, 64), torch.rand(4, 8, 64) < 0.5
    everywhere, told = torch.ones(4, 8).bool(), torch.ones(4, 5).bool()

    def error(guides: Tensor) -> Tensor:
        return hidden_voxel_error(rebuild(stack(tokens, guides, everywhere, told)[0]), volume, hidden)

    optimiser = torch.optim.AdamW([*stack.parameters(), *rebuild.parameters()], lr=3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        error(sentences).backward()
        optimiser.step()
    with torch.no_grad():
        assert float(error(sentences.roll(1, 0))) > 1.2 * float(error(sentences))


def test_sfr_is_zero_for_the_original_about_one_for_chance_and_no_constant_serves_two_sentences() -> None:
    torch.manual_seed(0)
    target, shown = torch.randn(3, 20, 768), torch.ones(3, 20, dtype=torch.bool)
    assert float(reconstruction_gap(target, target, shown, "sum")) == pytest.approx(0.0, abs=1e-4)
    assert float(reconstruction_gap(torch.randn(3, 20, 768), target, shown, "mean")) == pytest.approx(1.0, abs=0.02)
    best = (target[0, 0] / target[0, 0].norm() + target[0, 1] / target[0, 1].norm()).expand(1, 2, -1)
    assert float(reconstruction_gap(best, target[:1, :2], shown[:1, :2], "sum")) > 0.5


@torch.no_grad()
def test_sfr_s_target_is_the_unmasked_report_before_the_projection() -> None:
    method = made(terms=("sfr",))
    batch = batch_of(method)
    image, report = method.encoder.look(batch["volume"]), method.read(batch)
    method.mlm_transform = torch.nn.Identity()
    method.word_stack.forward = lambda *_: (report.frozen, None)  # type: ignore[method-assign]
    assert float(method.restore_words(image, report, batch)["sfr"]) == pytest.approx(0.0, abs=1e-6)


def test_ctrg_s_released_split_shares_no_case_between_training_and_test_and_its_val_is_its_test_which_is_told() -> None:
    """Check 12; a run takes the protocol's notes into its record."""
    protocol = registry.task("ctrg_report").protocols["mg3d"]
    parts = lists(protocol.split, registry.splits_folder())
    assert (len(set(parts.train)), len(set(parts.test)), len(set(parts.train) & set(parts.test))) == (1444, 360, 0)
    assert parts.val == parts.test and parts.selects_on_test
    assert json.loads((registry.splits_folder() / "ctrg_report.json").read_text())["val_equals_test"] is True
    assert any("val is its test" in note for note in protocol.notes)


def patients(cases: Iterable[str]) -> set[str]:
    """The patients of ACDC's frames: 006_frame01 is one of patient 006."""
    return {case.partition("_")[0] for case in cases}


def test_acdc_s_published_folds_put_30_40_and_40_patients_on_both_sides_and_ours_none() -> None:
    """Check 12: 30 of 35, 40 of 40 and 40 of 40 patients of the reported part are trained on with their other frame."""
    rule = registry.task("acdc").protocols["mg3d"].split
    folds = every_fold(rule, registry.splits_folder())
    assert [len(patients(parts.test)) for parts in folds] == [35, 40, 40]
    assert [len(patients(parts.train) & patients(parts.test)) for parts in folds] == [30, 40, 40]
    ours = lists(registry.task("acdc").protocols["bench"].split, registry.splits_folder())
    assert len({*ours.train, *ours.val, *ours.test}) == len(ours.train) + len(ours.val) + len(ours.test) == 100


@pytest.mark.parametrize("protocol", ["bench", "mg3d"])
@pytest.mark.parametrize("fold", range(3))
def test_no_patient_of_ccccii_stands_in_two_parts_of_any_fold(protocol: str, fold: int) -> None:
    """Check 12; the published list tells every scan's patient."""
    rule = registry.task("ccccii").protocols[protocol].split
    parts, patient_of = (
        lists(rule, registry.splits_folder(), fold),
        listed(rule, registry.splits_folder(), fold).unit_of,
    )
    assert set(parts.everything()) == set(patient_of) and len(set(patient_of.values())) == 2742
    train, val, test = ({patient_of[case] for case in part} for part in (parts.train, parts.val, parts.test))
    assert not train & (val | test) and (parts.selects_on_test or not val & test)


def test_retrieval_by_chance_is_50_in_3039_and_identity_finds_all() -> None:
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((3039, 16)).astype(np.float32), rng.standard_normal((3039, 16)).astype(np.float32)
    found = recall_at(latents[0] @ latents[1].T, 50)
    assert found.chance == pytest.approx(0.0165, abs=1e-4)
    assert found.value == pytest.approx(found.chance, abs=0.007)
    unit = latents[0] / np.linalg.norm(latents[0], axis=1, keepdims=True)
    assert recall_at(unit @ unit.T, 1).value == 1.0


def test_constant_scores_have_an_auc_of_a_half_and_a_report_against_itself_a_bleu_of_one() -> None:
    assert auc(np.full(10, 0.3), np.array([0, 1] * 5)) == 0.5
    long = tokenise(" ".join(f"word{i}" for i in range(200)), "words")
    for order in (1, 2, 3, 4):
        assert bleu([long], [[long]], order=order) == pytest.approx(1.0)


def test_cutting_references_at_150_words_alters_bleu_of_longer_reports_alone() -> None:
    """Check 14, with the very cut that a report is scored with; one word beyond the limit is enough."""
    limit = registry.task("ctrg_report").protocols["mg3d"].recipe.max_tokens
    assert limit == 150
    for length in (1, 60, 149, 150, 151, 152, 200, 376):  # 376: the longest of CTRG's test reports
        reference = [f"word{i}" for i in range(length)]
        written = [word if i % 5 != 1 else "other" for i, word in enumerate(reference + ["more"] * 8)]
        for order in (1, 2, 3, 4) if length > 4 else (1,):
            whole, cut = (bleu([written], [[kept]], order=order) for kept in (reference, decoded(reference, (), limit)))
            assert (whole == cut) == (length <= 150), (length, order)


def test_the_middle_of_a_volume_is_resized_as_it_is_stored() -> None:
    corpus, whole = Reported(), WholeVolume((10, 12, 20), (0.5, 0.5, 1.0))
    shown = whole(corpus, ("a",), np.random.default_rng(0))["volume"]
    assert shown.shape == (1, 10, 12, 20) and shown.dtype == np.int16
    box = torch.from_numpy(corpus.read("a", (10, 12, 0), (20, 24, 80)).astype(np.float32))[None]
    resized = torch.nn.functional.interpolate(box, size=(10, 12, 20), mode="trilinear")[0]
    assert np.array_equal(shown, np.rint(resized.numpy()).astype(np.int16))
    assert WholeVolume((4, 4, 4), (0.001, 1.0, 1.0))(corpus, ("a",), np.random.default_rng(0))["volume"].shape == (
        1,
        4,
        4,
        4,
    )


def test_a_worker_tokenises_with_the_fitted_vocabulary() -> None:
    method, corpus = made(), Reported()
    drawn = [
        next(iter(batches(method.phases[0], corpus, key="k", start=3, stop=4, workers=workers))).batch
        for workers in (0, 1)
    ]
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])
    known = drawn[1]["words"][drawn[1]["sentence"] > 0]
    assert not (known == method.encoder.text.tokeniser.unknown).any()  # type: ignore[attr-defined]


def test_the_vision_encoder_learns_at_a_fifth_of_the_rate_of_the_rest() -> None:
    method = made(lr=1e-4, slow_lr=2e-5)
    rate = rates_of(method)
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            expected = 2e-5 if name.startswith("encoder.vision.") else 1e-4
            assert rate[id(parameter)] == pytest.approx(expected), name


def run_room(folder: Path, steps: int, **changes: Any) -> tuple[Path, Path]:
    changes = {"checkpoint_every": 2, "terms": ("mlm", "sfr"), **changes}
    config = dataclasses.replace(METHOD.tiny, steps=steps, **changes)
    room = folder / "room"
    hardware = Hardware(device="cpu")
    file = pretrain(
        METHOD, "mg3d", {"pretrain": config}, Reported(), sight(), {"pretrain": "key"}, {"pretrain": room}, hardware
    )
    return file, room


def test_a_run_keeps_its_vocabulary_and_says_which_text_encoder_it_had(tmp_path: Path) -> None:
    file, room = run_room(tmp_path, 2)
    stored, _ = load_weights(room / "method.safetensors")
    assert torch.equal(stored["encoder.text.spellings"], made().encoder.text.state_dict()["spellings"])
    assert trained(room)["notes"] == ["text encoder: word vectors fitted on 4 reports in place of RadBERT"]
    torch.manual_seed(9)
    encoder = build_encoder(METHOD.tiny, dataclasses.replace(sight(), shape=(32, 32, 32)))
    assert encoder.adopt(load_weights(file)[0]).new == ()
    assert encoder.text.tokeniser.ids("nodule") == made().encoder.text.tokeniser.ids("nodule") != [1]


def test_a_method_whose_state_comes_from_a_checkpoint_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bench.train.loop as loop

    straight, _ = run_room(tmp_path / "straight", 4)
    saved = loop.checkpoint.save

    def killed(path: Path, state: dict[str, Any]) -> None:
        saved(path, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.checkpoint, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            run_room(tmp_path / "broken", 4)
    resumed, room = run_room(tmp_path / "broken", 4)
    assert trained(room)["resumed_from"] == 2
    first, second = load_weights(straight)[0], load_weights(resumed)[0]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_bert_folder_is_trained_with_and_stored_in_the_encoder(tmp_path: Path) -> None:
    bert = str(write_bert(tmp_path / "bert"))
    file, room = run_room(tmp_path, 1, text_folder=bert)
    weights = load_weights(file)[0]
    assert any(name.startswith("text.bert.encoder.layer.1.") for name in weights)
    assert trained(room)["notes"] == []


def test_a_hundred_steps_of_the_whole_loss_leave_the_text_encoders_checksum_as_it_was(tmp_path: Path) -> None:
    """Check 3, through the room: the same start with no step and with 100 of all six terms, on a BERT with weights to move."""
    bert = str(write_bert(tmp_path / "bert"))
    whole = {"text_folder": bert, "terms": TERMS, "checkpoint_every": 100}
    rooms = [run_room(tmp_path / str(steps), steps, **whole)[1] for steps in (0, 100)]
    start, end = (load_weights(room / "method.safetensors")[0] for room in rooms)
    frozen = {name for name in start if name.startswith("encoder.text.")}
    assert len(frozen) > 30
    assert sha256_of_weights({n: start[n] for n in frozen}) == sha256_of_weights({n: end[n] for n in frozen})
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    everything = made(text_folder=bert).named_parameters(
        remove_duplicate=False
    )  # some are the encoder's and the method's
    assert moved == {name for name, p in everything if p.requires_grad}


BUILT_OTHERWISE = (
    "swin_l",
    "intra_word",
    "intra_no_cml",
    "no_ssm",
    "unet3d",
    "gate",
    "eq11_gate",
    "released_views",
    "cml_joined",
)


@pytest.mark.parametrize("variant", BUILT_OTHERWISE)
def test_a_variant_computes_its_terms_and_trains_all_that_it_builds(variant: str) -> None:
    changes = {name: value for name, value in METHOD.variants[variant].items() if name != "decoder"}
    method = made(**changes)
    losses = method.phases[0].turns[0].counted(method.loss(batch_of(method, size=2)))
    assert tuple(losses) == tuple(term for term in TERMS if term in method.config.terms)
    torch.stack(list(losses.values())).sum().backward()
    contrasted = "cml" in losses and method.config.cml == "paper"  # else the encoder's heads for prompts learn nothing
    without = [name for name, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert all(name.startswith("encoder.") and not contrasted for name in without), without


def test_the_rows_of_tables_3_and_4_turn_terms_off() -> None:
    off = {name: set(TERMS) - set(changes["terms"]) for name, changes in METHOD.variants.items() if "terms" in changes}
    assert off.pop("scratch") == set(TERMS) and METHOD.variants["scratch"]["steps"] == 0
    assert off == {
        "intra_word": {"ssm", "dfa"},
        "intra_sentence": {"ssm", "dfa"},
        "intra_attn_mim": {"ssm", "dfa"},
        "intra_no_cml": {"cml", "ssm", "dfa"},
        "intra_full": {"ssm", "dfa"},
        "no_sfr": {"sfr"},
        "no_dfa": {"dfa"},
        "no_ssm": {"ssm"},
    }


def test_full_trains_100_000_steps_on_ct_rate_and_other_presets_and_corpora_keep_their_length() -> None:
    def steps(method: str, preset: str, corpus: str = "") -> int:
        return blueprint(make_spec(method=method, task="acdc", preset=preset, corpus=corpus)).phases["pretrain"].steps

    for method in ("mg3d", "mg3d@swin_l"):
        assert {steps(method, "full", pool) for pool in CT_RATE} == {100_000}
        assert {steps(method, "full", corpus) for corpus in ("", "ctrg-chest-1.4k", "own")} == {300_000}
        assert steps(method, "ref_code", "ct-rate-47.1k") == 300_000
        for preset in ("small", "tiny"):
            assert steps(method, preset, "ct-rate-47.1k") == steps(method, preset) == getattr(METHOD, preset).steps
    assert steps("mg3d@scratch", "full", "ct-rate-47.1k") == 0


def test_the_rows_of_table_3_differ_in_guide_and_attention() -> None:
    rows = [{"mim_guide": "sentence", "volume_attention": "proposed", "word_attention": "proposed"} | dict(METHOD.variants[v])
            for v in ("intra_word", "intra_sentence", "intra_attn_mim", "intra_full")]  # fmt: skip
    told = [(row["mim_guide"], row["volume_attention"], row["word_attention"]) for row in rows]
    assert told == [
        ("word", "classical", "classical"),
        ("sentence", "classical", "classical"),
        ("sentence", "proposed", "classical"),
        ("sentence", "proposed", "proposed"),
    ]


def test_the_released_code_trains_whole_at_a_small_size() -> None:
    method = released()
    losses = method.phases[0].turns[0].counted(method.loss(batch_of(method, size=2)))
    assert tuple(losses) == TERMS
    torch.stack(list(losses.values())).sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in method.parameters() if p.grad is not None)


def test_the_released_rates_are_five_fold_for_heads_and_for_what_its_code_names_multi_modal() -> None:
    """Row 22. Ours, and under what name the released optimiser meets it: heads by a list, and whatever holds `multi_modal`."""
    five_fold = {
        "encoder.see.": "multi_modal_vision_proj",
        "encoder.say.": "multi_modal_language_proj",
        "mim_decoder.": "mim_swin_unter_head",
        "mlm_transform.": "mlm_head.transform",
        "mlm_decoder.": "mlm_head.decoder",
        "sfr_project.": "mlm_head.fc",
        "informed_image_pool.": "multi_modal_vision_pooler",
        "sentence_views.again.": "multi_modal_agg_vision_pooler",
        "views_pool.": "multi_modal_agg_vision_pooler",
        "ssm_project.": "multi_modal_sen_vision_pooler",
        "dfa_heads.": "itc_agg_head",
    }
    base = {
        "encoder.vision.": "vision_encoder",
        "encoder.modality.": "modality_type_embeddings",
        "encoder.image_pool.": "uni_modal_vision_pooler",
        "encoder.text_pool.": "uni_global_text_attention",
        "volume_stack.": "local_img_cross_multihead_attention",
        "word_stack.": "local_text_cross_multihead_attention",
        "sentence_views.layers.": "agg_img_cross_attention",
        "informed_text_pool.": "multi_global_text_attention",
        "cml_heads.": "itc_cross_head",
        "sfr_target.": "uni_emd_sen",
    }
    assert all("multi_modal" in name or "_head" in name for name in five_fold.values())
    method = released()
    (turn,) = method.phases[0].turns
    rate = rates_of(method)
    without = ("encoder.image_head.", "encoder.text_head.")  # Eq. 7 and 8 alone have these
    for name, parameter in method.named_parameters():
        if parameter.requires_grad and not name.startswith(without):
            assert name.startswith((*five_fold, *base)), name
            assert rate[id(parameter)] == pytest.approx(1e-5 if name.startswith(tuple(base)) else 5e-5), name
    assert set(turn.rates) == set(base) == set(REF_CODE.slow_parts)


def released(**changes: Any) -> MG3D:
    """The released code's settings at a small size."""
    full, sizes = METHOD.full, ("batch_size", "betas", "weight_decay")
    departs = {f.name: getattr(REF_CODE, f.name) for f in dataclasses.fields(full) if f.name not in sizes}
    return made(**{name: x for name, x in departs.items() if x != getattr(full, name)}, width=96, **changes)


def rates_of(method: MG3D) -> dict[int, float]:
    """The learning rate of each trained parameter, by its id."""
    (turn,) = method.phases[0].turns
    groups = schedule.even_groups(method.parameters(), method, method.config, turn.rates)
    return {id(p): group["lr"] for group in groups for p in group["params"]}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"terms": ("mim", "itm")}, "mim, mlm, sfr, cml, ssm, dfa"),
        ({"terms": ()}, "steps=0"),
        ({"crop": (32, 32, 48)}, "tokens of 32"),
        ({"block": (12, 16, 16)}, "blocks of"),
        ({"projected_twice": True}, "projected_twice=false"),
        ({"projected_twice": True, "encoder": "unet3d"}, "the encoder's 32 features are the width's 48"),
        ({"crop": (32, 32, 32)}, "two tokens"),
        ({"lr": 0.0}, "share of `lr`"),
    ],
)
def test_settings_that_cannot_stand_together_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError) as caught:
        made(**changes)
    assert told in str(caught.value)


def test_published_weights_of_the_vision_encoder_alone_are_adopted() -> None:
    encoder, other = made().encoder, made(seed=1).encoder
    assert isinstance(encoder, Encoder)
    adopted = encoder.adopt(other.vision.state_dict(), declared=False)
    assert adopted.new == () and len(adopted.matched) == len(other.vision.state_dict())
    volume = torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        assert torch.equal(encoder(volume).maps[-1], other(volume).maps[-1])


@torch.no_grad()
def test_volume_and_text_come_as_one_vector_each_and_the_direct_contrast_brings_them_together() -> None:
    method = made(cml_direct=True)
    batch = batch_of(method)
    image = method.encoder.image_vector(batch["volume"])
    report = method.read(batch)
    said = method.encoder.text_head(method.encoder.text_pool(report.sentences, report.sentence_shown))
    order = [case for (case,) in method.phases[0].draw(Reported(), 4, 0, 0)]
    torch.testing.assert_close(method.encoder.describe([REPORTS[case] for case in order]), said, atol=1e-5, rtol=1e-5)
    assert image.shape == said.shape == (4, 48)
