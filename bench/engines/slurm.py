"""Runs as Slurm job arrays: pre-trainings first, then the cells, each waiting for its own; a job is one `bench` command line.

Finished cells and pre-trainings are left out, and a job that finds its result returns it, so handing in again after a failure
hands in what is missing, and an interrupted training goes on where it stopped.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import pretrain
from bench.contracts.errors import SpecError
from bench.data.atomic import write_text
from bench.keys import key_of, short
from bench.run import Place, resolve_at
from bench.spec import Room, RunSpec
from bench.store import Store

OURS = ("--array", "--dependency", "--parsable", "--output", "--job-name", "--chdir")
_OPTION = re.compile(r"--[a-z][a-z-]*(=\S[^\n\r]*)?")


@dataclass(frozen=True)
class Jobs:
    """What is to be run. `cells[i]` waits for `pretrainings[waits_for[i]]`, or for nothing where that is None."""

    pretrainings: tuple[str, ...]
    cells: tuple[str, ...]
    waits_for: tuple[int | None, ...]
    finished: int


@dataclass(frozen=True)
class Handed:
    """The folder with scripts and command lines, what they hold, and Slurm's job ids: none where there is no `sbatch`."""

    folder: Path
    jobs: Jobs
    ids: tuple[str, ...]


def hand_in(specs: Sequence[RunSpec], place: Place, options: Sequence[str] = (), devices: int = 1) -> Handed:
    """Write the arrays of some runs to `runs/slurm/` of the results folder and submit them where `sbatch` is.

    `options` are sbatch's own (`--partition=gpu`). Raises SpecError for an option that is none or is ours to set, where an
    earlier submission of the same runs is still in the queue, and where sbatch refuses.
    """
    _check(options)
    jobs = jobs_of(specs, place, devices)
    folder = (
        place.results.absolute() / "runs" / "slurm" / short(key_of(runs=[spec.words(paths=True) for spec in specs]))
    )
    _check_queue(folder)
    if not jobs.cells:
        return Handed(folder, jobs, ())
    for name, lines in (("pretrain", jobs.pretrainings), ("cells", jobs.cells)):
        write_text(folder / f"{name}.txt", "".join(f"{line}\n" for line in lines))
        write_text(folder / f"{name}.sbatch", _script(name, folder, options))
    write_text(folder / "submit.sh", _submission(jobs, folder))
    (folder / "logs").mkdir(exist_ok=True)
    return Handed(folder, jobs, _submit(folder) if shutil.which("sbatch") else ())


def jobs_of(specs: Iterable[RunSpec], place: Place, devices: int = 1) -> Jobs:
    """The jobs that are still to do, cells of one pre-training side by side; a pre-training shared by cells appears once."""
    store, finished = Store(place.results), 0
    pretrainings: dict[str, str] = {}
    cells: dict[str, tuple[int | None, str]] = {}
    for spec in specs:
        chain = resolve_at(spec, place)
        if store.find(chain.key) is not None:
            finished += 1
            continue
        last = [key for room, key in chain.keys.items() if room.startswith("pretrain:")][-1:]
        waits = None
        if last and not pretrain.finished(place.folder("pretrain", last[0])):
            pretrainings.setdefault(last[0], _line(spec, "pretrain", place, devices))
            waits = list(pretrainings).index(last[0])
        cells.setdefault(chain.key, (waits, _line(spec, "run", place, devices)))
    ordered = sorted(cells.values(), key=lambda job: -1 if job[0] is None else job[0])
    lines, waits_for = tuple(line for _, line in ordered), tuple(waits for waits, _ in ordered)
    return Jobs(tuple(pretrainings.values()), lines, waits_for, finished)


def _line(spec: RunSpec, room: Room, place: Place, devices: int) -> str:
    """One command line for this Python, whatever the PATH of a node says."""
    words = spec.words(room, paths=True).removeprefix("bench ")
    where = f"--results {shlex.quote(str(place.results.absolute()))}"
    hardware = f" --devices {devices}" if devices > 1 else ""
    hardware += f" --device {place.hardware.device}" if place.hardware.device != "auto" else ""
    return f"{shlex.quote(sys.executable)} -m bench.cli {words} {where}{hardware}"


def _check(options: Sequence[str]) -> None:
    for option in options:
        if not _OPTION.fullmatch(option):
            raise SpecError(
                f"--sbatch-option takes one option of sbatch, found {option!r}.",
                remedy="For example --sbatch-option=--partition=gpu --sbatch-option=--time=24:00:00",
            )
        if option.partition("=")[0] in OURS:
            raise SpecError(
                f"The option {option.partition('=')[0]} follows from the plan.", case=option, remedy="Leave it out."
            )


def _script(name: str, folder: Path, options: Sequence[str]) -> str:
    """One element of an array runs the line of its number."""
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name=bench-{name}",
        f"#SBATCH --output={shlex.quote(f'{folder}/logs/%x-%A_%a.out')}",
        f"#SBATCH --chdir={shlex.quote(str(Path.cwd()))}",
        *(f"#SBATCH {option}" for option in options),
        "set -euo pipefail",
        f'command=$(sed -n "${{SLURM_ARRAY_TASK_ID}}p" {shlex.quote(str(folder / f"{name}.txt"))})',
        'echo "$command"',
        'eval "exec $command"',
    ]
    return "\n".join([*lines, ""])


def _submission(jobs: Jobs, folder: Path) -> str:
    """A script that submits the arrays in order and notes each id at once, so that a refusal half-way leaves none unknown."""
    lines = ["#!/bin/bash", "set -euo pipefail", f"cd {shlex.quote(str(folder))}", ": > submitted.txt"]
    if jobs.pretrainings:
        lines.append(f"first=$(sbatch --parsable --array=1-{len(jobs.pretrainings)} pretrain.sbatch)")
        lines += ["first=${first%%;*}", 'echo "$first" >> submitted.txt']
    for waits in dict.fromkeys(jobs.waits_for):
        places = [at for at, other in enumerate(jobs.waits_for, 1) if other == waits]
        after = "" if waits is None else f' --dependency="afterok:${{first}}_{waits + 1}" --kill-on-invalid-dep=yes'
        lines.append(f"next=$(sbatch --parsable --array={places[0]}-{places[-1]}{after} cells.sbatch)")
        lines.append('echo "${next%%;*}" >> submitted.txt')
    return "\n".join([*lines, ""])


def _submit(folder: Path) -> tuple[str, ...]:
    done = subprocess.run(["bash", str(folder / "submit.sh")], capture_output=True, text=True, check=False)
    ids = _ids(folder)
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip()).replace("\n", " ")
        cancel = f"Take back what was accepted (scancel {' '.join(ids)}), mend" if ids else "Mend"
        raise SpecError(f"sbatch refused: {told}", case=folder.name, remedy=f"{cancel} the options, and run again.")
    return ids


def _check_queue(folder: Path) -> None:
    """Two jobs for one result would train it twice."""
    ids = _ids(folder)
    if not ids or not shutil.which("squeue"):
        return
    asked = ["squeue", "--noheader", "--format=%A", f"--jobs={','.join(ids)}"]
    queued = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    if queued:
        raise SpecError(
            f"These runs were handed in before and are in the queue as job {', '.join(dict.fromkeys(queued))}.",
            case=folder.name,
            remedy=f"Wait for them (squeue --me), or take them back: scancel {' '.join(ids)}",
        )


def _ids(folder: Path) -> tuple[str, ...]:
    path = folder / "submitted.txt"
    return tuple(path.read_text(encoding="utf-8").split()) if path.is_file() else ()
