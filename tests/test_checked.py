"""The header of a run's manifest says what the run has looked at, and labels that no card knows stop it before it trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench import registry
from bench.cases import TaskCases, find_cases
from bench.checked import checked
from bench.contracts.cards import ClassificationTask, PromptTask, ReportTask, RetrievalTask, TaskCard
from bench.contracts.errors import DataUnsound
from bench.contracts.record import LabelFile
from bench.data import manifest
from bench.data.checks import check
from bench.data.labels import check_told, classes_of
from bench.data.splits import lists
from bench.phantom_data import task_ids
from bench.spec import make_spec
from tests import tiny_dataset as tiny

SEVERAL = partial(ClassificationTask, multilabel=True)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a task with masks and of one with a class per candidate."""
    root = tmp_path_factory.mktemp("checked")
    for task in ("msd04", "luna16"):
        registry.task(task).files.write_phantom(root / task, task_ids(registry.task(task), "smoke"), "smoke")
    return root


def cases_of(task: str, root: Path, **words: Any) -> TaskCases:
    return find_cases(make_spec(method="unet3d_scratch", task=task, **words), registry.task(task), root / task, {})


def test_a_phantom_is_held_against_no_count_and_what_a_run_does_not_do_is_not_told(phantoms: Path) -> None:
    told = checked(cases_of("msd04", phantoms))
    assert {name for name, found in told.items() if found == "n/a"} == {"counts", "checksums", "intensity"}
    assert {told[name] for name in ("files", "geometry", "labels", "hygiene")} == {"ok"}
    assert checked(cases_of("luna16", phantoms))["geometry"] == "n/a"  # no mask lies on these images


def test_the_names_are_those_of_the_data_check(phantoms: Path) -> None:
    card = registry.task("msd04")
    report = check(card, phantoms / "msd04", lists(card.protocols["bench"].split, registry.splits_folder()), full=False)
    assert list(checked(cases_of("msd04", phantoms))) == list(report.checks)


def test_counts_are_ok_where_all_is_there_and_else_say_what_is(phantoms: Path) -> None:
    whole = replace(cases_of("msd04", phantoms), source="real")
    assert checked(whole)["counts"] == "ok"
    assert checked(replace(whole, missing=("x",)))["counts"] == "partial: 12 of 13"
    cut = "1 of 9 rows of a.csv"
    assert checked(replace(whole, missing=("x",), cut_short=(cut,)))["counts"] == f"partial: 12 of 13; {cut}"


def test_groups_that_the_authors_list_puts_on_both_sides_are_no_hygiene(phantoms: Path) -> None:
    leaking = cases_of("msd04", phantoms)
    told = checked(replace(leaking, listed=replace(leaking.listed, straddles=True)))
    assert told["hygiene"] == "the authors' list puts groups on both sides"


def test_the_manifest_that_a_run_leaves_has_its_checks(phantoms: Path, tmp_path: Path) -> None:
    from bench.run import Place, manifest_of, resolve_at

    words = {"method": "unet3d_scratch", "task": "msd04", "preset": "tiny", "root": str(phantoms)}
    place = Place.at(tmp_path, environ={})
    chain = resolve_at(make_spec(**words), place)
    made = manifest_of(chain, place)
    assert made.header.checks == checked(chain.words.cases)
    (left,) = tmp_path.rglob(manifest.HEADER)
    assert manifest.read(left.parent).header.checks["labels"] == "ok"


@pytest.mark.parametrize(
    ("kind", "label", "told"),
    [
        (ClassificationTask, {"kind": "class", "value": 2}, "its class is 2, expected 0 to 1"),
        (SEVERAL, {"kind": "multilabel", "values": (1, 3)}, r"2 answers \[1, 3\]"),
        (ReportTask, {"kind": "report"}, "its report is empty"),
        (tiny.SegmentationTask, {"kind": "class", "value": 1}, "of kind 'class'; a task of segmentation reads 'mask'"),
        (ClassificationTask, {"kind": "mask", "path": "a"}, "of kind 'mask'; .* with multilabel=False reads 'class'"),
        (ClassificationTask, {"kind": "multilabel", "values": (1, 0)}, "multilabel=False reads 'class'"),
        (SEVERAL, {"kind": "class", "value": 1}, "multilabel=True reads 'multilabel'"),
        (PromptTask, {"kind": "report"}, "a task of prompts reads 'multilabel'"),
        (RetrievalTask, {"kind": "multilabel", "values": (1, 0)}, "a task of retrieval reads 'report'"),
    ],
)
def test_a_label_that_the_card_does_not_know_is_refused_with_its_case(
    kind: Callable[..., TaskCard], label: dict[str, Any], told: str, tmp_path: Path
) -> None:
    (sound,) = tiny.LAYOUT.records(tiny.write(tmp_path, tiny.CASES[:1]))
    check_told(tiny.card(), [sound])
    card = kind(**{field.name: getattr(tiny.card(), field.name) for field in fields(TaskCard) if field.name != "kind"})
    wrong = sound.model_copy(update={"label": LabelFile(**label)})
    for refused in (lambda: check_told(card, [wrong]), lambda: classes_of(card, tmp_path, wrong)):
        with pytest.raises(DataUnsound, match=told) as caught:
            refused()
        assert caught.value.case == tiny.CASES[0] and caught.value.remedy


def test_a_record_of_another_number_of_channels_than_the_cards_is_refused_with_its_case(tmp_path: Path) -> None:
    (sound,) = tiny.LAYOUT.records(tiny.write(tmp_path, tiny.CASES[:1]))
    with pytest.raises(DataUnsound, match="its record names 1 image, the card says channels=2") as caught:
        check_told(tiny.card(channels=2), [sound])
    assert caught.value.case == tiny.CASES[0] and "`channels` on the card" in caught.value.remedy


def test_a_run_on_a_class_that_the_card_does_not_know_is_refused_before_it_trains(phantoms: Path) -> None:
    fewer = replace(registry.task("luna16"), classes=("no-nodule",))
    with pytest.raises(DataUnsound, match="its class is 1, expected 0 to 0") as caught:
        find_cases(make_spec(method="unet3d_scratch", task="luna16"), fewer, phantoms / "luna16", {})
    assert "#" in caught.value.case and caught.value.remedy
