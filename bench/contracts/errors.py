"""The errors a user can mend. The command line prints each in one line and exits with 2; all other errors keep their traceback.

An error names the case it is about, what was asked, what was found and what is possible, and ends with the next thing to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Something the user can mend.

    `message` says what was asked, found and possible; `case` names the volume, method, task or file it is about
    (empty when it is about none); `remedy` is the next command or deed.
    """

    def __init__(self, message: str, *, case: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.case = case
        self.remedy = remedy

    def __str__(self) -> str:
        head = f"{self.case}: " if self.case and not self.message.startswith(self.case) else ""
        tail = f" {self.remedy}" if self.remedy else ""
        return f"{head}{self.message}{tail}"

    def __reduce__(self) -> tuple[object, ...]:  # keyword arguments would be lost when a worker process hands it over
        return (_rebuild, (type(self), self.message, self.case, self.remedy))


def _rebuild(kind: type[BenchError], message: str, case: str, remedy: str) -> BenchError:
    return kind(message, case=case, remedy=remedy)


class SpecError(BenchError):
    """The words of a run do not make sense: unknown name, ratio out of range, a pairing that cannot be."""


class DataMissing(BenchError):
    """Files that the task needs are not there."""


class DataUnsound(BenchError):
    """A file is there and cannot be trusted: truncated, wrong shape, wrong labels, a patient in two splits."""


class EncoderMismatch(BenchError):
    """Weights do not fit the network they were offered to."""


class PluginBroken(BenchError):
    """A method or task file does not hold what its contract asks for."""


class TrainingStopped(BenchError):
    """Training cannot go on: losses stay undefined, or no batch fits into memory."""


class StoreError(BenchError):
    """Results cannot be written, or what is stored does not fit what is asked."""


def nearest(word: str, possible: Iterable[str]) -> str:
    """Return ``Did you mean 'x'? `` for the closest of the possible words, or an empty text when none is close.

    Example: ``nearest("mae3", ["mae3d", "mim"])`` is ``"Did you mean 'mae3d'? "``.
    """
    close = difflib.get_close_matches(word, list(possible), n=1, cutoff=0.5)
    return f"Did you mean '{close[0]}'? " if close else ""
