"""The command line in this process: what a program gets back from it."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cli import run_words

OWN_MAE = (
    "--method",
    "mae3d",
    "--task",
    "msd04",
    "--preset",
    "tiny",
    "--corpus",
    "own",
    "--phantom",
    "--ratio",
    "0.25",
)
TINY = ("--preset", "tiny", "--device", "cpu", "--set", "finetune.steps=2", "--set", "finetune.evaluate_every=1")
SHORT = (
    "--set",
    "pretrain.steps=2",
    "--set",
    "finetune.steps=2",
    "--set",
    "finetune.evaluate_every=2",
    "--device",
    "cpu",
)


@dataclass(frozen=True)
class Answer:
    """Exit code and both streams of one command."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """What standard output holds as JSON; the command must have succeeded."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error object that a command with --json prints last; it must be the user's to mend and one line long."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert self.out == ""
        found: dict[str, str] = json.loads(self.err.splitlines()[-1])
        assert set(found) == {"error", "case", "message", "remedy"} and "\n" not in found["message"]
        return found


def bench(*words: str | Path) -> Answer:
    """Run `bench WORDS` and catch what it prints."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_words([str(word) for word in words])
    return Answer(code, out.getvalue(), err.getvalue())
