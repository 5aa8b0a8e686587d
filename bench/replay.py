"""Is a stored result what its command makes? Fine-tune its first steps again on a CPU and compare bit for bit.

What is compared: the weights before the first step by their digest, the lines of the loss log up to the last replayed step, and
after a whole replay the final weights. Bits repeat on one processor, version of torch and number of threads only. Where those
differ and bits do too, nothing is proven, and the check is told as absent. Nothing is written into the results but their cache.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import registry
from bench.cases import cached
from bench.chain import Chain
from bench.contracts.counts import how_many
from bench.contracts.errors import DataMissing, SpecError
from bench.contracts.method import Encoder
from bench.contracts.record import Cell
from bench.find_cell import find_cell
from bench.finetune import adopt_weights, build_model, training_job
from bench.nets import lora
from bench.provenance import provenance
from bench.restore import make_again, spec_of
from bench.run import Place, resolve_at
from bench.train.checkpoint import sha256_of_weights
from bench.train.hardware import Hardware
from bench.train.job import Job
from bench.train.loop import train
from bench.train.progress import Progress
from bench.verify import Check, Verdict

INITIAL, LOG, FINAL = "replay: first weights", "replay: loss log", "replay: last weights"
_OF_THE_CLOCK = {"wait_share", "seconds", "samples_per_s"}
_SAME_BITS = ("processor", "threads", "torch")
Line = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Replayed:
    """What a replay left: digests of the weights before the first step and after the whole training ('' for a part), the log."""

    initial: str
    final: str
    lines: tuple[Line, ...]


class _Enough(Exception):
    """Raised by the watcher after the last step asked for; no error."""


class _Counting:
    """A watcher that ends a training after so many steps and passes on what it hears."""

    def __init__(self, steps: int, watcher: Progress | None) -> None:
        self.left, self.steps, self.watcher = steps, steps, watcher

    def start(self, name: str, total: int) -> None:
        if self.watcher is not None:
            self.watcher.start(f"replay of {name}", min(self.steps, total))

    def advance(self, n: int, **shown: float) -> None:
        self.left -= n
        if self.watcher is not None:
            self.watcher.advance(n, **shown)
        if n and self.left <= 0:
            raise _Enough

    def finish(self) -> None:
        if self.watcher is not None:
            self.watcher.finish()


def replay_cell(
    cell: str, steps: int, results: Path, root: str, environ: Mapping[str, str], progress: Progress | None = None
) -> tuple[Check, ...]:
    """Replay the first `steps` steps of a stored cell's fine-tuning. What cannot be (data or encoder gone) is told as absent.

    Raises SpecError for a number of steps below one, StoreError when there is no such cell.
    """
    if steps < 1:
        raise SpecError(f"--replay takes a number of steps from 1 on, found {steps}.", remedy="--replay 20")
    found, results = find_cell(cell, results)
    place = Place.at(results, environ=environ, hardware=Hardware(device="cpu"), progress=progress)
    told = found.training.get("finetune", {})
    if not str(told.get("device", "")).startswith("cpu"):
        return (
            Check(LOG, "absent", f"trained on {told.get('device', 'an unknown device')}: bits repeat on a CPU only"),
        )
    try:
        chain = resolve_at(dataclasses.replace(spec_of(found), root=root), place)
        if chain.keys["finetune"] != found.keys.get("finetune"):
            why = "the training cases, settings or code decide another result than the recorded one"
            return (
                Check(LOG, "differs", f"{why}; check out {found.provenance.get('commit', 'its commit')} and its data"),
            )
        encoder = _encoder(found, chain, place)
        with _threads(found.provenance.get("threads")):
            again = _replayed(chain, place, encoder, steps)
            apart = _apart(found)
    except DataMissing as error:
        return (Check(LOG, "absent", str(error)),)
    if again is None:
        return (Check(LOG, "absent", "no step is taken in this fine-tuning"),)
    stored = _lines(place.folder("finetune", chain.keys["finetune"]) / "log.jsonl", steps)
    whole = [_told(FINAL, found.hashes.get("finetune:final", ""), again.final, apart)] if again.final else []
    return (
        _told(INITIAL, found.hashes.get("finetune:initial", ""), again.initial, apart),
        _log(stored, again, apart),
        *whole,
    )


def _encoder(found: Cell, chain: Chain, place: Place) -> Path | None:
    """The pre-trained weights that the cell began with; DataMissing where they are not here."""
    if found.corpus == "file":
        raise DataMissing(
            "It began with weights from a file, and a record does not keep where that lay.",
            case=found.name,
            remedy="Replay a cell that was pre-trained here: bench table all",
        )
    if chain.words.corpus is None or chain.sight is None:
        return None
    last = list(chain.blueprint.phases)[-1]
    path = place.folder("pretrain", chain.keys[f"pretrain:{last}"]) / "encoder.safetensors"
    if not path.is_file():
        raise DataMissing(
            f"The encoder that it began with is not at {path}.",
            case=found.name,
            remedy=make_again(found, place),
        )
    return path


def _replayed(chain: Chain, place: Place, encoder: Path | None, steps: int) -> Replayed | None:
    """Fine-tune in a folder of its own; None for a kind that takes no step."""
    spec, plan, words = chain.words.spec, chain.blueprint, chain.words
    kind: Any = registry.kind(words.task.kind)
    setup = plan.setup
    trains = getattr(kind, "trains", None)
    if trains is not None and not trains(setup):
        return None
    untested = dataclasses.replace(words.cases, here=dataclasses.replace(words.cases.here, test=()))
    cases = cached(untested, words.task, setup.protocol, place.cache, place.progress)
    model = build_model(plan.method, spec.method, plan.architecture, setup, kind, setup.recipe.seed)
    if encoder is not None:
        adopt_weights(model, encoder, foreign=False)
    parts = {"train": words.cases.train, "val": words.cases.here.val}
    with TemporaryDirectory(prefix="bench-replay-") as temporary:
        job, _ = training_job(model, setup, kind, cases, parts, chain.keys["finetune"], Path(temporary), place.hardware)
        initial = sha256_of_weights(model)
        final = _final(job, place, setup.recipe.steps, steps)
        if final and setup.recipe.lora_rank:  # the record holds the digest of the merged weights
            assert isinstance(model.encoder, Encoder)
            lora.merge(model.encoder)
            final = sha256_of_weights(model)
        return Replayed(initial, final, tuple(_lines(Path(temporary) / "log.jsonl", steps)))


def _final(job: Job, place: Place, whole: int, steps: int) -> str:
    """Train; the digest of the final weights, '' where the training was ended before."""
    if steps >= whole:
        return train(job, place.hardware, place.progress).final_sha256
    with suppress(_Enough):
        train(job, place.hardware, _Counting(steps, place.progress))
    return ""


def _lines(path: Path, steps: int) -> list[Line]:
    """What a log says up to a step, without what the clock told; lines that are none are left out."""
    found = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
            if int(line["step"]) <= steps:
                found.append({name: value for name, value in line.items() if name not in _OF_THE_CLOCK})
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _log(stored: Sequence[Line], again: Replayed, apart: str) -> Check:
    if not stored and again.lines:
        return Check(LOG, "absent", "the run's log.jsonl is not there")
    if not again.lines:
        return Check(LOG, "absent", "no line is logged within so few steps; replay more")
    differing = [
        (line["step"], name)
        for line, other in zip(again.lines, stored, strict=False)
        for name in line.keys() | other.keys()
        if line.get(name) != other.get(name)
    ]
    if not differing and len(stored) == len(again.lines):
        return Check(LOG, "ok", f"{how_many(len(stored), 'line')} up to step {again.lines[-1]['step']}, bit for bit")
    if not differing:
        return Check(LOG, "differs", f"{how_many(len(stored), 'line')} stored, {len(again.lines)} found")
    step, name = min(differing, key=lambda found: (found[0], found[1] != "loss", found[1]))
    distance = f"from step {step} on, first in {name}; losses apart by at most {_distance(stored, again.lines):.1e} of their size"
    return Check(LOG, *_verdict(distance, apart))


def _distance(one: Sequence[Line], other: Sequence[Line]) -> float:
    pairs = [(a.get("loss"), b.get("loss")) for a, b in zip(one, other, strict=False)]
    known = [(a, b) for a, b in pairs if isinstance(a, (int, float)) and isinstance(b, (int, float))]
    return max((abs(a - b) / max(abs(a), abs(b), 1e-300) for a, b in known if a != b), default=math.nan)


def _told(name: str, recorded: str, again: str, apart: str) -> Check:
    if recorded == again:
        return Check(name, "ok")
    return Check(name, *_verdict(f"sha256 {recorded[:16]} recorded, {again[:16]} found", apart))


def _verdict(detail: str, apart: str) -> tuple[Verdict, str]:
    return ("absent", f"{detail}; no proof, for {apart}") if apart else ("differs", detail)


def _apart(found: Cell) -> str:
    """In what this machine departs from that of the record, of what decides bits; '' where it is the same."""
    here, there = (_deciding(told) for told in (provenance(), found.provenance))
    return "; ".join(
        f"{name} is {here[name]} here and was {there[name]}" for name in _SAME_BITS if here[name] != there[name]
    )


def _deciding(told: Mapping[str, Any]) -> dict[str, Any]:
    versions = told.get("versions")
    version = versions.get("torch") if isinstance(versions, Mapping) else None
    return {"processor": told.get("processor"), "threads": told.get("threads"), "torch": version}


@contextmanager
def _threads(recorded: object) -> Iterator[None]:
    """As many threads as the record says, as long as it is a sensible number."""
    import torch

    before = torch.get_num_threads()
    try:
        if isinstance(recorded, int) and 1 <= recorded <= 4096:
            torch.set_num_threads(recorded)
        yield
    finally:
        torch.set_num_threads(before)
