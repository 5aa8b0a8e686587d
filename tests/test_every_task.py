"""Every task of the registry: its card is complete, its splits hold, and its phantom is found, read and told from a broken one."""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.contracts.cards import TaskCard
from bench.contracts.errors import DataMissing
from bench.contracts.protocols import Protocol
from bench.contracts.record import Record
from bench.data import manifest
from bench.data.axes import orientation_name
from bench.data.check_report import CheckReport
from bench.data.checks import check
from bench.data.find import find_dataset, locate
from bench.data.listings import fold_count
from bench.data.roster import roster_of
from bench.data.slices import encode_png
from bench.data.splits import SALTS, Parts, lists, nested, present, rank, read_list
from bench.data.volumes import label_map, read_header, read_image, read_label, write_h5, write_nifti, write_nrrd
from bench.metrics import parse_metric
from bench.phantom_data import task_ids

SAMPLE = {
    "btcv",
    "la",
    "msd04",
    "nodulemnist3d",
    "dermamnist",
    "ricord",
}  # one of each form; the others are marked slow
KEYS = registry.names(registry.TASKS)
KIND = {task: registry.task(task).kind for task in KEYS}


def of_kinds(*kinds: str) -> list[Any]:
    """The tasks of some kinds (all where none is named) as parameters."""
    return [marked(task) for task in KEYS if not kinds or KIND[task] in kinds]


def marked(task: str, *more: str) -> Any:
    return pytest.param(task, *more, marks=() if task in SAMPLE else pytest.mark.slow)


TASKS, SEGMENTATIONS = of_kinds(), of_kinds("segmentation")
PROTOCOLS = [(task, name) for task in KEYS for name in registry.task(task).protocols]
WRITTEN_PROTOCOLS = [marked(task, name) for task, name in PROTOCOLS]  # those that need a phantom on disk
CORPORA = registry.names(registry.CORPORA)
SPLITS = registry.splits_folder()


def folds_of(protocol: Protocol) -> range:
    if not protocol.split.by_fold:
        return range(1)
    return range(len(SALTS) if protocol.split.divides else fold_count(protocol.split, SPLITS))


def smoke_ids(card: TaskCard) -> list[str]:
    """The first official ids of every protocol's parts: at least 5 for training, 1 for val, 2 for test; more where the layout
    needs them to show every class."""
    if hasattr(card.files, "phantom_parts"):
        return task_ids(card, "smoke")
    chosen: dict[str, None] = {}
    for protocol in card.protocols.values():
        parts = lists(protocol.split, SPLITS)
        chosen.update(dict.fromkeys((*parts.train[:5], *parts.val[:1], *parts.test[:2])))
    return list(chosen)


def under(task: str, name: str) -> TaskCard:
    """A card as a protocol reads its data."""
    card = registry.task(task)
    return card.under(card.protocols[name])


def parts_of(task: str, name: str, folder: Path | None = None, fold: int = 0) -> Parts:
    """The parts of a protocol, as the data in a folder (or a phantom to be) tell them."""
    card = under(task, name)
    records = card.files.records(folder) if folder else ()
    told = folder or hasattr(card.files, "strata") or hasattr(card.files, "own_parts")
    roster = roster_of(card.files, folder, records) if told else None
    return lists(card.protocols[name].split, SPLITS, fold, roster)


class Phantoms(dict[str, Path]):
    """One smoke phantom per task under the official folder name, written when it is first asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def __missing__(self, task: str) -> Path:
        card = registry.task(task)
        card.files.write_phantom(self.root / task / card.folders[0], smoke_ids(card), "smoke")
        self[task] = self.root / task
        return self[task]


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Phantoms:
    return Phantoms(tmp_path_factory.mktemp("phantoms"))


@pytest.fixture
def broken(phantoms: Phantoms, tmp_path: Path) -> Callable[[str], Path]:
    return lambda task: find_dataset(
        task, registry.task(task), Path(shutil.copytree(phantoms[task], tmp_path / "copy")), {}
    )


# Cards ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", KEYS)
def test_every_card_is_complete(task: str) -> None:
    card = registry.task(task)
    for word in ("title", "licence", "page", "citation", "folders", "counts"):
        assert getattr(card, word), f"{task}: {word}"
    assert bool(card.classes) == (card.kind not in ("report", "retrieval"))
    assert card.version >= 1 and card.gigabytes > 0 and "bench" in card.protocols
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in card.classes)
    assert len(set(card.classes)) == len(card.classes)
    assert set(card.label_values.values()) <= set(range(len(card.classes) + 1))
    for merged in card.targets.values():
        assert {member for members in merged.values() for member in members} <= set(card.classes)
    assert card.hu is None or card.modality == "CT"


@pytest.mark.parametrize("task", KEYS)
def test_a_card_closes_its_file_and_defines_no_function(task: str) -> None:
    text = Path(registry.package_folder("tasks") / f"{task}.py").read_text()
    assert "\ndef " not in text and "\nclass " not in text and text.rstrip().endswith(")")
    told = next(entry for entry in registry.describe(registry.TASKS) if entry["name"] == task)
    assert told["title"] == registry.task(task).title


@pytest.mark.parametrize(("task", "name"), PROTOCOLS)
def test_every_protocol_says_where_its_split_is_from_and_what_was_inferred(task: str, name: str) -> None:
    protocol = registry.task(task).protocols[name]
    assert protocol.split.origin and protocol.notes and all(len(note) > 10 for note in protocol.notes)
    assert 1.0 in protocol.label_ratios and tuple(sorted(protocol.label_ratios)) == protocol.label_ratios
    first = {"segmentation": "dice", "classification": "auc"}.get(KIND[task], protocol.metrics[0])  # its own metric
    assert first in protocol.metrics and min(protocol.patch_voxels) > 0
    assert all(parse_metric(metric) for metric in protocol.metrics)
    assert protocol.target in ("", *registry.task(task).targets)
    assert 0 <= protocol.inference.overlap < 1 and 0 <= protocol.recipe.positive_share <= 1


# Splits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "name"), PROTOCOLS)
def test_every_split_resolves_in_every_fold_to_disjoint_parts_that_nest(task: str, name: str) -> None:
    card = registry.task(task)
    protocol = card.protocols[name]
    for fold in folds_of(protocol):
        parts = parts_of(task, name, fold=fold)
        assert parts.train and parts.val and parts.test
        assert not set(parts.train) & {*parts.val, *parts.test}
        assert parts.selects_on_test or not set(parts.val) & set(parts.test)
        units = next(iter(card.counts.values()))  # labelled cases, or the scans or patients that the list names
        assert len(parts.everything()) <= units
        prefixes = [
            nested(parts.train, r, protocol.split.count, parts.subsets, parts.unit_of) for r in protocol.label_ratios
        ]
        assert all(large[: len(small)] == small for small, large in itertools.pairwise(prefixes))
        assert prefixes[-1] == parts.train


@pytest.mark.parametrize(("task", "name"), PROTOCOLS)
def test_a_protocol_that_picks_its_weights_on_the_reported_cases_says_so(task: str, name: str) -> None:
    protocol = registry.task(task).protocols[name]
    picks_there = protocol.recipe.selection == "best_val" and parts_of(task, name).selects_on_test
    assert not picks_there or any("reported" in note for note in protocol.notes)


@pytest.mark.parametrize("task", [task for task in KEYS if KIND[task] == "segmentation"])
def test_the_order_of_our_own_training_lists_is_the_hash_order_of_the_tasks_key(task: str) -> None:
    train = lists(registry.task(task).protocols["bench"].split, SPLITS).train
    digests = [hashlib.sha256(f"split-v1|{task}|{case}".encode()).hexdigest() for case in train]
    assert digests == sorted(digests) and train == rank(task, train)


# Phantoms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", SEGMENTATIONS)
def test_every_phantom_is_found_and_holds_every_class_in_readable_files(task: str, phantoms: Phantoms) -> None:
    card = registry.task(task)
    folder = find_dataset(task, card, phantoms[task], {})
    values = label_map(len(card.classes), card.label_values)
    shown: set[int] = set()
    for record in card.files.records(folder):
        image = read_image(folder, record)
        assert image.array.shape[0] == card.channels and record.modality == card.modality and record.source == "phantom"
        if record.label.kind == "mask":
            shown |= set(np.unique(read_label(folder, record, values).array).tolist())
    assert shown == set(range(len(card.classes) + 1))


@pytest.mark.parametrize("task", of_kinds("classification"))
def test_every_labelled_phantom_is_found_and_each_part_shows_every_class(task: str, phantoms: Phantoms) -> None:
    card = registry.task(task)
    folder = find_dataset(task, card, phantoms[task], {})
    records = {record.case_id: record for record in card.files.records(folder)}
    for record in (next(iter(records.values())), list(records.values())[-1]):
        image = read_image(folder, record)
        assert image.array.shape[0] == card.channels and record.modality == card.modality and record.source == "phantom"
        assert (image.array.shape[3] == 1) == (card.dims == 2) and image.array.std() > 0
    parts = parts_of(task, "bench", folder)
    for part in (parts.train, parts.val, parts.test):
        told = [records[case].label for case in part if case in records]
        if getattr(card, "multilabel", False):
            shown = {(k, value) for label in told for k, value in enumerate(label.values)}
            assert shown >= {(k, value) for k in range(len(card.classes)) for value in (0, 1)}
        else:
            assert {label.value for label in told} == set(range(len(card.classes)))


@pytest.mark.parametrize(("task", "name"), WRITTEN_PROTOCOLS)
def test_every_phantom_passes_its_check_under_every_protocol(task: str, name: str, phantoms: Phantoms) -> None:
    card = under(task, name)
    folder = find_dataset(task, card, phantoms[task], {})
    parts = parts_of(task, name, folder)
    report = check(card, folder, parts)
    assert report.exit_ok and report.source == "phantom" and report.unsound == ()
    found = {part: n for part, (_, n) in report.counts.items()}
    assert found["train"] >= 5 and found["test"] >= 2 and found.get("val", 1) >= 1, found
    here, missing = present(parts, {record.case_id for record in card.files.records(folder)})
    assert here.train and here.test and set(missing) == {case for ids in report.missing.values() for case in ids}


@pytest.mark.parametrize(("task", "name"), WRITTEN_PROTOCOLS)
def test_every_phantom_gives_a_manifest_stamped_phantom(
    task: str, name: str, phantoms: Phantoms, tmp_path: Path
) -> None:
    card = registry.task(task)
    folder = find_dataset(task, card, phantoms[task], {})
    made = manifest.build(task, card, name, folder=folder, splits_folder=SPLITS)
    manifest.write(made, tmp_path)
    assert manifest.read(tmp_path) == made and made.header.created_from == "phantom"
    assert all(r.shape and r.spacing and r.orientation and r.depth_axis is not None for r in made.records)


@pytest.mark.parametrize("task", KEYS)
def test_a_task_that_is_not_there_tells_how_to_get_it(task: str, tmp_path: Path) -> None:
    card = registry.task(task)
    with pytest.raises(DataMissing) as caught:
        find_dataset(task, card, tmp_path, {})
    text = str(caught.value)
    assert all(word in text for word in (card.title, card.licence, card.page, "--phantom", f"bench data check {task}"))


# Broken phantoms --------------------------------------------------------------------------------------


def files_of(folder: Path, record: Record) -> tuple[Path, Path]:
    return folder / record.images[0].path, folder / str(record.label.path)


def put_label(folder: Path, record: Record, array: np.ndarray, affine: object = None) -> None:
    """Write a mask, in the file's own axis order, in the format in which the record's is stored."""
    _, path = files_of(folder, record)
    header = read_header(folder, record)
    if record.label.format == "h5":
        image = read_image(folder, record).array[0]
        write_h5(path, {"image": image, "label": array})
    elif record.label.format == "series_masks":
        grey = np.where(array == 0.5, 100, array).astype(
            np.uint8
        )  # a picture holds whole greys; 100 lies between bands
        for z, picture in enumerate(sorted(path.iterdir())):
            picture.write_bytes(encode_png(grey[:, :, z].T))
    elif record.label.format == "nrrd":
        write_nrrd(path, array, affine=affine or header.affine)  # type: ignore[arg-type]
    else:
        write_nifti(path, array, affine=affine or header.affine, dtype=array.dtype)  # type: ignore[arg-type]


def cut(folder: Path, record: Record) -> None:
    path, _ = files_of(folder, record)
    path = sorted(path.iterdir())[0] if path.is_dir() else path
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def stray_value(folder: Path, record: Record) -> None:
    label = np.zeros(read_header(folder, record).shape, np.uint8)
    label[2:5, 2:5, 2:5] = 99
    put_label(folder, record, label)


def other_shape(folder: Path, record: Record) -> None:
    d, h, w = read_header(folder, record).shape
    put_label(folder, record, np.ones((d - 1, h, w), np.uint8))


def half_values(folder: Path, record: Record) -> None:
    put_label(folder, record, np.full(read_header(folder, record).shape, 0.5, np.float32))


BREAKS: dict[Callable[[Path, Record], None], str] = {
    cut: "files|geometry",
    stray_value: "labels",
    other_shape: "geometry",
    half_values: "labels",
}


@pytest.mark.parametrize("harm", list(BREAKS), ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("task", SEGMENTATIONS)
def test_a_broken_phantom_names_the_one_case_that_is_unsound(
    task: str, harm: Callable[[Path, Record], None], broken: Callable[[str], Path]
) -> None:
    folder = broken(task)
    report, case = harmed(task, folder, harm)
    assert [found.case for found in report.unsound] == [case] and not report.exit_ok
    (found,) = report.unsound
    assert found.check in BREAKS[harm].split("|") and found.problem and found.remedy


def harmed(task: str, folder: Path, harm: Callable[[Path, Record], None]) -> tuple[CheckReport, str]:
    card = registry.task(task)
    parts = parts_of(task, "bench", folder)
    record = next(r for r in card.files.records(folder) if r.case_id == parts.test[0])
    harm(folder, record)
    return check(card, folder, parts), record.case_id


@pytest.mark.parametrize("task", TASKS)
def test_a_case_that_a_hand_edited_split_lists_twice_fails_the_hygiene_check(task: str, phantoms: Phantoms) -> None:
    card = registry.task(task)
    folder = find_dataset(task, card, phantoms[task], {})
    parts = parts_of(task, "bench", folder)
    group = next(record.group for record in card.files.records(folder) if record.case_id == parts.test[0])
    leaking = Parts((*parts.train, parts.test[0]), parts.val, parts.test)
    report = check(card, folder, leaking, full=False)
    assert [(found.case, found.check) for found in report.unsound] == [(group, "hygiene")]


def test_no_phantom_pool_is_written_where_a_tasks_phantom_belongs() -> None:
    """Otherwise eight training scans of a corpus would pass for a finished task without test cases."""
    of_tasks = {registry.task(task).folders[0] for task in KEYS}
    of_pools = {member.folders[0] for key in CORPORA for member in registry.corpus(key).members}
    assert not of_tasks & of_pools


# Corpora ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", CORPORA)
def test_every_member_of_every_corpus_writes_a_phantom_that_is_found_and_read(key: str, tmp_path: Path) -> None:
    card = registry.corpus(key)
    assert card.key == key and card.licence and card.page and card.notes
    for member in card.members:
        ids = list(read_list(SPLITS, *member.cases)[:2]) if member.cases else ["a0001", "a0002"]
        member.files.write_phantom(tmp_path / member.folders[0], ids, "smoke")
    for member in card.members:
        folder = locate(member.files, member.key, member.folders, tmp_path, {})
        assert folder == tmp_path / member.folders[0]
        records = member.files.records(folder)
        assert {r.source for r in records} == {"phantom"}
        assert (
            len({r.meta.get("group", r.case_id) for r in records}) == 2
        )  # aligned images of one examination are a group
        ct = next((r for r in records if r.modality == "CT"), None)
        assert ct is None or read_image(folder, ct).array.dtype == np.int16
        assert len(orientation_name(read_header(folder, records[0]).affine)) == 3
        if member.cases:
            assert {r.case_id for r in records} <= set(read_list(SPLITS, *member.cases))
