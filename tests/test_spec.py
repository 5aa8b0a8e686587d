import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.check_words import check_words
from bench.contracts.configs import FineTuneConfig, Inference, MethodConfig, PhaseConfig, from_disk, later
from bench.contracts.deciding import deciding
from bench.contracts.errors import PluginBroken, SpecError
from bench.keys import key_of, short
from bench.spec import apply_settings, make_spec, parse_setting, read_value

CONFIGS = {"pretrain": MethodConfig(), "finetune": FineTuneConfig(), "predict": Inference()}


def test_a_bare_key_goes_to_every_phase_that_has_it() -> None:
    changed = apply_settings(CONFIGS, (("", "steps", "40"),))
    assert changed["pretrain"].steps == changed["finetune"].steps == 40
    assert changed["predict"] == CONFIGS["predict"]


def test_a_key_with_a_phase_goes_to_that_phase_only() -> None:
    changed = apply_settings(CONFIGS, (parse_setting("finetune.lr=1e-3"),))
    assert changed["finetune"].lr == 1e-3
    assert changed["pretrain"] == CONFIGS["pretrain"]


@pytest.mark.parametrize("crop", [32, (32, 32), (32, 32, 0), (32.0, 32, 32)])
def test_a_crop_that_is_no_three_whole_numbers_is_refused(crop: Any) -> None:
    with pytest.raises(SpecError, match="crop must be three whole numbers above 0"):
        MethodConfig(crop=crop)


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="Did you mean 'steps'"):
        apply_settings(CONFIGS, (("", "stps", "4"),))


def test_an_unknown_phase_is_refused_with_those_possible() -> None:
    with pytest.raises(SpecError, match="Did you mean 'finetune'"):
        apply_settings(CONFIGS, (("finetun", "steps", "4"),))


def test_a_method_without_pre_training_lends_its_config_but_not_its_steps() -> None:
    closed = {"pretrain": (frozenset(f.name for f in dataclasses.fields(PhaseConfig)), "Nothing is trained")}
    changed = apply_settings(CONFIGS, (("", "steps", "40"),), closed=closed)
    assert (changed["pretrain"].steps, changed["finetune"].steps) == (MethodConfig().steps, 40)
    with pytest.raises(SpecError, match="Nothing is trained, so the phase 'pretrain' has no 'steps'") as caught:
        apply_settings(CONFIGS, (("pretrain", "steps", "40"),), closed=closed)
    assert caught.value.remedy == "Of finetune: --set finetune.steps=40"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3", int, 3),
        ("1e-3", float, 1e-3),
        ("true", bool, True),
        ("1,2,3", tuple[int, int, int], (1, 2, 3)),
        ("0,2", tuple[int, ...], (0, 2)),
    ],
)
def test_values_are_read_by_the_type_of_their_field(text: str, kind: object, value: object) -> None:
    assert read_value(text, kind, "key") == value


@pytest.mark.parametrize(
    ("text", "kind", "due"),
    [
        ("x", int, "a whole number, found 'x'.*bench show METHOD"),
        ("nan", float, "a finite number, found 'nan'"),
        ("maybe", bool, "true or false, found 'maybe'"),
        ("1,2", tuple[int, int, int], "3 values"),
    ],
)
def test_values_of_the_wrong_type_are_refused(text: str, kind: object, due: str) -> None:
    with pytest.raises(SpecError, match=f"expected {due}"):
        read_value(text, kind, "key")


@given(st.floats(allow_nan=True, allow_infinity=True).filter(lambda r: not 0 < r <= 1))
def test_a_ratio_outside_zero_to_one_is_refused(ratio: float) -> None:
    with pytest.raises(SpecError, match="ratio"):
        make_spec(method="mim", task="btcv", ratio=ratio)


def test_variant_and_target_are_split_from_their_names_and_come_back_as_words() -> None:
    spec = make_spec(method="mim@align_byol", task="msd07@organ", ratio=0.25, preset="small", settings=("steps=4",))
    assert (spec.method, spec.variant, spec.task, spec.target) == ("mim", "align_byol", "msd07", "organ")
    assert (
        spec.words()
        == "bench run --method mim@align_byol --task msd07@organ --ratio 0.25 --preset small --seed 0 --set steps=4"
    )


def test_words_for_another_process_tell_paths_folds_and_every_digit_of_the_ratio() -> None:
    paths = {"root": "my data/btcv", "corpus_root": "pool"}
    spec = make_spec(method="mim", task="btcv", ratio=1 / 3, fold=2, seed=1, preset="tiny", partial=True, **paths)
    told = "--fold 2 --corpus-root pool --root 'my data/btcv' --partial"
    assert (
        spec.words(paths=True) == f"bench run --method mim --task btcv --ratio {1 / 3!r} --preset tiny --seed 1 {told}"
    )
    assert spec.words("pretrain", paths=True) == f"bench pretrain --method mim --task btcv --preset tiny {told}"
    assert "my data" not in spec.words() and "pool" not in spec.words()


@pytest.mark.parametrize("text", ["steps", "=4", ""])
def test_a_setting_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="key=value"):
        parse_setting(text)


def test_what_does_not_decide_a_result_is_in_no_key() -> None:
    free = dataclasses.replace(MethodConfig(), workers=7, micro_batch=3, checkpoint_every=9, log_every=1, compile=True)
    assert key_of(config=free) == key_of(config=MethodConfig())
    assert key_of(config=dataclasses.replace(MethodConfig(), lr=2e-4)) != key_of(config=MethodConfig())
    assert "workers" not in deciding(free)


def test_a_key_knows_no_order_of_names_and_no_kind_of_sequence() -> None:
    assert key_of(a=1, b=(1, 2)) == key_of(b=[1, 2], a=1)
    assert len(key_of(a=math.pi)) == 64
    assert key_of(a={"volume", "report", "label"}) == key_of(
        a=["label", "report", "volume"]
    )  # a set has no order of its own
    assert short("0123456789abcdef" * 4) == "0123456789abcdef"  # what names a folder on every machine
    with pytest.raises(ValueError, match="JSON"):
        key_of(a=math.nan)


def test_a_field_that_no_key_can_hold_is_refused_by_its_name() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Config(MethodConfig):
        where: Any = "here"

    assert key_of(config=Config()) != key_of(config=MethodConfig())
    for value in (Path("here"), math.inf, {"a", 1}, (1, MethodConfig)):
        with pytest.raises(PluginBroken, match=r"Config: where=.* is nothing that a key can hold"):
            key_of(config=Config(where=value))


def test_a_value_of_a_config_that_is_no_field_is_refused_for_no_key_would_know_it() -> None:
    """Without `@dataclass` above the class, or without an annotation, another value gave the old result."""

    class Bare(MethodConfig):
        temperature: float = 0.1

    @dataclass(frozen=True, kw_only=True)
    class Loose(MethodConfig):
        sides: ClassVar[int] = 3
        temperature = 0.1

    for config in (Bare, Loose):
        with pytest.raises(PluginBroken, match=f"'temperature' of {config.__name__} is no field"):
            config()


def test_a_later_field_enters_the_key_only_where_it_departs_from_its_default() -> None:
    @dataclass(frozen=True)
    class Before:
        steps: int = 3

    @dataclass(frozen=True)
    class After(Before):
        rank: int = later(0)

    assert key_of(config=After()) == key_of(config=Before())
    assert key_of(config=After(rank=4)) != key_of(config=Before())


def test_a_field_from_disk_enters_the_key_by_its_content_and_not_by_its_path(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Config:
        weights: str = from_disk("")

    for name, words in (("one", "a"), ("same", "a"), ("other", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_text(words)
    keys = {name: key_of(config=Config(str(tmp_path / name))) for name in ("one", "same", "other", "absent")}
    assert keys["one"] == keys["same"]
    assert len({*keys.values(), key_of(config=Config())}) == 4
    within = tmp_path / "same" / "pooling" / "config.json"
    within.parent.mkdir()
    within.write_text("{}")
    deeper = key_of(config=Config(str(tmp_path / "same")))
    within.write_text('{"mean": true}')
    assert len({keys["one"], deeper, key_of(config=Config(str(tmp_path / "same")))}) == 3
    (tmp_path / "same" / "model.safetensors").write_text("longer")
    assert key_of(config=Config(str(tmp_path / "same"))) != keys["one"]


def test_phantoms_take_no_root_rather_than_pass_over_it() -> None:
    with pytest.raises(SpecError, match=r"msd04: --phantom draws the data of 'msd04' itself.* found '/data'"):
        check_words(make_spec(method="mae3d", task="msd04", phantom=True, root="/data"))
