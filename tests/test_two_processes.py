"""One run trained by two processes, as on two GPUs, through the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORDS = ["run", "--method", "mae3d", "--task", "msd04", "--preset", "tiny", "--corpus", "own", "--phantom"]


@pytest.mark.slow
def test_two_processes_make_one_cell_and_print_one_object(tmp_path: Path) -> None:
    words = [*WORDS, "--device", "cpu", "--devices", "2", "--results", str(tmp_path), "--json"]
    done = subprocess.run([sys.executable, "-m", "bench.cli", *words], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert [path.stem for path in (tmp_path / "cells").iterdir()] == [found["cell"]]
    record = json.loads((tmp_path / "cells" / f"{found['cell']}.json").read_text())
    assert record["training"]["finetune"]["steps"] == 12
    assert record["training"]["pretrain"]["steps"] == 12
