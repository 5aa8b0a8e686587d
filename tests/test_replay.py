"""A stored result is trained again from its record: the same bits are ok, others differ, and what cannot be repeated is absent."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.corpus_words import corpus_word
from bench.data.atomic import write_json
from bench.replay import FINAL, INITIAL, LOG
from bench.restore import spec_of
from bench.spec import RunSpec
from tests.cells import make_cell
from tests.command_line import OWN_MAE, bench

STEPS = (
    "--set",
    "pretrain.steps=2",
    "--set",
    "finetune.steps=4",
    "--set",
    "finetune.evaluate_every=2",
    "--set",
    "log_every=1",
)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    results = tmp_path_factory.mktemp("replay") / "results"
    told = bench("run", *OWN_MAE, *STEPS, "--device", "cpu", "--results", results, "--json").value
    return results, str(told["cell"])


def copied(done: tuple[Path, str], to: Path) -> tuple[Path, str]:
    shutil.copytree(done[0], to / "results")
    return to / "results", done[1]


def checks(results: Path, cell: str, steps: int, code: int = 0) -> dict[str, tuple[str, str]]:
    answer = bench("verify", cell, "--results", results, "--replay", str(steps), "--json")
    assert answer.code == code, (answer.out, answer.err)
    found = {check["name"]: (check["verdict"], check["detail"]) for check in json.loads(answer.out)["checks"]}
    return {name: told for name, told in found.items() if name.startswith("replay")}


def changed(results: Path, cell: str, **changes: Any) -> None:
    path = results / "cells" / f"{cell}.json"
    write_json(path, json.loads(path.read_text()) | changes)


def log_of(results: Path) -> Path:
    (path,) = (results / "runs" / "finetune").glob("*/log.jsonl")
    return path


def test_the_first_steps_come_again_bit_for_bit(done: tuple[Path, str]) -> None:
    before = sorted(path for path in done[0].rglob("*") if "cache" not in path.parts)
    found = checks(*done, 3)
    assert {name: verdict for name, (verdict, _) in found.items()} == {INITIAL: "ok", LOG: "ok"}
    assert found[LOG][1] == "4 lines up to step 3, bit for bit"  # three of the loss, one evaluation
    assert sorted(path for path in done[0].rglob("*") if "cache" not in path.parts) == before


def test_a_whole_replay_ends_with_the_recorded_weights(done: tuple[Path, str]) -> None:
    found = checks(*done, 99)
    assert {name: verdict for name, (verdict, _) in found.items()} == {INITIAL: "ok", LOG: "ok", FINAL: "ok"}


def test_a_log_that_was_touched_differs_and_one_that_is_gone_is_absent(done: tuple[Path, str], tmp_path: Path) -> None:
    results, cell = copied(done, tmp_path)
    lines = [json.loads(line) for line in log_of(results).read_text().splitlines()]
    lines[1]["loss"] *= 1 + 1e-12
    log_of(results).write_text("".join(json.dumps(line) + "\n" for line in lines))
    verdict, detail = checks(results, cell, 2, code=2)[LOG]
    assert verdict == "differs" and "from step 2 on, first in loss" in detail
    log_of(results).write_text("".join(json.dumps(line) + "\n" for line in lines[:1]))
    assert checks(results, cell, 2, code=2)[LOG] == ("differs", "1 line stored, 3 found")
    log_of(results).unlink()
    assert checks(results, cell, 2)[LOG] == ("absent", "the run's log.jsonl is not there")


def test_another_score_in_the_log_and_other_last_weights_than_recorded_differ(
    done: tuple[Path, str], tmp_path: Path
) -> None:
    """What the clock told is no difference."""
    results, cell = copied(done, tmp_path)
    lines = [json.loads(line) for line in log_of(results).read_text().splitlines()]
    next(line for line in lines if "evaluation" in line and line["step"] == 2)["evaluation"] += 1e-9
    log_of(results).write_text("".join(json.dumps(line | {"seconds": 1.0}) + "\n" for line in lines))
    record = json.loads((results / "cells" / f"{cell}.json").read_text())
    changed(results, cell, hashes=record["hashes"] | {"finetune:final": "0" * 64})
    found = checks(results, cell, 4, code=2)
    assert {name: verdict for name, (verdict, _) in found.items()} == {INITIAL: "ok", LOG: "differs", FINAL: "differs"}
    assert "from step 2 on, first in evaluation" in found[LOG][1]


def test_other_weights_than_recorded_differ_but_prove_nothing_on_another_machine(
    done: tuple[Path, str], tmp_path: Path
) -> None:
    results, cell = copied(done, tmp_path)
    record = json.loads((results / "cells" / f"{cell}.json").read_text())
    changed(results, cell, hashes=record["hashes"] | {"finetune:initial": "0" * 64})
    assert checks(results, cell, 1, code=2)[INITIAL][0] == "differs"
    changed(results, cell, provenance=record["provenance"] | {"processor": "an abacus"})
    found = checks(results, cell, 1)
    assert found[INITIAL][0] == "absent" and "was an abacus" in found[INITIAL][1]
    assert found[LOG][0] == "ok"


def test_what_cannot_be_repeated_here_is_absent_with_its_reason(done: tuple[Path, str], tmp_path: Path) -> None:
    results, cell = copied(done, tmp_path)
    (encoder,) = (results / "runs" / "pretrain").glob("*/encoder.safetensors")
    encoder.unlink()
    verdict, detail = checks(results, cell, 1)[LOG]
    assert verdict == "absent" and "encoder" in detail and "bench finetune" in detail
    record = json.loads((results / "cells" / f"{cell}.json").read_text())
    changed(results, cell, training={"finetune": record["training"]["finetune"] | {"device": "cuda H100"}})
    assert checks(results, cell, 1)[LOG] == ("absent", "trained on cuda H100: bits repeat on a CPU only")


def test_a_folder_of_volumes_that_was_told_by_its_place_alone_is_no_other_corpus() -> None:
    spec = RunSpec(method="mae3d", task="msd04", corpus_root="/volumes")
    record = {"spec": dataclasses.asdict(spec) | {"corpus_root": ""}}  # where it lay is not recorded
    assert corpus_word(spec) == corpus_word(spec_of(make_cell(corpus="folder", provenance=record))) == "folder"


def test_a_record_of_other_settings_differs(done: tuple[Path, str], tmp_path: Path) -> None:
    results, cell = copied(done, tmp_path)
    record = json.loads((results / "cells" / f"{cell}.json").read_text())
    changed(results, cell, keys=record["keys"] | {"finetune": "f" * 64})
    answer = bench("verify", cell, "--results", results, "--replay", "1", "--json")
    (found,) = (check for check in json.loads(answer.out)["checks"] if check["name"] == LOG)
    assert answer.code == 2 and found["verdict"] == "differs" and "another result" in found["detail"]


@pytest.mark.parametrize("steps", ["-1", "0"])
def test_no_step_is_no_replay(steps: str, done: tuple[Path, str]) -> None:
    assert "from 1 on" in bench("verify", done[1], "--results", done[0], "--replay", steps, "--json").error["message"]


@pytest.mark.slow
def test_a_run_of_two_threads_replays_to_the_bit_in_another_process(tmp_path: Path) -> None:
    """Threads as a user has them: their number is no word of the environment."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}

    def told(*words: str) -> Any:
        asked = [sys.executable, "-m", "bench.cli", *words, "--results", str(tmp_path), "--json"]
        return json.loads(subprocess.run(asked, env=environment, capture_output=True, text=True, check=False).stdout)

    words = ("--method", "mae3d", "--task", "msd04", "--preset", "tiny", "--corpus", "none", "--phantom")
    cell = told("run", *words, "--device", "cpu")["cell"]
    found = {check["name"]: check["verdict"] for check in told("verify", cell, "--replay", "100")["checks"]}
    assert [found[name] for name in (INITIAL, LOG, FINAL)] == ["ok", "ok", "ok"]
