"""The command line: parse words, call one function, print. Nothing heavy is imported before a command needs it.

Exit codes: 0 done, 2 something the user can mend (one line, no traceback), 1 our fault (traceback kept), 130 stopped by hand,
143 by SIGTERM. With `--json` results go to standard output and errors to standard error, both as JSON.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from itertools import pairwise
from typing import Any

import typer

from bench.cli import audit, compare, data, figures, grid, names, page, results, rooms, running, study, tables
from bench.contracts.errors import BenchError

app = typer.Typer(
    name="bench",
    help="Reproducibility benchmark for self-supervised pre-training on 3D medical images.\n\n"
    "First steps:  bench quickstart   |   bench list tasks   |   "
    "bench run --method mim --task msd04 --ratio 0.25 --preset small --corpus own --phantom",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for commands in (names, data, running, rooms, results, tables, compare, audit, grid, study, page, figures):
    commands.attach(app)

_CLICK_ERROR: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

STOPPED, TERMINATED = 130, 143
_STOPS = {STOPPED: "hand", TERMINATED: "SIGTERM, as a scheduler sends it"}
_READERS = re.compile(r"\bbench (?:table all|verify [^\s,]+)")


class _Terminated(BaseException):
    """SIGTERM came: from a scheduler whose time is up, or from `kill`."""


def main() -> None:
    """Run the command line and exit with its code."""
    # of several processes the launcher ends all that stand when one fails, which has told why
    if "RANK" not in os.environ:
        signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run_words(sys.argv[1:]))


def _terminate(*_: Any) -> None:
    raise _Terminated


def run_words(words: list[str]) -> int:
    """Run one command line given as words; return the exit code. Errors are printed, our own bugs are raised."""
    as_json = "--json" in words
    try:
        code = app(args=words, prog_name="bench", standalone_mode=False)
    except BenchError as error:
        _tell(type(error).__name__, error.case, error.message, _there(error.remedy, words), as_json=as_json)
        return 2
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = STOPPED
    except _Terminated:
        code = TERMINATED
    except _CLICK_ERROR as error:
        return _tell_usage(error, as_json=as_json)
    except Exception as error:
        if not as_json:
            raise
        import traceback

        traceback.print_exc()
        _tell(
            type(error).__name__,
            "",
            str(error),
            "This is our fault: please report it with the traceback.",
            as_json=True,
        )
        return 1
    if code in _STOPS:  # Typer turns the interruption into an exit code of its own accord
        told = f"Stopped by {_STOPS[code]}; what was finished is kept."
        _tell("Stopped", "", told, "Repeat the command to resume.", as_json=as_json)
    return code if isinstance(code, int) else 0


def _there(remedy: str, words: list[str]) -> str:
    """A remedy that looks for results where the command looked, so that it can be typed as it is printed."""
    asked = [after for word, after in pairwise(words) if word == "--results"]
    asked += [word.removeprefix("--results=") for word in words if word.startswith("--results=")]
    if not asked or "--results" in remedy:
        return remedy
    return _READERS.sub(lambda found: f"{found[0]} --results {shlex.quote(asked[-1])}", remedy)


def _tell_usage(error: Exception, *, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "bench"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    message = message.replace(": Value error, ", ": ")  # pydantic's own words, which tell a person nothing
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message)
        return 0
    _tell("UsageError", "", message, f"See: {path} --help", as_json=as_json)
    return 2


def _tell(error: str, case: str, message: str, remedy: str, *, as_json: bool) -> None:
    if as_json:
        import json

        report = {"error": error, "case": case, "message": message, "remedy": remedy}
        print(json.dumps(report), file=sys.stderr)
        return
    head = f"{case}: " if case and not message.startswith(case) else ""
    print(f"Error: {head}{message}", file=sys.stderr)
    if remedy:
        print(remedy.lstrip("\n") if remedy.startswith("\n") else f"Next:  {remedy}", file=sys.stderr)
