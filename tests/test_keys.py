"""What decides a result decides its key: from the room that it enters on, every later key is another, and no earlier one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import chain
from bench.blueprint import Blueprint, blueprint
from bench.chain import Words, find, resolve
from bench.contracts.configs import Intensity
from bench.contracts.record import LabelFile
from bench.phantom_data import write_task
from bench.spec import make_spec

ROOMS = ("pretrain:pretrain", "finetune", "predict", "score")
Change = Callable[[Words, Blueprint], tuple[Words, Blueprint]]


@pytest.fixture(scope="module")
def abdomens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task("btcv", "smoke", tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def words(abdomens: Path) -> Words:
    return find(make_spec(**SPEC), {}, abdomens.parent)


SPEC: dict[str, Any] = {"method": "mae3d", "task": "btcv", "preset": "tiny", "corpus": "own", "phantom": True}


def of_corpus(**changes: Any) -> Change:
    return lambda words, plan: (replace(words, corpus=replace(chosen(words.corpus), **changes)), plan)


def of_spec(**changes: Any) -> Change:
    return lambda words, plan: (replace(words, spec=replace(words.spec, **changes)), plan)


def of_card(**changes: Any) -> Change:
    return lambda words, plan: (words, replace(plan, method=replace(plan.method, **changes)))


def of_pretraining(**changes: Any) -> Change:
    def change(words: Words, plan: Blueprint) -> tuple[Words, Blueprint]:
        return words, replace(plan, phases={name: replace(config, **changes) for name, config in plan.phases.items()})

    return change


def of_setup(**changes: Any) -> Change:
    return lambda words, plan: (words, replace(plan, setup=replace(plan.setup, **changes)))


def within_setup(part: str, **changes: Any) -> Change:
    def change(words: Words, plan: Blueprint) -> tuple[Words, Blueprint]:
        changed = replace(getattr(plan.setup, part), **changes)
        return words, replace(plan, setup=replace(plan.setup, **{part: changed}))

    return change


def of_protocol(**changes: Any) -> Change:
    return within_setup("protocol", **changes)


def one_less(part: str) -> Change:
    def change(words: Words, plan: Blueprint) -> tuple[Words, Blueprint]:
        here = words.cases.here
        return replace(words, cases=replace(words.cases, here=replace(here, **{part: getattr(here, part)[1:]}))), plan

    return change


def trained_on_one_less(words: Words, plan: Blueprint) -> tuple[Words, Blueprint]:
    return replace(words, cases=replace(words.cases, train=words.cases.train[1:])), plan


def in_another_order(words: Words, plan: Blueprint) -> tuple[Words, Blueprint]:
    return replace(words, cases=replace(words.cases, train=words.cases.train[::-1])), plan


def another_version_of_the_task(words: Words, plan: Blueprint) -> tuple[Words, Blueprint]:
    return replace(words, task=replace(words.task, version=words.task.version + 1)), plan


def another_architecture(words: Words, plan: Blueprint) -> tuple[Words, Blueprint]:
    return words, replace(plan, architecture=replace(plan.architecture, seed=plan.architecture.seed + 1))


CHANGES: Mapping[str, tuple[str, Change]] = {
    "the pool's content": ("pretrain:pretrain", of_corpus(content_hash="sha256:other")),
    "the pool": ("pretrain:pretrain", of_corpus(key="other")),
    "how the pool's pixels are read": ("pretrain:pretrain", of_corpus(stored_values=True)),
    "the pool's channels": ("pretrain:pretrain", of_corpus(channels=2)),
    "the pool's spacing": ("pretrain:pretrain", of_corpus(spacing_mm=(3.0, 3.0, 3.0))),
    "the pool's intensity": ("pretrain:pretrain", of_corpus(intensity=Intensity("zscore"))),
    "a setting of pre-training": ("pretrain:pretrain", of_pretraining(lr=0.123)),
    "the seed of pre-training": ("pretrain:pretrain", of_pretraining(seed=7)),
    "the method": ("pretrain:pretrain", of_spec(method="mim")),
    "the method's version": ("pretrain:pretrain", of_card(version=99)),
    "the decoder": ("finetune", of_card(decoder="other")),
    "the architecture": ("finetune", another_architecture),
    "the task": ("finetune", of_spec(task="amos22")),
    "the task's version": ("finetune", another_version_of_the_task),
    "the target": ("finetune", of_setup(target="other")),
    "the protocol": ("finetune", of_spec(protocol="other")),
    "the classes": ("finetune", of_setup(classes=("one",))),
    "what the labels mean": ("finetune", of_setup(values={1: 2})),
    "what the network sees": ("finetune", within_setup("sight", spacing_mm=(3.0, 3.0, 3.0))),
    "the crop": ("finetune", of_protocol(crop_foreground=False)),
    "whole volumes": ("finetune", of_protocol(whole_volume=True)),
    "a box": ("finetune", of_protocol(box_voxels=(4, 4, 4))),
    "a share": ("finetune", of_protocol(box_share=(0.5, 0.5, 0.5))),
    "a stored size": ("finetune", of_protocol(stored_voxels=(4, 4, 4))),
    "pixels as stored": ("finetune", of_protocol(stored_values=True)),
    "a setting of fine-tuning": ("finetune", within_setup("recipe", lr=0.123)),
    "the seed of fine-tuning": ("finetune", within_setup("recipe", seed=7)),
    "who is trained on": ("finetune", trained_on_one_less),
    "their order": ("finetune", in_another_order),
    "who selects": ("finetune", one_less("val")),
    "how it is predicted": ("predict", within_setup("inference", overlap=0.123)),
    "on which grid": ("predict", of_protocol(score_grid="resampled")),
    "who is tested": ("predict", one_less("test")),
    "what is measured": ("score", of_protocol(metrics=("dice",))),
    "how means are taken": ("finetune", of_protocol(average="case_then_class")),  # the best weights are chosen by one
    "the unit of distances": ("score", of_protocol(distance_unit="voxels")),
    "the ratio that was asked for": ("score", of_spec(ratio=0.123)),
}


def keys(words: Words, change: Change, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    plan = blueprint(words.spec)
    plan = replace(plan, setup=replace(plan.setup, recipe=replace(plan.setup.recipe, selection="best_val")))
    changed, plan = change(words, plan)
    with monkeypatch.context() as patch:
        patch.setattr(chain, "blueprint", lambda spec: plan)
        return resolve(changed).keys


@pytest.mark.parametrize("what", CHANGES)
def test_what_decides_a_result_changes_the_key_of_its_room_and_of_every_later_one(
    what: str, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, change = CHANGES[what]
    before = keys(words, lambda words, plan: (words, plan), monkeypatch)
    after = keys(words, change, monkeypatch)
    assert tuple(before) == tuple(after) == ROOMS
    assert [name for name in ROOMS if before[name] != after[name]] == list(ROOMS[ROOMS.index(room) :])


def test_files_answers_and_weights_change_the_key_of_the_room_that_reads_them(
    abdomens: Path, words: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_changed(before: Mapping[str, str], after: Mapping[str, str]) -> str:
        return next(room for room in ROOMS if room in before and before[room] != after[room])

    def answered(case: str, value: int) -> Change:
        def change(words: Words, plan: Blueprint) -> tuple[Words, Blueprint]:
            label = LabelFile(kind="class", value=value)
            records = {**words.cases.records, case: words.cases.records[case].model_copy(update={"label": label})}
            return replace(words, cases=replace(words.cases, records=records)), plan

        return change

    here = words.cases.here
    for case, room in ((here.train[0], "finetune"), (here.val[0], "finetune"), (here.test[0], "predict")):
        before = keys(words, of_setup(), monkeypatch)
        for path in (words.cases.records[case].images[0].path, str(words.cases.records[case].label.path)):
            sound = (words.cases.folder / path).read_bytes()
            (words.cases.folder / path).write_bytes(sound + b"x")
            assert first_changed(before, keys(words, of_setup(), monkeypatch)) == room
            (words.cases.folder / path).write_bytes(sound)
        one, other = (keys(words, answered(case, value), monkeypatch) for value in (0, 1))
        assert first_changed(one, other) == ("finetune" if room == "finetune" else "score")
    brought = []
    for content in ("one", "other"):
        (tmp_path / "encoder.safetensors").write_text(content)
        spec = make_spec(**{**SPEC, "corpus": "", "weights": str(tmp_path / "encoder.safetensors")})
        brought.append(resolve(find(spec, {}, abdomens.parent)).keys)
    assert first_changed(*brought) == "finetune"


def chosen(corpus: Any) -> Any:
    assert corpus is not None
    return corpus
