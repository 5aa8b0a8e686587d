"""Is this machine ready: versions, device, data, disk. One line each, with the next deed where something is wrong."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from bench import registry
from bench.contracts.errors import BenchError
from bench.data.find import PLACES, from_home
from bench.datasets_file import FILE, find_folder, told_folders

NEEDED_GIB = 5
NAME, LEAST = re.compile(r"[A-Za-z0-9_.-]+"), re.compile(r">=\s*([0-9.]+)")


@dataclass(frozen=True)
class Check:
    """One finding. `bad` stops work, `note` does not."""

    mark: Literal["ok", "note", "bad"]
    what: str
    found: str
    remedy: str = ""


def examine(environ: Mapping[str, str], results: Path) -> list[Check]:
    """All checks, in the order a user would mend them."""
    return [
        _python(),
        *_packages(),
        _device(),
        *_compiler(environ),
        _disk(results),
        _writable(results),
        *_data(environ),
        *_extras(),
    ]


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Check("ok" if good else "bad", "Python", found, "" if good else "Install Python 3.11 or newer.")


def _packages() -> list[Check]:
    needs = [text for text in requires("ssl3d-bench") or [] if "extra ==" not in text]
    found = [check for text in needs if (check := _package(*_need(text))) is not None]
    return found or [Check("ok", "packages", f"{len(needs)} installed, none older than asked")]


def _need(text: str) -> tuple[str, str | None]:
    """`torch<3,>=2.11` -> ("torch", "2.11"); None where no least version is asked."""
    name, least = NAME.match(text), LEAST.search(text.partition(";")[0])
    assert name is not None
    return name[0], least[1] if least else None


def _package(name: str, least: str | None) -> Check | None:
    try:
        have = version(name)
    except PackageNotFoundError:
        return Check("bad", name, "not installed", f"pip install {name}")
    if least and _numbers(have) < _numbers(least):
        return Check("bad", name, f"{have}, older than {least}", f"pip install '{name}>={least}'")
    return None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def _device() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check(
            "note",
            "device",
            f"CPU only, {os.cpu_count()} cores",
            "Presets small and tiny are made for it; full needs a GPU.",
        )
    names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    free = torch.cuda.mem_get_info()[0] / 2**30
    return Check("ok", "device", f"{', '.join(names)}; {free:.0f} GiB free on the first")


def _compiler(environ: Mapping[str, str]) -> list[Check]:
    """On a CUDA device losses and attention are compiled, for which torch calls a C compiler and reads Python's headers."""
    import torch

    if not torch.cuda.is_available():
        return []
    found = next(filter(None, map(shutil.which, (environ.get("CC", ""), "gcc", "clang", "cc"))), None)
    if found is None:
        return [
            Check(
                "note", "compiler", "no C compiler", "AR and MAE3D compile at full: install gcc, or --set compile=false"
            )
        ]
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return [
            Check("note", "compiler", f"{found}, without Python.h", "Install Python's headers, or --set compile=false")
        ]
    return [Check("ok", "compiler", found)]


def _disk(results: Path) -> Check:
    folder = next(p for p in (results.absolute(), *results.absolute().parents) if p.exists())
    free = shutil.disk_usage(folder).free / 2**30
    good = free >= NEEDED_GIB
    return Check(
        "ok" if good else "note",
        "disk",
        f"{free:.0f} GiB free at {folder}",
        "" if good else "Choose another place: --results DIR.",
    )


def _writable(results: Path) -> Check:
    folder = next(p for p in (results.absolute(), *results.absolute().parents) if p.exists())
    if not folder.is_dir():
        return Check("bad", "results", str(results), f"A file stands at {folder}: --results DIR.")
    good = os.access(folder, os.W_OK)
    return Check(
        "ok" if good else "bad",
        "results",
        str(results),
        "" if good else f"No right to write in {folder}: --results DIR.",
    )


def _data(environ: Mapping[str, str]) -> list[Check]:
    try:
        told = told_folders()
    except BenchError as error:
        return [Check("bad", "data", f"{error.case}: {error.message}", error.remedy)]
    lines = f"{FILE} ({len(told)} {'dataset' if len(told) == 1 else 'datasets'})"
    named = {name: f"${name}={environ[name]}" for name in PLACES if environ.get(name)}
    gone = [name for name in named if not from_home(Path(environ[name])).is_dir()]
    places = [lines] * bool(told) + [words for name, words in named.items() if name not in gone]
    if not places and not gone:
        return [
            Check(
                "note",
                "data",
                f"no {FILE} here, and neither $BENCH_DATA nor $nnUNet_raw is set",
                "export BENCH_DATA=/where/datasets/lie, or --root",
            )
        ]
    found = [Check("ok", "data", " ".join(places))] if places else []
    found += [
        Check("note", "data", f"{named[name]} is no folder", f"export {name}=/where/datasets/lie, or --root")
        for name in gone
    ]
    for name in registry.names(registry.TASKS):
        card = registry.task(name)
        try:
            folder = find_folder(card.files, name, card.folders, None, environ)
        except BenchError as error:
            found.append(Check("note", name, str(error)))
            continue
        if folder is not None:
            found.append(Check("ok", name, str(folder), f"bench data check {name}"))
    return found


def _extras() -> list[Check]:
    if importlib.util.find_spec("nrrd") is None:
        return [
            Check("note", "pynrrd", "not installed", "Only for the NRRD form of LA: pip install 'ssl3d-bench[nrrd]'")
        ]
    return []
