"""Which recipe a run is fine-tuned by: a start without weights has the authors' own for it, unless it asks for the other's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from bench import registry
from bench.blueprint import blueprint
from bench.contracts.configs import FineTuneConfig
from bench.contracts.deciding import deciding
from bench.contracts.errors import SpecError
from bench.contracts.protocols import Protocol
from bench.spec import make_spec
from bench.train.schedule import layer_groups

MATCHED = ("finetune.matched_optim=true",)
PRETRAINED = {"msd03": (3e-4, 0.05, 0.75), "la": (3e-4, 0.05, 0.9), "ricord": (5e-5, 0.05, 0.75)}
SCRATCH = {"msd03": (1e-4, 1e-5, 1.0), "la": (1e-4, 1e-5, 1.0), "ricord": (1e-5, 1e-4, 1.0)}


def recipe(method: str, task: str, *, preset: str = "ref_code", **words: Any) -> FineTuneConfig:
    found = blueprint(make_spec(method=method, task=task, preset=preset, protocol=words.pop("protocol", "ar"), **words))
    assert isinstance(found.setup.recipe, FineTuneConfig)
    return found.setup.recipe


def optimiser(found: FineTuneConfig) -> tuple[float, float, float]:
    return found.lr, found.weight_decay, found.layer_decay


@pytest.mark.parametrize("task", SCRATCH)
@pytest.mark.parametrize("preset", ["full", "ref_code"])
def test_a_network_without_weights_takes_the_scratch_optimiser_of_ars_code_unless_it_is_matched(
    task: str, preset: str
) -> None:
    scratch, matched = (recipe("unetr_scratch", task, preset=preset, settings=s) for s in ((), MATCHED))
    assert optimiser(scratch) == SCRATCH[task] and scratch.betas == (0.9, 0.999) and scratch.decay_all
    assert optimiser(matched) == PRETRAINED[task] and matched.betas == (0.9, 0.95) and not matched.decay_all
    assert optimiser(recipe("unetr_scratch", task, settings=("finetune.lr=3e-5",)))[0] == 3e-5
    assert (scratch.steps, scratch.batch_size, scratch.loss) == (matched.steps, matched.batch_size, matched.loss)


@pytest.mark.parametrize("task", SCRATCH)
def test_a_method_that_is_left_untrained_starts_as_scratch_does_and_one_with_weights_as_before(
    task: str, tmp_path: Path
) -> None:
    for preset in ("full", "ref_code"):
        assert optimiser(recipe("ar", task, preset=preset, corpus="none")) == SCRATCH[task]
    assert optimiser(recipe("ar", task, corpus="none", settings=MATCHED)) == PRETRAINED[task]
    assert optimiser(recipe("ar", task)) == PRETRAINED[task]
    assert optimiser(recipe("ar", task, preset="full")) == (*PRETRAINED[task][:2], 0.75)
    file = tmp_path / "encoder.safetensors"
    file.write_bytes(b"")
    assert optimiser(recipe("unetr_scratch", task, weights=str(file))) == PRETRAINED[task]


def test_on_nodules_no_rate_falls_with_depth_in_a_network_without_weights() -> None:
    """The code has one optimiser for both starts there, without layer decay; the paper's 0.75 is of pre-trained encoders."""
    for preset in ("full", "ref_code"):
        assert optimiser(recipe("ar", "nodulemnist3d", preset=preset, corpus="none")) == (1.5e-5, 0.01, 1.0)
    assert optimiser(recipe("ar", "nodulemnist3d", preset="full")) == (1.5e-5, 0.01, 0.75)


def test_on_nodules_alone_every_parameter_of_a_pre_trained_network_decays() -> None:
    """The code hands AdamW all of them alike there; on the other tasks it spares biases, norms and the table of tokens."""
    tasks = [name for name in registry.names(registry.TASKS) if "ar" in registry.task(name).protocols]
    for preset in ("full", "ref_code"):
        assert [task for task in tasks if recipe("ar", task, preset=preset).decay_all] == ["nodulemnist3d"]
    net = nn.ModuleDict({"norm": nn.LayerNorm(4), "head": nn.Linear(4, 2)})
    groups = layer_groups([net["norm"], net["head"]], net, recipe("ar", "nodulemnist3d"), 1.0)
    assert {group["weight_decay"] for group in groups} == {0.01}


def test_shorter_presets_keep_their_own_rates_and_the_methods_word_on_them() -> None:
    assert optimiser(recipe("unetr_scratch", "la", preset="small")) == (2e-3, 1e-5, 1.0)
    assert recipe("unet3d_scratch", "la", preset="small").lr == 4e-3


def test_matching_is_refused_where_there_is_one_recipe() -> None:
    for method, task, protocol, why in (
        ("ar", "la", "ar", "starts with weights"),
        ("unetr_scratch", "la", "bench", "one recipe for every start"),
    ):
        with pytest.raises(SpecError, match=why):
            recipe(method, task, protocol=protocol, settings=MATCHED)


@pytest.mark.parametrize("task", registry.names(registry.TASKS))
def test_no_protocol_but_ars_tells_starts_apart_and_no_stored_key_knows_the_choice(task: str) -> None:
    card = registry.task(task)
    for name, protocol in card.protocols.items():
        starts = [protocol.recipe_at("full", card.kind, from_scratch=start) for start in (True, False)]
        assert (starts[0] != starts[1]) == (name == "ar" and task != "nodulemnist3d")
        assert starts[1] == protocol.recipe and "matched_optim" not in deciding(starts[0])


def test_the_reference_code_falls_by_a_polynomial_per_epoch_on_ricord_alone() -> None:
    code, paper = (recipe("ar", "ricord", preset=preset) for preset in ("ref_code", "full"))
    assert (code.schedule, code.lr_every, paper.schedule, paper.lr_every) == ("poly", 24, "cosine", 1)
    assert code.steps == 200 * code.lr_every
    assert recipe("unetr_scratch", "ricord").schedule == "poly"
    polynomial = {
        task
        for task in registry.names(registry.TASKS)
        for protocol in registry.task(task).protocols.values()
        if "schedule" in protocol.ref_code
    }
    assert polynomial == {"ricord"} and recipe("ar", "la").schedule == "cosine"
    nodules = recipe("ar", "nodulemnist3d")
    assert (nodules.schedule, nodules.lr_every, nodules.steps) == ("cosine", 73, 100 * 73)


@pytest.mark.parametrize("protocol", ["mim", "mg3d"])
def test_the_rate_of_mims_and_mg3ds_engine_moves_with_each_epoch_at_ref_code_and_never_within_one(
    protocol: str,
) -> None:
    told = {}
    for task in registry.names(registry.TASKS):
        found = registry.task(task).protocols.get(protocol)
        if found is None:
            continue
        code, paper = (found.recipe_at(p, registry.task(task).kind, from_scratch=False) for p in ("ref_code", "full"))
        assert paper.lr_every == 1 and code == replace(paper, **found.ref_code)
        if code.lr_every > 1:
            told[task] = code.lr_every
            epochs = code.steps / code.lr_every
            assert code.evaluate_every % code.lr_every == 0 and epochs == (130 if task == "ccccii" else 1_000)
    ct = {"btcv", "mmwhs", "amos22", "flare22", "msd03", "msd06", "msd07", "msd08", "msd09", "msd10"}
    assert set(told) == ({*ct, "msd01", "ccccii"} if protocol == "mim" else {"msd06", "covid1920", "ccccii"})


def test_accumulated_gradients_are_summed_in_mims_code_on_btcv_alone() -> None:
    assert recipe("mim", "btcv", preset="ref_code", protocol="mim").summed_passes == 4
    assert recipe("mim", "btcv", preset="full", protocol="mim").summed_passes == 1
    assert recipe("mim", "msd09", preset="ref_code", protocol="mim").summed_passes == 1


def test_a_linear_head_stands_in_the_place_of_a_decoder_and_is_refused_where_no_probe_is_meant() -> None:
    linear = ("finetune.linear_head=true",)
    words = {"method": "mim", "preset": "small"}
    own, probe = (blueprint(make_spec(task="btcv", settings=settings, **words)) for settings in ((), linear))
    assert own.method.decoder == "swin_unetr" and probe.method.decoder == "linear"
    assert "linear_head" not in deciding(own.setup.recipe) and "--set finetune.linear_head=true" in probe.differs
    assert blueprint(make_spec(task="nodulemnist3d", settings=linear, **words)).method.decoder == "linear"
    with pytest.raises(SpecError, match="No linear head answers a task of report"):
        blueprint(make_spec(method="mg3d", task="ctrg_report", preset="small", settings=linear))


@pytest.mark.parametrize(
    ("task", "word"), [("msd04", "nsd@1mm"), ("nodulemnist3d", "auc+accuracy"), ("ctrg_report", "rouge-l")]
)
def test_what_a_kind_of_task_selects_no_weights_by_is_refused_before_anything_is_trained(task: str, word: str) -> None:
    words = {"method": "mim", "preset": "small", "task": task}
    with pytest.raises(SpecError, match=rf"'{word.rpartition('+')[2]}' selects no weights of .*, a task of"):
        blueprint(make_spec(settings=(f"finetune.select_by={word}",), **words))
    assert blueprint(make_spec(**words)).setup.recipe.select_by == ""


@pytest.mark.parametrize(
    ("task", "metrics", "told"),
    [
        ("nodulemnist3d", Protocol.metrics, "'dice' measures no result of 'NoduleMNIST3D', a task of classification"),
        ("msd04", ("dice", "auc"), "'auc' measures no result of .*, a task of segmentation"),
        ("ctrg_report", ("bleu-4", "recall@5"), "'recall@5' measures no result of .*, a task of report"),
        ("msd04", ("dcie",), "No metric 'dcie'. Did you mean 'dice'"),
        ("msd04", ("nsd",), "No metric 'nsd'. Did you mean 'nsd@2mm'"),
    ],
)
def test_a_metric_that_a_kind_of_task_leaves_nothing_for_is_refused_before_anything_is_trained(
    task: str, metrics: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = registry.task(task)
    wrong = replace(card, protocols={"bench": replace(card.protocols["bench"], metrics=metrics)})
    monkeypatch.setattr(registry, "task", lambda name: wrong)
    with pytest.raises(SpecError, match=told):
        blueprint(make_spec(method="mim", preset="small", task=task))


@pytest.mark.parametrize(
    ("task", "word"),
    [
        ("ctrg_report", "flip_probability=0.5"),
        ("ctrate_prompts", "finetune.gamma_probability=0.3"),
        ("ctrate_retrieval@finetune_1000", "finetune.balanced_classes=true"),
        ("nodulemnist3d", "finetune.positive_share=0.5"),
        ("msd04", "finetune.random_factor=true"),
    ],
)
def test_a_value_that_a_kind_of_task_never_asks_for_is_refused_rather_than_recorded(task: str, word: str) -> None:
    key = word.partition("=")[0].rpartition(".")[2]
    with pytest.raises(SpecError, match=rf"asks for no such thing, so the phase 'finetune' has no '{key}' here"):
        blueprint(make_spec(method="mg3d", task=task, preset="small", settings=(word,)))


@pytest.mark.parametrize("task", ["nodulemnist3d", "ctrg_report", "ctrate_prompts", "ctrate_retrieval@finetune_1000"])
@pytest.mark.parametrize("word", ["predict.mirrored=true", "overlap=0.75", "predict.blending=constant"])
def test_windows_and_mirrorings_are_refused_where_a_case_is_judged_once_rather_than_recorded(
    task: str, word: str
) -> None:
    key = word.partition("=")[0].rpartition(".")[2]
    with pytest.raises(SpecError, match=rf"asks for no such thing, so the phase 'predict' has no '{key}' here"):
        blueprint(make_spec(method="mg3d", task=task, preset="small", settings=(word,)))


@pytest.mark.parametrize(
    ("phase", "word"),
    [
        ("finetune", "positive_share=0.9"),
        ("finetune", "crops_per_volume=4"),
        ("finetune", "balanced_classes=true"),
        ("predict", "overlap=0.75"),
        ("predict", "blending=gaussian"),
    ],
)
def test_what_crops_and_windows_ask_is_refused_where_volumes_are_shown_whole_and_taken_elsewhere(
    phase: str, word: str
) -> None:
    words: dict[str, Any] = {"method": "unet3d_scratch", "preset": "small", "settings": (f"{phase}.{word}",)}
    key, _, value = word.partition("=")
    with pytest.raises(SpecError, match=rf"shown whole asks for no such thing, so the phase '{phase}' has no '{key}'"):
        blueprint(make_spec(task="msd04", **words))
    setup = blueprint(make_spec(task="la", **words)).setup
    assert str(getattr(setup.recipe if phase == "finetune" else setup.inference, key)).lower() == value
    mirrored = make_spec(task="msd04", **{**words, "settings": ("mirrored=true",)})
    assert blueprint(mirrored).setup.inference.mirrored


@pytest.mark.parametrize(
    ("task", "loss", "possible"),
    [
        ("ctrg_report", "dice_ce", "ce"),
        ("ctrate_retrieval@finetune_1000", "ce", "infonce"),
        ("ctrate_prompts", "bce", "pair_ce, pair_mse"),
        ("nodulemnist3d", "bce", "ce, ce_by_class"),
        ("msd04", "dice_cee", "dice_ce, dice_ce_plain, .*"),
        ("brats21", "dice_ce_plain", "dice_ce, dice, dice_squared"),
    ],
)
def test_a_loss_that_a_kind_of_task_has_not_is_refused_before_anything_is_trained(
    task: str, loss: str, possible: str
) -> None:
    with pytest.raises(SpecError, match=rf"No loss '{loss}' for .*Possible: {possible}\."):
        blueprint(make_spec(method="mg3d", task=task, preset="small", settings=(f"finetune.loss={loss}",)))


@pytest.mark.parametrize(
    "word",
    [
        "schedule=cosin",
        "optimiser=adam",
        "precision=fp8",
        "layer_decay=0",
        "ema_decay=1",
        "betas=0.9,1",
        "weight_decay=-1",
        "lr_floor=-1e-4",
        "steps=-5",
        "lora_rank=-2",
    ],
)
def test_what_fine_tuning_cannot_be_trained_by_is_refused_before_weeks_of_pre_training(word: str) -> None:
    name = word.partition("=")[0]
    with pytest.raises(SpecError, match=f"{name} must be|No {name} '") as refused:
        blueprint(make_spec(method="mae3d", task="msd04", settings=(f"finetune.{word}",)))
    assert f"--set finetune.{name}=" in refused.value.remedy  # without its phase it would change pre-training, too


def test_a_word_for_every_phase_is_mended_for_every_phase() -> None:
    for word in ("steps=-5", "optimiser=adam"):
        with pytest.raises(SpecError) as refused:
            blueprint(make_spec(method="mae3d", task="msd04", settings=(word,)))
        assert f"--set {word.partition('=')[0]}=" in refused.value.remedy


@pytest.mark.parametrize("word", ["seed=3", "finetune.seed=3"])
def test_a_seed_of_fine_tuning_among_the_settings_is_refused_for_the_record_would_tell_another(word: str) -> None:
    words = {"method": "mae3d", "task": "msd04", "preset": "small"}
    with pytest.raises(SpecError, match="a word of its own") as refused:
        blueprint(make_spec(settings=(word,), **words))
    assert refused.value.remedy.startswith("--seed 3;")
    found = blueprint(make_spec(settings=("pretrain.seed=3",), seed=2, **words))
    assert (found.phases["pretrain"].seed, found.setup.recipe.seed) == (3, 2)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("flip_probability=2", "must lie between 0 and 1, found 2"),
        ("positive_share=-0.1", "must lie between 0 and 1, found -0.1"),
        ("zoom=2,1", "two numbers above 0, the lesser first; found 2,1"),
        ("gamma=0,1", "two numbers above 0, the lesser first; found 0,1"),
        ("noise_sd=0.2,0.1", "two numbers from 0, the lesser first; found 0.2,0.1"),
        ("evaluate_every=-1", "must be 0 or more, found -1"),
        ("checkpoint_every=-1", "must be 0 or more, found -1"),
    ],
)
def test_a_chance_that_is_none_and_a_range_that_ends_before_it_begins_are_refused_where_they_are_set(
    word: str, told: str
) -> None:
    with pytest.raises(SpecError, match=told):
        blueprint(make_spec(method="mae3d", task="la", preset="small", settings=(f"finetune.{word}",)))


def test_the_rate_of_spads_segmentations_moves_with_each_hundredth_update_at_ref_code_alone() -> None:
    for task in ("btcv", "chaos"):
        found = registry.task(task).protocols["spad"]
        assert found.recipe.lr_every == 1
        assert found.recipe_at("ref_code", "segmentation", from_scratch=False).lr_every == 100
