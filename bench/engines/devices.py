"""One command line carried out by several processes, one a device, under torch's own launcher."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence


def run_on_each(devices: int, words: Sequence[str]) -> int:
    """Start `bench WORDS` once per device and wait; return the exit code of the process that failed first, 0 where none did.

    A process tells of its error itself, so the launcher's account of it is left out. One that was killed could not: then its
    signal is told and the code is 1. Stopped by a signal, which the launcher hands on, the code is a shell's: 130 by hand, of
    which the processes tell, and 143 by a scheduler, of which they don't, because the launcher ends them so in any case.
    """
    try:
        return _launched(devices, words)
    except KeyboardInterrupt:  # while the launcher is loaded, before there is a process that could tell
        _tell_stopped("hand")
        return 130


def _launched(devices: int, words: Sequence[str]) -> int:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        launch(["--standalone", "--nproc-per-node", str(devices), "-m", "bench.cli", *words])
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode > 0:
            return failure.exitcode
        sys.stderr.write(f"Error: process {rank} of {devices} was killed by signal {-failure.exitcode}.\n")
        sys.stderr.write("Next:  Repeat the command to go on; signal 9 often means that memory ran out.\n")
        return 1
    except SignalException as stopped:
        if stopped.sigval == signal.SIGTERM:
            _tell_stopped("SIGTERM, as a scheduler sends it")
        return 128 + int(stopped.sigval)
    return 0


def _tell_stopped(by: str) -> None:
    sys.stderr.write(f"Error: Stopped by {by}; what was finished is kept.\n")
    sys.stderr.write("Next:  Repeat the command to resume.\n")


if __name__ == "__main__":
    sys.exit(run_on_each(int(sys.argv[1]), sys.argv[2:]))
