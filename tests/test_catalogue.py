"""What there is, as lists and cards: every value that `bench show` prints has a source, and every count is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bench import doctor, registry
from bench.catalogue import show_method
from bench.contracts.cards import PRESETS
from bench.contracts.errors import SpecError
from bench.doctor import examine
from bench.store import Store
from tests.cells import make_cell, make_rows
from tests.command_line import bench

METHODS = registry.names(registry.METHODS)
TASKS = registry.names(registry.TASKS)
CORPORA = registry.names(registry.CORPORA)
PRETRAINED = [card["name"] for card in registry.describe(registry.METHODS) if card.get("corpus", "none") != "none"]


def test_a_stored_cell_is_shown_by_name_file_and_key_and_a_torn_one_is_no_traceback(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cell = store.write(make_cell(), make_rows())
    for word in (cell.name, str(store.path(cell.name)), cell.key[:8]):
        assert bench("show", word, "--results", str(tmp_path), "--json").value["key"] == cell.key
    store.path(cell.name).write_text("{")
    told = bench("show", cell.name, "--results", str(tmp_path), "--json")
    assert told.code == 2 and "no cell: Invalid JSON" in told.err


def test_mim_has_the_parameters_of_its_paper_and_a_source_for_every_value() -> None:
    shown = bench("show", "mim", "--json").value
    assert shown["parameters"]["encoder"] == 33_891_600 and shown["parameters"]["total"] == 89_901_072
    assert shown["parameters"]["frozen"] > 0
    assert set(shown["parameters"]) == {"encoder", "total", "frozen"}
    assert shown["kind"] == "method" and shown["config"]["pretrain"]["steps"]["value"] == 45_000


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", METHODS)
def test_every_value_of_every_method_at_every_preset_has_a_source(name: str, preset: str) -> None:
    if getattr(registry.method(name), preset) is None:
        with pytest.raises(SpecError, match=f"no preset '{preset}', possible: full, small, tiny"):
            show_method(name, "", preset)
        return
    shown = show_method(name, "", preset)
    values = [(phase, key, value) for phase, config in shown["config"].items() for key, value in config.items()]
    assert len(values) > 15
    assert [(phase, key) for phase, key, value in values if not value["source"].strip()] == []
    assert shown["parameters"]["total"] >= shown["parameters"]["encoder"] > 0
    assert preset in shown["presets"]


def test_a_value_that_a_preset_or_a_variant_changed_says_so() -> None:
    steps = show_method("mim", "", "tiny")["config"]["pretrain"]["steps"]
    assert steps["value"] == 12 and steps["source"].startswith("preset tiny")
    assert not show_method("mim", "", "full")["config"]["pretrain"]["steps"]["source"].startswith("preset")
    plain, variant = show_method("mim")["config"], show_method("mim", "align_byol")["config"]
    assert plain != variant


@pytest.mark.parametrize("name", [*METHODS, *TASKS, *CORPORA])
def test_everything_can_be_shown_to_a_person_and_to_a_program(name: str) -> None:
    shown = bench("show", name, "--json").value
    assert shown["name"] == name and shown["title"] and shown["kind"]
    told = bench("show", name)
    assert told.code == 0 and shown["title"] in told.out


@pytest.mark.parametrize("name", TASKS)
def test_a_task_shows_its_protocols_tree_licence_and_page(name: str) -> None:
    shown = bench("show", name, "--json").value
    assert shown["tree"] and shown["licence"] and shown["page"]
    assert bool(shown["classes"]) != (name in ("ctrg_report", "ctrate_retrieval"))  # texts have no classes
    for protocol in shown["protocols"].values():
        assert protocol["split"]["origin"] and protocol["metrics"] and protocol["recipe"]["steps"] > 0


def test_a_person_sees_the_protocols_of_a_task_side_by_side_and_their_notes_below() -> None:
    told = bench("show", "btcv").out
    lines = [[part.strip() for part in line.split("│")] for line in told.splitlines()]
    assert ["recipe.batch_size", "8", "16", "4"] in lines  # bench, mim, spad
    assert "recipe.permuted_labels" not in told, "a value that every protocol leaves at nothing is a line too many"
    assert "\nnotes on spad\n- Last weights, as the paper says" in told
    assert "\nprotocols" not in bench("show", "mim").out


def test_a_person_sees_the_sets_of_a_corpus_line_by_line() -> None:
    told = bench("show", "mim-1k").out
    lines = [[part.strip() for part in line.split("│")] for line in told.splitlines()]
    assert ["btcv", "24", "RawData, BTCV"] in lines and "\nnotes\n- " in told


def test_a_protocol_begins_with_its_cases_sight_and_metrics() -> None:
    protocols = bench("show", "luna16", "--json").value["protocols"]
    assert list(protocols["bench"])[:4] == ["listed", "label_ratios", "spacing_mm", "patch_voxels"]
    assert protocols["bench"]["listed"] == {"train": 534, "val": 89, "test": 265, "of": "groups"}
    assert bench("show", "btcv", "--json").value["protocols"]["mim"]["listed"]["val"] == "chosen on test"
    assert "candidates.csv" in protocols["mg3d"]["files"] and protocols["bench"]["files"] == ""
    lists = [p["listed"] for name in TASKS for p in bench("show", name, "--json").value["protocols"].values()]
    assert all(one["train"] == "told by the owners' tables" or one["test"] > 0 for one in lists)


def test_settings_of_what_no_protocol_does_are_not_shown_to_a_person() -> None:
    shown = bench("show", "msd04").out
    assert "recipe.rotate_degrees" in shown and "recipe.elastic" not in shown and "recipe.gamma" not in shown
    assert "recipe.gamma" in bench("show", "btcv").out  # SPAD's protocol does it


def test_a_methods_variants_and_counts_are_a_line_each() -> None:
    lines = bench("show", "mim").out.splitlines()
    assert any("variants.lora_r4.lora_rank" in line for line in lines)
    assert any("parameters.encoder" in line and "33,891,600" in line for line in lines)


def test_what_is_not_there_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    assert "Did you mean 'btcv'" in bench("show", "btvc", "--json").error["message"]
    assert "Did you mean 'small'" in bench("show", "mim", "--preset", "smal", "--json").error["message"]
    assert "Did you mean 'align_byol'" in bench("show", "mim@align_biol", "--json").error["message"]


def test_a_stored_cell_is_shown_as_it_was_recorded(tmp_path: Path) -> None:
    from bench.store import Store
    from tests.cells import make_cell, make_rows

    many = {"finetune": {"adopted": {"matched": [f"layer_{i}" for i in range(60)]}}}
    cell = Store(tmp_path).write(make_cell(differs=("preset tiny", "made-up volumes"), training=many), make_rows())
    assert bench("show", cell.name, "--results", tmp_path, "--json").value["key"] == cell.key
    told = bench("show", cell.name, "--results", tmp_path).out
    lines = [[part.strip() for part in line.split("│")] for line in told.splitlines()]
    assert ["scores.dice", str(cell.scores["dice"])] in lines
    assert ["training.finetune.adopted.matched", "layer_0, layer_1, layer_2 and 57 more"] in lines
    assert "\ndiffers\n- preset tiny\n- made-up volumes\n" in told


@pytest.mark.parametrize("sort", ["methods", "tasks", "corpora", "tables"])
def test_lists_for_a_person_count_and_name_everything(sort: str) -> None:
    rows = bench("list", sort, "--json").value
    told = bench("list", sort)
    assert told.out.startswith(f"{len(rows)} {sort}")
    assert all(str(row["name"]) in told.out for row in rows)


def test_list_rows_hold_what_the_cards_hold() -> None:
    methods = {row["name"]: row for row in bench("list", "methods", "--json").value}
    assert set(methods) == set(METHODS) and all(row["title"] and row["paper"] for row in methods.values())
    assert sorted(name for name, row in methods.items() if row["corpus"] != "none") == sorted(PRETRAINED)
    tasks = {row["name"]: row for row in bench("list", "tasks", "--json").value}
    assert all(set(row["protocols"]) == set(registry.task(name).protocols) for name, row in tasks.items())


def test_the_doctor_tells_one_line_per_finding_and_never_fails_for_a_note(tmp_path: Path) -> None:
    found = bench("doctor", "--results", tmp_path, "--json").value
    assert {"Python", "packages", "device", "disk", "results", "data"} <= {check["what"] for check in found}
    assert all(set(check) == {"mark", "what", "found", "remedy"} for check in found)
    assert all(check["remedy"] for check in found if check["mark"] != "ok")
    assert bench("doctor", "--results", tmp_path).code == 0


def test_the_doctor_finds_data_and_a_package_that_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import doctor
    from bench.phantom_data import write_task

    folder = write_task("msd04", "smoke", tmp_path)
    found = {check.what: check for check in examine({"BENCH_DATA": str(tmp_path)}, tmp_path)}
    assert found["msd04"].found == str(folder) and "btcv" not in found
    have = dict.fromkeys(("torch", "numpy"), "1.0.1")
    monkeypatch.setattr(doctor, "requires", lambda _: ["torch<3,>=2.11", "numpy>=1.0", 'pynrrd>=9; extra == "nrrd"'])
    monkeypatch.setattr(doctor, "version", lambda name: have[name])
    bad = [check for check in examine({}, tmp_path) if check.mark == "bad"]
    assert [(check.what, check.remedy) for check in bad] == [("torch", "pip install 'torch>=2.11'")]


@pytest.mark.parametrize(
    ("path", "include", "told"),
    [("", "", "no C compiler"), ("gcc", "", "without Python.h"), ("gcc", "Python.h", "gcc")],
    ids=["no compiler", "no headers", "both"],
)
def test_the_doctor_looks_for_a_compiler_where_a_gpu_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, include: str, told: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, 0))
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/bin/{name}" if name and name == path else None)
    monkeypatch.setattr(doctor.sysconfig, "get_path", lambda _: str(tmp_path))
    if include:
        (tmp_path / include).touch()
    (found,) = [check for check in examine({}, tmp_path) if check.what == "compiler"]
    assert found.found.endswith(told)
    assert (found.mark == "ok") == bool(include) == (not found.remedy)


def test_the_doctor_calls_no_place_of_data_well_that_is_no_folder(tmp_path: Path) -> None:
    places = {"BENCH_DATA": str(tmp_path / "typo"), "nnUNet_raw": str(tmp_path)}
    told = [(check.mark, check.found) for check in examine(places, tmp_path) if check.what == "data"]
    assert told == [("ok", f"$nnUNet_raw={tmp_path}"), ("note", f"$BENCH_DATA={tmp_path / 'typo'} is no folder")]


def test_the_doctor_sees_a_file_where_results_should_go(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = bench("doctor", "--results", tmp_path / "file" / "results")
    assert answer.code == 2 and "A file stands at" in answer.out


def test_cards_as_json_hold_no_number_that_json_lacks() -> None:
    for name in (*METHODS, *TASKS, *CORPORA):
        json.loads(bench("show", name, "--json").out, parse_constant=pytest.fail)
