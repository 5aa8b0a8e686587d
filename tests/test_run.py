"""One tiny run from end to end through the command line, and everything a person may do with it afterwards.

Two seeds of one method are run once for the whole file; tests that change a file work on a copy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import json
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bench.cli import STOPPED
from bench.contracts.errors import DataMissing, SpecError
from bench.data.volumes import write_nifti
from bench.look import look
from bench.metrics.overlap import dice
from bench.plan import read_plan, write_plan
from bench.predict_folder import predict_folder
from bench.restore import spec_of
from bench.run import Place, demand_machine, outcome, resolve_at
from bench.spec import RunSpec
from bench.store import Store
from bench.train.hardware import Hardware
from tasks.kinds import segmentation
from tests.cells import make_cell
from tests.command_line import OWN_MAE, SHORT, Answer, bench
from tests.tasks.test_segmentation_kind import OBLIQUE_LPS, KnowsTheTruth, setup_of, volume_of

CONTRACT = {"cell", "path", "source", "protocol", "scores", "n"}


@dataclass(frozen=True)
class Done:
    """A results folder with two finished seeds, and what the command printed of them."""

    results: Path
    told: list[dict[str, Any]]

    @property
    def cell(self) -> str:
        return str(self.told[0]["cell"])

    def copied(self, to: Path, *left_out: str) -> Path:
        """The results somewhere else, without some of its folders or files."""
        shutil.copytree(self.results, to, ignore=shutil.ignore_patterns(*left_out))
        return to


def run(results: Path, *words: str) -> Answer:
    return bench("run", *OWN_MAE, *SHORT, "--results", results, "--json", *words)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    results = tmp_path_factory.mktemp("done") / "results"
    return Done(results, run(results, "--repeats", "2").value)


def told_apart_from_place(one: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name != "path"}


def files_of(results: Path) -> dict[str, int]:
    """Every file below a folder with the time it was written, locks left out."""
    return {
        path.relative_to(results).as_posix(): path.stat().st_mtime_ns
        for path in sorted(results.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


# What a run says and leaves --------------------------------------------------------------------------------


def test_repeats_print_a_list_of_contracts_and_one_run_prints_its_own(done: Done) -> None:
    assert len(done.told) == 2 and all(set(one) == CONTRACT for one in done.told)
    assert [one["cell"].split("-")[-3] for one in done.told] == ["s0", "s1"]
    for one in done.told:
        assert (one["source"], one["protocol"], one["n"]) == ("phantom", "bench", 3)
        assert set(one["scores"]) == {"dice", "nsd@1mm", "hd95", "assd"}
        assert 0 <= one["scores"]["dice"] <= 1
        assert json.loads(Path(one["path"]).read_text())["name"] == one["cell"]
    alone = run(done.results)
    assert alone.value == done.told[0]


def test_undefined_scores_are_null() -> None:
    from bench.cli.console import print_json

    told = outcome(make_cell(scores={"dice": 0.0, "hd95": None}), Path("results"))
    assert told["scores"] == {"dice": 0.0, "hd95": None}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        print_json({"a": float("nan"), "b": [float("inf")], "c": "ä"})
    assert json.loads(out.getvalue()) == {"a": None, "b": [None], "c": "ä"}


def test_two_seeds_share_one_pre_training_and_differ_in_fine_tuning(done: Done) -> None:
    cells = [Store(done.results).read(one["cell"]) for one in done.told]
    assert cells[0].keys["pretrain:pretrain"] == cells[1].keys["pretrain:pretrain"]
    assert len([p for p in (done.results / "runs" / "pretrain").iterdir() if p.is_dir()]) == 1
    assert cells[0].hashes["pretrain:final"] == cells[1].hashes["pretrain:final"]
    assert cells[0].hashes["finetune:initial"] != cells[1].hashes["finetune:initial"]
    assert (cells[0].seed, cells[1].seed) == (0, 1)


def test_a_record_holds_what_a_reviewer_asks_for(done: Done) -> None:
    cell = Store(done.results).read(done.cell)
    assert cell.config["finetune"]["steps"] == 2 and cell.config["pretrain"]["steps"] == 2
    assert "phantom data" in cell.differs and any("--set finetune.steps=2" in word for word in cell.differs)
    assert (cell.n, cell.n_listed, cell.n_train, cell.partial) == (3, 3, 2, "")
    assert cell.command.startswith("bench run --method mae3d --task msd04 --ratio 0.25 --preset tiny --corpus own")
    assert cell.provenance["versions"]["torch"] and str(done.results) not in json.dumps(cell.provenance)
    assert all(len(cell.hashes[name]) == 64 for name in ("finetune:final", "pretrain:final", "cases"))
    assert {row.case for row in Store(done.results).rows(done.cell)} and len(cell.class_scores) == 2


def test_a_run_leaves_log_curves_case_lists_and_overlays(done: Done) -> None:
    cell = Store(done.results).read(done.cell)
    tuned = done.results / "runs" / "finetune" / cell.keys["finetune"][:16]
    parts = json.loads((tuned / "cases.json").read_text())
    assert len(parts["train"]) == 2 and not set(parts["train"]) & {*parts["val"], *parts["test"]}
    assert all((tuned / name).stat().st_size for name in ("log.jsonl", "curves.png", "manifest.json", "trained.json"))
    predicted = done.results / "runs" / "predict" / cell.keys["predict"][:16]
    assert {path.name for path in predicted.glob("*.png")}
    assert sorted(p.name for p in (predicted / "predictions").iterdir()) == [
        f"{c}.nii.gz" for c in sorted(parts["test"])
    ]


# Repeating and resuming ------------------------------------------------------------------------------------


def test_repeating_a_finished_run_returns_it_and_writes_nothing(done: Done) -> None:
    before = files_of(done.results)
    assert run(done.results, "--repeats", "2").value == done.told
    assert files_of(done.results) == before


def test_a_run_whose_cell_is_gone_goes_on_from_its_rooms_to_the_same_bits(done: Done, tmp_path: Path) -> None:
    results = done.copied(tmp_path / "results", "cells", "cases", "cache")
    rooms = {
        name: when for name, when in files_of(results).items() if name.endswith((".safetensors", ".nii.gz", ".pt"))
    }
    again = run(results)
    assert again.value["scores"] == done.told[0]["scores"] and again.value["cell"] == done.cell
    assert {name: files_of(results)[name] for name in rooms} == rooms
    assert Store(results).cases_sha256(done.cell) == Store(done.results).cases_sha256(done.cell)
    assert Store(results).read(done.cell).hashes == Store(done.results).read(done.cell).hashes


def test_lost_predictions_are_made_again_bit_by_bit(done: Done, tmp_path: Path) -> None:
    results = done.copied(tmp_path / "results", "cells", "cases", "predict", "cache")
    assert run(results).value["scores"] == done.told[0]["scores"]
    assert Store(results).read(done.cell).hashes == Store(done.results).read(done.cell).hashes


def test_a_run_that_ends_while_it_draws_draws_when_it_is_repeated(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = done.copied(tmp_path / "results", "cells", "cases", "*.png")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for drawing in ("draw_curves", "draw"):
        with monkeypatch.context() as patch:
            patch.setattr(f"bench.run.{drawing}", stopped)
            assert run(results).code == STOPPED
    assert run(results).value["cell"] == done.cell
    pictures = {path.relative_to(done.results) for path in (done.results / "runs").rglob("*.png")}
    own = {room: key[:16] for room, key in Store(results).read(done.cell).keys.items()}
    wanted = {path for path in pictures if path.parts[2] in own.values()}
    assert {path.parts[1] for path in wanted} == {"pretrain", "finetune", "predict"}
    assert {path.relative_to(results) for path in (results / "runs").rglob("*.png")} == wanted


def test_the_cache_may_be_named_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Place.at("results", environ={"BENCH_CACHE": "~/cache"}).cache == tmp_path / "cache"
    assert Place.at("results", environ={"BENCH_CACHE": ""}).cache == Path("results/cache")


# Verify ----------------------------------------------------------------------------------------------------


def verdicts(results: Path, cell: str, code: int) -> dict[str, str]:
    answer = bench("verify", cell, "--results", results, "--json")
    assert answer.code == code, answer.err
    return {check["name"]: check["verdict"] for check in json.loads(answer.out)["checks"]}


def test_an_untouched_cell_verifies_by_name_by_path_and_by_key(done: Done) -> None:
    found = verdicts(done.results, done.cell, 0)
    initial = {"finetune:initial", "pretrain:initial"}  # recorded, and nothing on disk to hash again
    assert {name for name, verdict in found.items() if verdict == "absent"} == initial
    assert {name for name, verdict in found.items() if verdict == "ok"} == {
        "cases", "predictions", "scores", "rescored", "finetune:final", "pretrain:final",
    }  # fmt: skip
    by_path = bench("verify", done.told[0]["path"], "--results", "elsewhere", "--json")
    by_key = bench("verify", Store(done.results).read(done.cell).key[:12], "--results", done.results, "--json")
    assert by_path.value == by_key.value == bench("verify", done.cell, "--results", done.results, "--json").value


def test_one_changed_voxel_of_a_prediction_is_noticed(done: Done, tmp_path: Path) -> None:
    results = done.copied(tmp_path / "results", "cache")
    folder = results / "runs" / "predict" / Store(results).read(done.cell).keys["predict"][:16] / "predictions"
    path = sorted(folder.glob("*.nii.gz"))[0]
    image = nib.load(path)
    array = np.asarray(image.dataobj).copy()
    array[20, 30, 18] = (array[20, 30, 18] + 1) % 3
    write_nifti(path, array, affine=image.affine.tolist(), dtype=np.uint8)
    found = verdicts(results, done.cell, 2)
    assert found["predictions"] == found["rescored"] == "differs"
    assert found["cases"] == found["scores"] == found["finetune:final"] == "ok"


def test_weights_and_predictions_that_are_gone_are_absent_and_no_fault(done: Done, tmp_path: Path) -> None:
    results = done.copied(tmp_path / "results", "runs", "cache")
    found = verdicts(results, done.cell, 0)
    assert found["predictions"] == found["rescored"] == found["finetune:final"] == "absent"
    assert found["cases"] == found["scores"] == "ok"


def test_an_unknown_cell_is_told_with_the_nearest(done: Done) -> None:
    error = bench("verify", f"{done.cell[:-1]}x", "--results", done.results, "--json").error
    assert error["error"] == "StoreError" and done.cell in error["message"]


# Plan ------------------------------------------------------------------------------------------------------


def test_a_plan_tells_done_from_to_do_shares_pre_training_and_is_run_as_written(done: Done, tmp_path: Path) -> None:
    words = [word if word != "0.25" else "0.25,1" for word in OWN_MAE]
    answer = bench("plan", *words, *SHORT, "--results", done.results, "--out", tmp_path / "plan.json", "--json")
    jobs = [(job["room"], job["state"]) for job in answer.value]
    assert jobs == [
        ("pretrain:pretrain", "done"),
        ("finetune", "done"),
        ("predict, score", "done"),
        ("finetune", "to do"),
        ("predict, score", "to do"),
    ]
    to_do = answer.value[3]["forecast"]
    assert to_do["hours"] > 0 and to_do["memory_gib"] > 0 and to_do["disk_gib"] > 0 and "FLOPs" in to_do["basis"]
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["cells"] = plan["cells"][:1]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    before = files_of(done.results)
    ran = bench("run", "--plan", tmp_path / "plan.json", "--results", done.results, "--device", "cpu", "--json")
    assert ran.value == done.told[0] and files_of(done.results) == before


def test_a_training_that_was_interrupted_is_planned_from_its_own_log(done: Done, tmp_path: Path) -> None:
    results = done.copied(tmp_path / "results", "cells", "cases", "trained.json")
    folder = results / "runs" / "finetune" / Store(done.results).read(done.cell).keys["finetune"][:16]
    line = {"step": 1, "samples_per_s": 4.0}
    (folder / "log.jsonl").write_text(json.dumps(line) + '\n{"step": 2, "sam')  # killed while it wrote
    jobs = bench("plan", *OWN_MAE, *SHORT, "--results", results, "--json").value
    assert [job["state"] for job in jobs] == ["started", "started", "to do"]
    assert jobs[1]["forecast"]["basis"] == "its own log, 1 step left"
    assert jobs[1]["forecast"]["hours"] == pytest.approx(2 / 4 / 3600)  # one step of two samples


def test_a_norm_over_the_batch_is_forecast_where_the_deepest_map_is_one_voxel(tmp_path: Path) -> None:
    words = ("--method", "mim", "--task", "nodulemnist3d", "--phantom", "--preset", "tiny", "--corpus", "none")
    jobs = bench("plan", *words, "--results", tmp_path, "--json").value
    assert jobs[0]["room"] == "finetune" and jobs[0]["forecast"]["hours"] > 0


def test_a_plan_for_a_person_is_a_table_with_the_next_command(done: Done, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    answer = bench("plan", *OWN_MAE, *SHORT, "--results", done.results, "--out", out)
    assert answer.code == 0 and "3 jobs for 1 cell" in answer.out and f"bench run --plan {out}" in answer.out


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", '{"schema": "bench-plan/0", "cells": []}', '{"schema": "bench-plan/1", "cells": []}',
        '{"schema": "bench-plan/1", "cells": [{"method": "mim"}]}',
    ],
)  # fmt: skip
def test_a_file_that_is_no_plan_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(content)
    error = bench("run", "--plan", tmp_path / "plan.json", "--json").error
    assert error["error"] == "SpecError" and "Not a plan" in error["message"]


def test_a_plan_that_is_not_there_is_said_so_in_plain_words(tmp_path: Path) -> None:
    error = bench("run", "--plan", tmp_path / "none.json", "--json").error
    assert error["message"] == "Not a plan: No such file or directory." and error["case"] == str(tmp_path / "none.json")


def test_the_words_of_an_edited_plan_are_checked_like_typed_ones(done: Done, tmp_path: Path) -> None:
    bench("plan", *OWN_MAE, *SHORT, "--results", done.results, "--out", tmp_path / "plan.json")
    plan = json.loads((tmp_path / "plan.json").read_text())
    for word, wrong in (("preset", "smal"), ("ratio", 2.0), ("seed", -1)):
        (tmp_path / "wrong.json").write_text(json.dumps({**plan, "cells": [{**plan["cells"][0], word: wrong}]}))
        assert bench("run", "--plan", tmp_path / "wrong.json", "--json").error["error"] == "SpecError"


@pytest.mark.parametrize(("word", "wrong"), [("phantom", "false"), ("seed", 0.0), ("ratio", "0.5"), ("root", None)])
def test_a_word_of_another_type_in_an_edited_plan_is_refused(word: str, wrong: object, tmp_path: Path) -> None:
    cell = dataclasses.asdict(RunSpec(method="mae3d", task="msd04", phantom=True))
    (tmp_path / "plan.json").write_text(json.dumps({"schema": "bench-plan/1", "cells": [{**cell, word: wrong}]}))
    with pytest.raises(SpecError, match=f"{word} must be of type"):
        read_plan(tmp_path / "plan.json")


def test_a_whole_ratio_in_an_edited_plan_is_the_one_that_is_typed(tmp_path: Path) -> None:
    cell = dataclasses.asdict(RunSpec(method="mae3d", task="msd04"))
    (tmp_path / "plan.json").write_text(json.dumps({"schema": "bench-plan/1", "cells": [{**cell, "ratio": 1}]}))
    (spec,) = read_plan(tmp_path / "plan.json")
    assert type(spec.ratio) is float


@pytest.mark.parametrize("words", [("--ratio", "0.1"), ("--phantom",), ("--set", "steps=2"), ("--repeats", "3")])
def test_words_of_a_run_beside_a_plan_are_refused_and_not_passed_over(words: tuple[str, ...], tmp_path: Path) -> None:
    write_plan([RunSpec(method="mae3d", task="msd04", phantom=True, preset="tiny")], tmp_path / "plan.json")
    error = bench("run", "--plan", tmp_path / "plan.json", "--results", tmp_path, *words, "--json").error
    assert error["error"] == "SpecError" and f"takes no {words[0]}." in error["message"]


# Table -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["rich", "md", "latex", "html", "csv"])
def test_a_table_is_rendered_in_every_form(form: str, done: Done, tmp_path: Path) -> None:
    answer = bench("table", "msd04", "--format", form, "--results", done.results)
    assert answer.code == 0 and "mae3d" in answer.out.replace("\\", "") and "phantom" in answer.out.lower()
    written = bench("table", "msd04", "--format", form, "--results", done.results, "--out", tmp_path / "table")
    assert written.code == 0
    assert (tmp_path / "table").read_text().strip() == answer.out.strip()


def test_a_table_as_json_averages_both_seeds(done: Done) -> None:
    found = bench("table", "all", "--results", done.results, "--json").value
    (entry,) = (entry for section in found["sections"] for row in section["rows"] for entry in row["entries"])
    assert entry["runs"] == 2 and entry["cases"] == ""
    dice = [100 * one["scores"]["dice"] for one in done.told]
    assert entry["mean"] == pytest.approx(sum(dice) / 2) and entry["sd"] == pytest.approx(np.std(dice, ddof=1))
    assert bench("table", "all", "--results", done.results / "none", "--json").error["error"] == "SpecError"


# The single rooms ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(done: Done, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person's own folder: two of the run's test volumes, without their labels."""
    folder = tmp_path_factory.mktemp("images")
    source = done.results / "runs" / "phantoms" / "smoke" / "Task04_Hippocampus" / "imagesTr"
    for case in sorted({row.case for row in Store(done.results).rows(done.cell)})[:2]:
        shutil.copy(source / f"{case}.nii.gz", folder)
    return folder


def test_a_cell_predicts_a_folder_of_volumes_as_it_predicted_its_tests(
    done: Done, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("predict", "--images", images, "--results", done.results, "--device", "cpu", "--json", "--out")
    written = bench(*words, out, "--cell", done.cell).value
    assert [Path(path).name for path in written] == sorted(path.name for path in images.iterdir())
    stored = (
        done.results / "runs" / "predict" / Store(done.results).read(done.cell).keys["predict"][:16] / "predictions"
    )
    for path in map(Path, written):
        assert path.read_bytes() == (stored / path.name).read_bytes()
    before = files_of(out)
    assert bench(*words, out, "--cell", done.cell).value == written
    assert {k: v for k, v in files_of(out).items() if k.endswith(".nii.gz")} == {
        k: v for k, v in before.items() if k.endswith(".nii.gz")
    }
    other = bench(*words, out, "--cell", done.told[1]["cell"]).error
    assert other["error"] == "StoreError" and "--out" in other["remedy"]


def test_a_folder_of_volumes_is_predicted_on_its_own_grid_though_a_protocol_scores_where_the_network_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, setup = volume_of(), setup_of(spacing_mm=(0.99138, 0.99138, 1.5), score_grid="resampled")
    image = np.select([truth == 1, truth == 2], [100, -100], 0)
    write_nifti(tmp_path / "images" / "mine.nii.gz", image, affine=OBLIQUE_LPS, dtype=np.int16)
    monkeypatch.setattr(
        "bench.predict_folder.find_cell", lambda *_: (make_cell(keys={"predict": "any"}), tmp_path / "results")
    )
    monkeypatch.setattr(
        "bench.predict_folder.model_of", lambda *_: (SimpleNamespace(setup=setup), segmentation, KnowsTheTruth())
    )
    place = Place.at(tmp_path / "results", hardware=Hardware(device="cpu"))
    (written,) = predict_folder("any", tmp_path / "images", tmp_path / "out", place)
    guess = nib.load(written)
    np.testing.assert_allclose(guess.affine, OBLIQUE_LPS, atol=1e-5)
    assert np.array_equal(np.asarray(guess.dataobj), truth)


def test_a_changed_image_is_predicted_again(done: Done, images: Path, tmp_path: Path) -> None:
    mine, out = tmp_path / "mine", tmp_path / "out"
    shutil.copytree(images, mine)
    words = ("predict", "--images", mine, "--out", out, "--cell", done.cell, "--results", done.results, "--json")
    first, second = (Path(path) for path in bench(*words, "--device", "cpu").value)
    kept = second.stat().st_mtime_ns
    image = nib.load(mine / first.name)
    write_nifti(mine / first.name, np.asarray(image.dataobj)[:-3], affine=image.affine.tolist(), dtype=np.float32)
    bench(*words, "--device", "cpu")
    assert nib.load(first).shape == nib.load(mine / first.name).shape and second.stat().st_mtime_ns == kept


@pytest.mark.parametrize("text", ['{"key": "ab', "[]", "{}"])
def test_a_list_of_predictions_that_is_torn_or_anothers_is_told_and_kept(
    text: str, done: Done, images: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "predicted.json"
    mark.write_text(text)
    words = ("predict", "--images", images, "--out", tmp_path, "--cell", done.cell, "--results", done.results, "--json")
    told = bench(*words, "--device", "cpu").error
    assert told["error"] == "StoreError" and told["case"] == str(mark) and "--out" in told["remedy"]
    assert mark.read_text() == text


def test_a_cell_predicts_the_hidden_test_part_as_its_owners_take_it(done: Done, tmp_path: Path) -> None:
    words = ("predict", "--official", "--cell", done.cell, "--results", done.results, "--device", "cpu", "--json")
    (written,) = bench(*words, "--out", tmp_path / "out").value
    assert Path(written) == tmp_path / "out" / "Task04_Hippocampus" / "hippocampus_002.nii.gz"
    image = done.results / "runs" / "phantoms" / "smoke" / "Task04_Hippocampus" / "imagesTs" / "hippocampus_002.nii.gz"
    guess, seen = nib.load(written), nib.load(image)
    assert guess.shape == seen.shape and np.array_equal(guess.affine, seen.affine)
    assert set(np.unique(np.asarray(guess.dataobj))) <= {0, 1, 2}
    again = bench(*words, "--out", tmp_path / "again").value
    assert Path(again[0]).read_bytes() == Path(written).read_bytes()


def test_a_prediction_is_of_given_volumes_or_of_the_hidden_part_and_not_of_both(done: Done, tmp_path: Path) -> None:
    words = ("predict", "--cell", done.cell, "--out", tmp_path / "out", "--results", done.results, "--json")
    for more in ((), ("--official", "--images", tmp_path)):
        assert bench(*words, *more).error["error"] == "SpecError"


def test_predicting_nothing_and_with_a_lost_model_are_told(done: Done, images: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    words = ("predict", "--cell", done.cell, "--out", tmp_path / "out", "--json", "--results")
    for folder in ("empty", "none"):
        error = bench(*words, done.results, "--images", tmp_path / folder).error
        assert error["error"] == "DataMissing" and folder in error["message"]
    mine = done.copied(tmp_path / "my results", "finetune", "predict")
    lost = bench(*words, mine, "--images", images).error
    assert lost["error"] == "DataMissing"
    again = shlex.split(lost["remedy"].partition("bench ")[2])
    assert again[0] == "finetune" and again[-1] == str(mine)  # a run would find its cell and train nothing
    assert bench(*again, "--device", "cpu").code == 0
    assert len(bench(*words, mine, "--images", images, "--device", "cpu").value) == 2


def test_pre_training_alone_on_a_folder_leaves_encoder_log_and_curves(images: Path, tmp_path: Path) -> None:
    words = ("pretrain", "--method", "mae3d", "--preset", "tiny", "--root", images, "--set", "steps=2", "--json")
    found = bench(*words, "--device", "cpu", "--results", tmp_path).value
    assert set(found) == {"encoder", "log", "key", "corpus"}
    assert re.fullmatch(r"folder#[0-9a-f]{8}, (\d+)/\1", found["corpus"])
    assert all(Path(found[name]).stat().st_size for name in ("encoder", "log"))
    assert Path(found["encoder"]).with_name("curves.png").stat().st_size
    again = files_of(tmp_path / "runs")
    assert bench(*words, "--device", "cpu", "--results", tmp_path).value == found
    assert {k: v for k, v in files_of(tmp_path / "runs").items() if not k.endswith(".png")} == {
        k: v for k, v in again.items() if not k.endswith(".png")
    }


def test_pre_training_alone_for_a_task_is_what_its_run_made(done: Done) -> None:
    words = [word for word in OWN_MAE if word not in ("--ratio", "0.25")]
    found = bench("pretrain", *words, "--set", "pretrain.steps=2", "--results", done.results, "--json").value
    assert found["key"] == Store(done.results).read(done.cell).keys["pretrain:pretrain"]


def next_of(answer: Answer) -> list[str]:
    """The words of the next command, as a shell hands them on."""
    assert answer.code == 0, answer.err
    return shlex.split(answer.out.partition("Next:")[2])


def test_the_next_command_after_pre_training_builds_the_encoder_that_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"encoder": "my runs/encoder.safetensors", "log": "", "corpus": ""}
    monkeypatch.setattr("bench.rooms.pretrain_alone", lambda **_: told)
    words = ("--preset", "tiny", "--set", "pretrain.steps=2", "--set", "pretrain.depth=1", "--results", tmp_path)
    assert next_of(bench("pretrain", "--method", "mae3d", *words)) == [
        *("bench", "run", "--method", "mae3d", "--task", "TASK", "--preset", "tiny", "--set", "pretrain.depth=1"),
        *("--weights", "my runs/encoder.safetensors"),
    ]


def test_the_next_command_after_fine_tuning_finds_what_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.rooms.finetune_alone", lambda spec, place: {"model": "", "log": ""})
    mine, weights = tmp_path / "my results", tmp_path / "my encoder.safetensors"
    words = ("--method", "mae3d", "--task", "msd04", "--phantom", "--weights", weights, "--results", mine)
    told = next_of(bench("finetune", *words))
    assert (
        told[1] == "run" and told[told.index("--weights") + 1] == str(weights) and told[-2:] == ["--results", str(mine)]
    )


@pytest.mark.parametrize(("corpus", "steps"), [("ct-rate-1.4k", 100_000), ("", 300_000)])
def test_pre_training_alone_takes_what_the_paper_sets_for_the_corpus(
    corpus: str, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Chosen(Exception):
        """What would be trained."""

    def choose(configs: dict[str, Any], _: object) -> None:
        raise Chosen(configs["pretrain"].steps)

    monkeypatch.setattr("bench.rooms.apply_settings", choose)
    with pytest.raises(Chosen, match=f"^{steps}$"):
        bench("pretrain", "--method", "mg3d", "--corpus", corpus, "--corpus-root", tmp_path if corpus else "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--method", "unet3d_scratch", "--preset", "tiny"), "does not pre-train"),
        (("--method", "mae3d", "--preset", "tny"), "Did you mean 'tiny'"),
        (("--method", "mae3d", "--preset", "tiny", "--corpus", "own"), "--task"),
        (("--method", "mae3d", "--preset", "tiny", "--root", "nowhere"), "nowhere"),
        (("--method", "mae3d", "--preset", "tiny", "--set", "stps=2", "--root", "nowhere"), "Did you mean 'steps'"),
    ],
)
def test_a_mistake_in_pre_training_alone_is_told(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    error = bench("pretrain", *words, "--results", tmp_path, "--json").error
    assert told in f"{error['message']} {error['remedy']}"


# Weights from a file ---------------------------------------------------------------------------------------

TASK = ("--task", "msd04", "--preset", "tiny", "--phantom", "--ratio", "0.25", "--json")
TUNED = ("--set", "finetune.steps=1", "--set", "finetune.evaluate_every=0", "--device", "cpu")


def encoder_of(done: Done) -> Path:
    key = Store(done.results).read(done.cell).keys["pretrain:pretrain"][:16]
    return done.results / "runs" / "pretrain" / key / "encoder.safetensors"


def test_a_stored_case_is_looked_at_with_the_voxels_that_were_scored(done: Done) -> None:
    store, place = Store(done.results), Place.at(done.results, environ={})
    rows = store.rows(done.cell)
    seen = look(done.cell, rows[0].case, place)
    assert seen.image.shape == seen.truth.shape == seen.prediction.shape and seen.spacing_mm == (1.0, 1.0, 1.0)
    scored = {row.class_: row.value for row in rows if row.case == rows[0].case and row.metric == "dice"}
    for label, name in enumerate(store.read(done.cell).classes, start=1):
        assert dice(seen.prediction == label, seen.truth == label) == scored[name]


def test_a_case_that_was_not_tested_or_is_gone_is_told_when_looked_for(done: Done, tmp_path: Path) -> None:
    case = Store(done.results).rows(done.cell)[0].case
    with pytest.raises(SpecError, match="No test case 'nobody'"):
        look(done.cell, "nobody", Place.at(done.results, environ={}))
    with pytest.raises(DataMissing, match="The prediction is not at"):
        look(done.cell, case, Place.at(done.copied(tmp_path / "without", "predict"), environ={}))


@pytest.fixture
def fresh(done: Done, tmp_path: Path) -> Path:
    """A results folder with phantoms and prepared volumes, and nothing trained."""
    return done.copied(tmp_path / "fresh", "cells", "cases", "pretrain", "finetune", "predict")


def trained_in(results: Path) -> list[str]:
    return [name for name in files_of(results) if name.endswith((".safetensors", ".pt", "trained.json"))]


def test_weights_from_a_file_take_the_place_of_pre_training(done: Done, fresh: Path) -> None:
    words = ("finetune", "--method", "mae3d", *TASK, *TUNED, "--weights", encoder_of(done), "--results", fresh)
    found = bench(*words).value
    assert set(found) == {"model", "log", "key"} and Path(found["model"]).is_file() and Path(found["log"]).is_file()
    adopted = json.loads(Path(found["model"]).with_name("trained.json").read_text())["adopted"]
    assert adopted["matched"] and not adopted["new"] and not adopted["dropped"] and "taken over" in adopted["summary"]
    assert not (fresh / "cells").exists() and not (fresh / "runs" / "pretrain").exists()


def test_weights_of_another_architecture_are_refused_and_nothing_is_trained(done: Done, fresh: Path) -> None:
    words = ("--method", "unet3d_scratch", *TASK, *TUNED, "--weights", encoder_of(done), "--results", fresh)
    error = bench("run", *words).error
    assert error["error"] == "EncoderMismatch" and error["case"] == "encoder.safetensors"
    assert "tensors that the encoder must take over do not fit" in error["message"]
    assert trained_in(fresh) == [] and not (fresh / "cells").exists()


def test_an_encoder_that_the_decoder_cannot_read_is_refused_before_it_is_pre_trained(fresh: Path) -> None:
    """Patches of 16 voxels need a fourth map, and `skips` is a setting of pre-training: after it there is no way on."""
    words = ("--method", "mae3d", *TASK, "--corpus", "own", *SHORT, "--set", "pretrain.patch=16,16,16")
    error = bench("run", *words, "--results", fresh).error
    assert error["error"] == "SpecError" and "reads 4 maps, found 3" in error["message"]
    assert trained_in(fresh) == []


@pytest.mark.parametrize("command", ["run", "finetune"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--set", "finetune.precision=fp16", "--device", "cpu"), "precision fp16 needs CUDA"),
        (("--device", "tpu"), "No device 'tpu'"),
    ],
)
def test_hardware_that_a_training_cannot_have_is_told_before_anything_is_prepared_or_pre_trained(
    command: str, words: tuple[str, ...], told: str, fresh: Path
) -> None:
    shutil.rmtree(fresh / "cache")
    error = bench(command, *OWN_MAE, *SHORT, *words, "--results", fresh, "--json").error
    assert error["error"] == "SpecError" and told in error["message"]
    assert trained_in(fresh) == [] and not (fresh / "cache").exists()


def test_a_finished_training_asks_for_no_hardware(done: Done, tmp_path: Path) -> None:
    results = done.copied(tmp_path / "results", "cells", "cases")
    chain = resolve_at(spec_of(Store(done.results).read(done.cell)), place := Place.at(results))
    demand_machine(chain, dataclasses.replace(place, hardware=Hardware(device="tpu")))


@pytest.mark.parametrize(("content", "kind"), [(b"no weights at all", "StoreError"), (None, "EncoderMismatch")])
def test_a_strangers_file_is_refused_by_name(
    content: bytes | None, kind: str, done: Done, fresh: Path, tmp_path: Path
) -> None:
    path = tmp_path / "stranger.safetensors"
    if content is None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(encoder_of(done))
        save_file({name: value for name, value in tensors.items() if "weight" not in name}, path)
    else:
        path.write_bytes(content)
    words = ("--method", "mae3d", *TASK, *TUNED, "--weights", path, "--results", fresh)
    error = bench("run", *words).error
    assert error["error"] == kind and "stranger.safetensors" in error["case"]
    assert trained_in(fresh) == []


# Disks that refuse -----------------------------------------------------------------------------------------


def test_a_file_where_the_results_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    error = run(tmp_path / "results").error
    assert error["error"] == "StoreError" and "results" in error["message"] and error["remedy"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_is_told(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir(mode=0o500)
    assert run(tmp_path / "results").error["error"] == "StoreError"


@pytest.mark.parametrize("lost", ["cells", "finetune"])
def test_a_full_disk_is_told_and_earlier_results_stay(
    lost: str, done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = done.copied(tmp_path / "results")
    key = Store(results).read(done.told[1]["cell"]).keys["finetune"][:16]
    (results / "cells" / f"{done.told[1]['cell']}.json").unlink()
    if lost == "finetune":
        shutil.rmtree(results / "runs" / "finetune" / key)
    kept = files_of(results / "cells")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        error = run(results, "--seed", "1").error
    assert error["error"] == "StoreError" and "No space left" in error["message"]
    assert files_of(results / "cells") == kept and verdicts(results, done.cell, 0)["rescored"] == "ok"
    resumed = run(results, "--seed", "1").value
    assert told_apart_from_place(resumed) == told_apart_from_place(done.told[1])
