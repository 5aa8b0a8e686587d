"""Who watches a training: nobody, or somebody reading plain lines. The terminal's own display lives with the CLI."""

from __future__ import annotations

import math
import sys
import time
from typing import Protocol, TextIO


class Progress(Protocol):
    """What the loop tells a watcher. Only the first process of a training has one."""

    def start(self, name: str, total: int) -> None:
        """A stretch of `total` updates begins."""
        ...

    def advance(self, n: int, **shown: float) -> None:
        """`n` more updates are done; `shown` are numbers worth a glance (the loss)."""
        ...

    def finish(self) -> None:
        """The stretch is over, done or stopped."""
        ...


class Silent:
    """Says nothing."""

    def start(self, name: str, total: int) -> None:
        pass

    def advance(self, n: int, **shown: float) -> None:
        pass

    def finish(self) -> None:
        pass


class PlainLines:
    """A line at the start, at most one per `every_s` seconds, and one at the end: for log files and pipes."""

    def __init__(self, stream: TextIO | None = None, every_s: float = 10.0) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._every_s = every_s
        self._name, self._total, self._done = "", 0, 0
        self._shown: dict[str, float] = {}
        self._last_s = -math.inf

    def start(self, name: str, total: int) -> None:
        self._name, self._total, self._done, self._shown = name, total, 0, {}
        self._last_s = time.monotonic()
        self._say("start")

    def advance(self, n: int, **shown: float) -> None:
        self._done += n
        self._shown = shown
        if time.monotonic() - self._last_s >= self._every_s:
            self._last_s = time.monotonic()
            self._say(f"{self._done}/{self._total}")

    def finish(self) -> None:
        self._say(f"{self._done}/{self._total} end")

    def _say(self, text: str) -> None:
        numbers = "".join(f" {name}={value:.4g}" for name, value in self._shown.items())
        self._stream.write(f"{self._name}: {text}{numbers}\n")
        self._stream.flush()
