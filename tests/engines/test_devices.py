"""Several processes for one command: the code and the words of the one that failed first, without the launcher's own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from bench.engines.devices import run_on_each


@pytest.mark.parametrize(("exitcode", "code", "told"), [(2, 2, ""), (1, 1, ""), (-9, 1, "was killed by signal 9")])
def test_the_first_failure_decides_the_code_and_a_killed_process_is_spoken_for(
    exitcode: int, code: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def fail(words: list[str]) -> None:
        asked.extend(words)
        raise ChildFailedError("bench.cli", {0: ProcessFailure(0, 1, exitcode, "")})

    monkeypatch.setattr("torch.distributed.run.main", fail)
    assert run_on_each(2, ["run", "--method", "mim"]) == code
    assert asked[-5:] == ["-m", "bench.cli", "run", "--method", "mim"]
    said = capsys.readouterr().err
    assert told in said and bool(said) == bool(told)


@pytest.mark.parametrize(
    ("sent", "code", "told"), [(signal.SIGINT, 130, ""), (signal.SIGTERM, 143, "Stopped by SIGTERM")]
)
def test_stopped_by_a_signal_the_code_is_that_of_one_process_and_there_is_no_traceback(
    sent: signal.Signals, code: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_: list[str]) -> None:
        raise SignalException(f"Process 1 got signal: {sent}", sigval=sent)

    monkeypatch.setattr("torch.distributed.run.main", stop)
    assert run_on_each(2, ["run", "--method", "mim"]) == code
    said = capsys.readouterr().err
    assert told in said and bool(said) == bool(told)


def test_stopped_by_hand_before_a_process_was_started_is_told_in_two_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("torch.distributed.run.main", stop)
    assert run_on_each(2, ["run", "--method", "mim"]) == 130
    assert "Stopped by hand" in capsys.readouterr().err


@pytest.mark.slow
def test_a_mistake_made_with_two_devices_is_told_without_a_traceback(tmp_path: Path) -> None:
    words = ["finetune", "--method", "mae3", "--task", "msd04", "--devices", "2", "--device", "cpu", "--phantom"]
    asked = [sys.executable, "-m", "bench.cli", *words, "--results", str(tmp_path)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Did you mean 'mae3d'?" in done.stderr and "Traceback" not in done.stderr and "elastic" not in done.stderr
