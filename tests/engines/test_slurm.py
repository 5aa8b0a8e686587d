"""Runs handed to Slurm: what is written, what waits for what, and what a second submission does. `sbatch` is a stand-in."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.engines.slurm import Jobs, jobs_of
from bench.phantom_data import write_task
from bench.plan import write_plan
from bench.run import Place, resolve_at
from bench.spec import RunSpec, make_spec
from bench.store import Store
from bench.train.hardware import Hardware
from tests.cells import make_cell as cell_of
from tests.cells import make_rows
from tests.command_line import bench

SBATCH = """#!/bin/bash
# Notes its words, numbers its jobs, and runs every element of the array at once with the script's own shell.
echo "$@" >> "$FAKE/sbatch.txt"
[ "$(wc -l < "$FAKE/sbatch.txt")" -le "${FAKE_ACCEPTS:-99}" ] || { echo "sbatch: error: invalid partition" >&2; exit 1; }
for word in "$@"; do case $word in --array=*) range=${word#--array=};; esac; done
for element in $(seq "${range%-*}" "${range#*-}"); do SLURM_ARRAY_TASK_ID=$element bash "${@: -1}" > /dev/null; done
echo "$((100 + $(wc -l < "$FAKE/sbatch.txt")));cluster"
"""
PYTHON = """#!/bin/bash
echo "$@" >> "$FAKE/ran.txt"
"""
SQUEUE = """#!/bin/bash
cat "$FAKE/queue.txt" 2> /dev/null
"""


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with stand-ins for sbatch, squeue and Python first on the path; what they were asked lies in it."""
    folder = tmp_path / "a cluster"
    (folder / "bin").mkdir(parents=True)
    program(folder / "bin" / "sbatch", SBATCH)
    program(folder / "bin" / "squeue", SQUEUE)
    monkeypatch.setattr(sys, "executable", str(program(folder / "bin" / "python", PYTHON)))
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(folder))
    return folder


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder that holds the phantoms and nothing else."""
    results = tmp_path_factory.mktemp("slurm")
    write_task("msd04", "smoke", results / "runs" / "phantoms" / "smoke")
    return results


@pytest.fixture
def plan(phantoms: Path, tmp_path: Path) -> Path:
    """A pre-trained network and one from scratch at two ratios, in an order that arrays do not keep."""
    shutil.copytree(phantoms, tmp_path / "results")
    methods = (("mae3d", "own"), ("unet3d_scratch", ""))
    words: dict[str, Any] = {"task": "msd04", "preset": "tiny", "phantom": True}
    specs = [make_spec(method=m, corpus=corpus, ratio=r, **words) for r in (0.25, 1.0) for m, corpus in methods]
    write_plan(specs, tmp_path / "plan.json")
    return tmp_path / "plan.json"


def hand_in(plan: Path, *words: str) -> Any:
    return bench("run", "--plan", plan, "--engine", "slurm", "--results", plan.parent / "results", "--json", *words)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_cells_wait_for_the_pre_training_that_they_share_and_others_wait_for_nothing(plan: Path, cluster: Path) -> None:
    told = hand_in(plan, "--sbatch-option=--partition=gpu", "--sbatch-option=--exclusive").value
    assert (told["pretrainings"], told["cells"], told["finished"], told["ids"]) == (1, 4, 0, ["101", "102", "103"])
    assert lines(cluster / "sbatch.txt") == [
        "--parsable --array=1-1 pretrain.sbatch",
        "--parsable --array=1-2 cells.sbatch",
        "--parsable --array=3-4 --dependency=afterok:101_1 --kill-on-invalid-dep=yes cells.sbatch",
    ]
    script = lines(Path(told["folder"]) / "cells.sbatch")
    assert {"#SBATCH --partition=gpu", "#SBATCH --exclusive"} <= set(script)
    assert [line.startswith("#SBATCH") for line in script[1:]] == sorted(
        (line.startswith("#SBATCH") for line in script[1:]), reverse=True
    ), "sbatch stops reading options at the first command"


def test_every_element_of_an_array_runs_its_own_command_line(plan: Path, cluster: Path) -> None:
    hand_in(plan).value  # noqa: B018
    where = f"--phantom --results {plan.parent.absolute() / 'results'}"
    assert lines(cluster / "ran.txt") == [
        f"-m bench.cli pretrain --method mae3d --task msd04 --preset tiny --corpus own {where}",
        f"-m bench.cli run --method unet3d_scratch --task msd04 --ratio 0.25 --preset tiny --seed 0 {where}",
        f"-m bench.cli run --method unet3d_scratch --task msd04 --ratio 1.0 --preset tiny --seed 0 {where}",
        f"-m bench.cli run --method mae3d --task msd04 --ratio 0.25 --preset tiny --corpus own --seed 0 {where}",
        f"-m bench.cli run --method mae3d --task msd04 --ratio 1.0 --preset tiny --corpus own --seed 0 {where}",
    ]


def test_what_is_in_the_queue_is_not_handed_in_again_and_what_left_it_is(plan: Path, cluster: Path) -> None:
    hand_in(plan).value  # noqa: B018
    (cluster / "queue.txt").write_text("103\n103\n")
    error = hand_in(plan).error
    assert "are in the queue as job 103." in error["message"] and "scancel 101 102 103" in error["remedy"]
    assert len(lines(cluster / "sbatch.txt")) == 3
    (cluster / "queue.txt").unlink()
    assert hand_in(plan).value["ids"] == ["104", "105", "106"]


def test_a_refusal_half_way_names_the_jobs_that_were_accepted(
    plan: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ACCEPTS", "2")
    error = hand_in(plan).error
    assert error["message"] == "sbatch refused: sbatch: error: invalid partition"
    assert "scancel 101 102" in error["remedy"]


def test_without_sbatch_the_jobs_are_written_and_the_next_command_is_told(
    plan: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cluster / "bin" / "sbatch").unlink()
    monkeypatch.setattr("bench.engines.slurm.shutil.which", lambda name: None)
    told = hand_in(plan).value
    assert told["ids"] == [] and len(lines(Path(told["folder"]) / "cells.txt")) == 4
    shown = bench("run", "--plan", plan, "--engine", "slurm", "--results", plan.parent / "results")
    assert shown.code == 0 and f"bash {told['folder']}/submit.sh" in shown.out


@pytest.mark.parametrize(
    "option", ["partition=gpu", "--comment=a\nrm -r x", "--array=1-9", "--dependency=afterok:1", "-p"]
)
def test_an_option_that_is_none_or_ours_is_refused(plan: Path, cluster: Path, option: str) -> None:
    assert "option" in hand_in(plan, f"--sbatch-option={option}").error["message"]
    assert not (cluster / "sbatch.txt").exists()


def test_options_for_sbatch_without_slurm_are_refused(plan: Path) -> None:
    error = bench("run", "--plan", plan, "--sbatch-option=--partition=gpu", "--json").error
    assert "--engine slurm" in error["message"]


def two_ratios(results: Path) -> tuple[Place, list[RunSpec]]:
    words: dict[str, Any] = {"method": "mae3d", "task": "msd04", "preset": "tiny", "corpus": "own", "phantom": True}
    steps = ("pretrain.steps=1", "finetune.steps=1", "finetune.evaluate_every=1")
    place = Place.at(results, environ={}, hardware=Hardware(device="cpu"))
    return place, [make_spec(**words, ratio=ratio, settings=steps) for ratio in (0.25, 1.0)]


def test_finished_cells_are_left_out_and_a_finished_pre_training_is_not_waited_for(
    phantoms: Path, tmp_path: Path
) -> None:
    shutil.copytree(phantoms, tmp_path, dirs_exist_ok=True)
    place, wanted = two_ratios(tmp_path)
    before = jobs_of(wanted, place)
    assert (len(before.pretrainings), before.waits_for, before.finished) == (1, (0, 0), 0)
    chains = [resolve_at(spec, place) for spec in wanted]
    trained = place.folder("pretrain", chains[0].keys["pretrain:pretrain"])
    trained.mkdir(parents=True)
    for name in ("trained.json", "method.safetensors"):
        (trained / name).write_text("{}")
    assert jobs_of(wanted, place).waits_for == (0, 0)  # the encoder is gone
    (trained / "encoder.safetensors").touch()
    assert jobs_of(wanted, place).waits_for == (None, None)
    Store(tmp_path).write(cell_of(key=chains[0].key), make_rows())
    after = jobs_of(wanted, place)
    assert (after.pretrainings, after.cells, after.finished) == ((), before.cells[1:], 1)


@pytest.mark.slow
def test_the_command_lines_do_what_the_runs_ask_for(tmp_path: Path) -> None:
    place, wanted = two_ratios(tmp_path / "results")
    jobs: Jobs = jobs_of(wanted, place)
    run: Callable[[str], Any] = lambda line: bench(*shlex.split(line)[3:], "--json").value  # noqa: E731
    pretrained = run(jobs.pretrainings[0])
    assert jobs_of(wanted, place).pretrainings == () and "--device cpu" in jobs.cells[0]
    written = Path(pretrained["encoder"]).stat().st_mtime_ns
    told = [run(line) for line in jobs.cells]
    assert Path(pretrained["encoder"]).stat().st_mtime_ns == written
    assert jobs_of(wanted, place).finished == 2 == len({cell["cell"] for cell in told})
