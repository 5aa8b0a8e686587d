"""Two processes (gloo, CPU) that share out one batch train what one process trains."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.train.toys import Toy, lines, trained
from tests.train.two_ranks import CONFIG

ROOT = Path(__file__).parents[2]
NUMBERS = ("loss", "rebuild", "follow", "grad_norm")  # of a line of the log, where it is no evaluation


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("ranks")
    inherited = {name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "WORLD_SIZE")}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "train" / "two_ranks.py"), str(folder)],
        env={**inherited, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, [torch.load(folder / f"rank_{rank}.pt", weights_only=True) for rank in range(2)]


def trainable(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name.startswith(("body", "head"))}


def test_a_rank_hears_what_the_first_found_however_late_it_is(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    code = f"""
import os, pathlib, time
from bench.train.ranks import first_says, is_first, meet
heard = pathlib.Path({str(tmp_path)!r}) / "heard"
time.sleep(1.0 if is_first() else 0.0)
print(first_says(is_first()), first_says(not is_first()))
meet()
if not is_first():
    heard.touch()
while not heard.exists():  # the first holds the store
    time.sleep(0.05)
"""
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, **told, "RANK": rank}, stdout=subprocess.PIPE, text=True
        )
        for rank in "10"
    ]
    assert [process.communicate(timeout=120)[0] for process in both] == ["True False\n"] * 2


def test_two_ranks_hold_the_same_weights_and_buffers_to_the_bit(both: tuple[Path, list[dict[str, Any]]]) -> None:
    first, second = both[1]
    for training, state in first["states"].items():
        for name, value in state.items():
            assert torch.equal(value, second["states"][training][name]), (training, name)


@pytest.mark.parametrize("training", ["plain", "resumed"])
def test_two_ranks_with_uneven_shares_equal_one_process(
    both: tuple[Path, list[dict[str, Any]]], tmp_path: Path, training: str
) -> None:
    alone = Toy(noisy=False)
    changes: dict[str, Any] = {"evaluate": alone.score} if training == "plain" else {}
    if training == "resumed":
        changes = {"after_step": lambda progress: None}
    trained(tmp_path, alone, CONFIG, **changes)
    found = trainable(both[1][0]["states"][training])
    assert set(found) == set(trainable(alone.state_dict()))
    for name, value in found.items():
        assert torch.allclose(value, alone.state_dict()[name], rtol=0.0, atol=1e-6), name
    for one, two in zip(lines(tmp_path), lines(both[0] / training), strict=True):
        assert one["step"] == two["step"]
        numbers = [{name: line[name] for name in NUMBERS if name in line} for line in (one, two)]
        assert (numbers[0] or "evaluation" in one) and numbers[0] == pytest.approx(numbers[1], rel=1e-4)


def test_only_the_first_rank_writes(both: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, (first, second) = both
    assert sorted(path.name for path in (folder / "plain").iterdir()) == ["checkpoint.pt", "log.jsonl"]
    assert [line["step"] for line in lines(folder / "plain")] == [3, 6, 9, 12, 12]
    assert first["facts"]["plain"]["final_sha256"] == second["facts"]["plain"]["final_sha256"]
    assert first["facts"]["resumed_from"] == second["facts"]["resumed_from"] == 8


def test_the_first_ranks_score_counts_on_both_and_what_had_no_gradient_on_any_takes_no_decay(
    both: tuple[Path, list[dict[str, Any]]],
) -> None:
    """The second's scores are higher by 1; by a gradient of zeros Adam would move a weight by its decay."""
    folder, ranks = both
    told = [line["evaluation"] for line in lines(folder / "plain") if "evaluation" in line]
    assert [[rank["facts"]["plain"]["best_score"]] for rank in ranks] == [told, told]
    assert ranks[0]["states"]["plain"]["idle"].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert bool((ranks[0]["states"]["shaken"]["apart"] < 1.0).all())  # of which the second alone had one


def test_ranks_draw_numbers_of_their_own_and_count_the_samples_of_all(both: tuple[Path, list[dict[str, Any]]]) -> None:
    """Else the samples of two ranks would be varied and masked alike, as those of one never are."""
    facts = [rank["facts"] for rank in both[1]]
    drawn = [tuple(numbers) for one in facts for numbers in one["drawn"]]
    assert len(drawn) == len(set(drawn)) == 2 * 5 * 12  # `prepare` and loss; micro-batches of both ranks; steps
    assert {one["plain"]["samples_seen"] for one in facts} == {5 * 12}


def test_trouble_on_one_rank_is_met_by_both_together(both: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, (first, second) = both
    facts = first["facts"]["shaken"]
    assert facts["notes"] == ("out of memory at step 1: micro-batch halved from 3 to 1",)
    assert facts["micro_batch"] == second["facts"]["shaken"]["micro_batch"] == 1
    assert facts["skipped_steps"] == second["facts"]["shaken"]["skipped_steps"] == 1
    skipped = next(line for line in lines(folder / "shaken") if "skipped" in line)
    assert skipped["step"] == 3
    assert len(skipped["cases"]) == 5
