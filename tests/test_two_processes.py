"""One run trained by two processes, as on two GPUs, through the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WORDS = ["--task", "msd04", "--preset", "tiny", "--corpus", "own", "--phantom"]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "steps"), [("mae3d", 12), ("mim@loss_none", 0)])
def test_two_processes_make_one_cell_and_print_one_object(tmp_path: Path, method: str, steps: int) -> None:
    words = [
        "run",
        "--method",
        method,
        *WORDS,
        "--device",
        "cpu",
        "--devices",
        "2",
        "--results",
        str(tmp_path),
        "--json",
    ]
    done = subprocess.run([sys.executable, "-m", "bench.cli", *words], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert [path.stem for path in (tmp_path / "cells").iterdir()] == [found["cell"]]
    record = json.loads((tmp_path / "cells" / f"{found['cell']}.json").read_text())
    assert record["training"]["finetune"]["steps"] == 12
    assert record["training"]["pretrain"]["steps"] == steps


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", [("unet3d_scratch",), ("mim", "--set", "drop_path=0")]
)  # what is dropped is drawn apart
def test_two_processes_fine_tune_a_network_with_batch_norms_as_one_does(
    tmp_path: Path, method: tuple[str, ...]
) -> None:
    """Sums of two processes round otherwise than one's, and each of the 12 updates carries that on: at the first, losses and
    gradients are those of one process to 1e-5."""
    curves = []
    for devices in ("1", "2"):
        words = ["run", "--method", *method, "--task", "msd04", "--preset", "tiny", "--corpus", "none", "--phantom"]
        words += ["--set", "precision=fp32", "--set", "log_every=1", "--device", "cpu", "--devices", devices]
        words += ["--results", str(tmp_path / devices), "--json"]
        subprocess.run([sys.executable, "-m", "bench.cli", *words], capture_output=True, text=True, check=True)
        (log,) = (tmp_path / devices / "runs" / "finetune").glob("*/log.jsonl")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        curves.append([(line["loss"], line["grad_norm"]) for line in lines if "loss" in line])
    one, two = curves
    assert len(one) == 12
    assert two[0] == pytest.approx(one[0], rel=1e-5)
    assert [loss for loss, _ in two] == pytest.approx([loss for loss, _ in one], rel=1e-3)


@pytest.mark.slow
def test_two_processes_tell_once_of_what_is_finished_and_of_what_was_asked_for_twice(tmp_path: Path) -> None:
    def told(command: str, *words: str) -> Any:
        asked = [
            sys.executable,
            "-m",
            "bench.cli",
            command,
            "--method",
            "unet3d_scratch",
            *WORDS[:4],
            "--phantom",
            *words,
        ]
        asked += ["--device", "cpu", "--devices", "2", "--results", str(tmp_path), "--json"]
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=300)
        return json.loads(done.stdout)

    first, second = told("run", "--ratio", "1,1")  # the second finds what the first left, on both processes
    assert first == second == told("run")
    assert told("finetune")["key"]
