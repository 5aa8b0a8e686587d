"""What the comparisons with the papers' released code share: its checkout, stand-ins for what it imports, the report.

Nothing of that code lies here. A comparison imports it from a checkout that its reader has cloned, gives both networks the same
weights and the same input, and tells how far apart their answers are.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.data.atomic import write_json
from tests.benchmarks.measured import machine


@dataclass(frozen=True)
class Compared:
    """One answer of both: `largest` is the largest absolute value of theirs, `apart` the largest absolute difference of ours."""

    what: str
    largest: float
    apart: float

    @property
    def share(self) -> float:
        """The difference as a share of the largest value."""
        return self.apart / self.largest if self.largest else self.apart


def compared(what: str, theirs: Tensor | float, ours: Tensor | float) -> Compared:
    """Both answers held against each other in double precision; their shapes must be equal."""
    one, other = (torch.as_tensor(x).detach().double() for x in (theirs, ours))
    if one.shape != other.shape:
        raise SystemExit(f"{what}: theirs has shape {tuple(one.shape)}, ours {tuple(other.shape)}")
    return Compared(what, float(one.abs().max()), float((one - other).abs().max()))


def checkout(repository: str, words: Sequence[str] | None = None) -> tuple[Path, Path | None]:
    """The folder named on the command line, and where the report goes; ends with what to clone where that is no checkout."""
    parser = argparse.ArgumentParser(
        description=f"Run the released code of {repository} beside ours, with equal weights."
    )
    parser.add_argument("folder", type=Path, help=f"a checkout of github.com/{repository}")
    parser.add_argument("--out", type=Path, help="where the report goes, as JSON")
    told = parser.parse_args(words)
    if not told.folder.is_dir():
        raise SystemExit(f"No folder '{told.folder}'. Next: git clone https://github.com/{repository} {told.folder}")
    return told.folder.resolve(), told.out


def commit_of(folder: Path) -> str:
    """The commit of a checkout, with a mark where files in it have been changed; '' where it is none."""
    head = _git(folder, "rev-parse", "HEAD")
    return f"{head}, changed" if head and _git(folder, "status", "--porcelain", "--untracked-files=no") else head


def stand_in(name: str, **holds: Any) -> types.ModuleType:
    """An empty module of this name for code that imports one which it does not need here; `holds` are its attributes."""
    module = types.ModuleType(name)
    module.__path__ = []  # type: ignore[attr-defined]
    vars(module).update(holds)
    sys.modules[name] = module
    return module


@torch.no_grad()
def moved(network: nn.Module, seed: int, *, by: float = 0.02) -> None:
    """Move every parameter off its start, so that no zero, one or identity hides a difference."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.add_(by * torch.randn(parameter.shape, generator=generator))


@torch.no_grad()
def taken_over(ours: nn.Module, theirs: Mapping[str, Tensor]) -> None:
    """Give ours the weights of theirs, told by our names. Ends where a parameter of ours is not told, or a told one is not ours."""
    own = dict(ours.named_parameters())
    if set(own) != set(theirs):
        raise SystemExit(
            f"Not told: {sorted(set(own) - set(theirs))[:5]}; unknown: {sorted(set(theirs) - set(own))[:5]}"
        )
    for name, parameter in own.items():
        parameter.copy_(theirs[name].reshape(parameter.shape))


def report(
    repository: str, folder: Path, found: Sequence[Compared], out: Path | None, notes: Sequence[str] = ()
) -> None:
    """Print every comparison, and write it with the commit of the released code and the machine."""
    for one in found:
        print(f"{one.what:72s} largest {one.largest:.6g}  apart {one.apart:.2g}  ({one.share:.1g})")
    if out is not None:
        told = [{"what": one.what, "largest": one.largest, "apart": one.apart} for one in found]
        head = {"released": repository, "commit": commit_of(folder), "notes": list(notes)}
        write_json(out, {**head, "machine": machine(("torch",)), "compared": told})


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(("git", "-C", str(folder), *words), capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
