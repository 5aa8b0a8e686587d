"""Every network at its paper's size and batch shape in the training loop, beside what this GPU can do: `make bench-gpu`.

    python -m tests.benchmarks.paper_scale [--out FILE.json] [--seconds 12] [--workers 12] [--rows ROW ...] [--ways WAY ...]
        [--rehearse]

Each row trains preset `full` in `bench.train.loop` on synthetic CTs of 512 x 512 x 150 voxels of 1 mm, prepared and read as any
corpus is, from files that the page cache holds. A step is one device's share of the paper's batch. The first steps, which
compile and start the loader's workers, are left out. Told per row: volumes (samples) a second as they came; the share of the
steps' time spent waiting for data, and what the device would do without that wait; floating-point operations (`bench.flops`)
of a sample, and which share of this GPU's measured bf16 rate the device's own time amounts to; peak memory. The bf16 rate is
that of a product of two 8192 x 8192 matrices, measured first. Goals are ours. Nothing fails here; the JSON
says which goal was met. `--ways` trains every row again
with cuDNN trying its kernels (`searched`), with the weights of its 3-D convolutions laid out channels last (`channels-last`),
with its loss compiled or not (`compiled`, `eager`), or with several of these joined by `+`, and tells the rates beside those
of the row as it ships; a way that helps belongs into the loop.
`--rows` without a name leaves AR's attention alone, which is measured last (`attention.py`).
`--rehearse` walks the rows at preset `tiny` on whatever device there is, and judges no goal.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from bench import registry
from bench.contracts.configs import Inference, Intensity, PhaseConfig, Sight, phases
from bench.contracts.errors import BenchError
from bench.contracts.kind import make_setup
from bench.contracts.method import Method
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.atomic import write_json
from bench.data.axes import as_affine
from bench.data.cache import CachedCases, prepare
from bench.data.cache_recipe import CacheRecipe
from bench.data.volumes import write_nifti
from bench.flops import cost_of, cost_of_sample
from bench.train import loop
from bench.train.job import Job
from bench.train.loader import Drawn
from tasks.kinds import segmentation
from tests.benchmarks.attention import TOKENS, at
from tests.benchmarks.data import synthetic_ct
from tests.benchmarks.measured import machine

SPACING = (1.0, 1.0, 1.0)
SCANS = 2
CASES = 96  # names under which the scans are drawn
WARM = 3  # steps left out
MOST_STEPS = 200
REPORT = (
    "The trachea and main bronchi are patent. No mediastinal lymph node is enlarged. The heart is of normal size (axial "
    "diameter 120 mm). A nodule of 6 mm lies in the right upper lobe, number {n}. No pleural effusion is seen. The upper "
    "abdominal organs in the field of view are unremarkable. No lytic lesion of bone is found."
)
PEAK_SIDE = 8192
SHIPPED = "shipped"
WAYS = (SHIPPED, "searched", "channels-last", "compiled", "eager")


@dataclass(frozen=True)
class Row:
    """What is trained. `share` is one device's part of the paper's batch, `goal` a share of the bf16 rate."""

    name: str
    method: str
    phase: str
    share: int
    of: str
    goal: float | None = None
    changes: Mapping[str, Any] | None = None


ROWS = (
    Row("AR", "ar", "pretrain", 72, "288 on 4 devices", 0.40),
    Row("MAE3D", "mae3d", "pretrain", 256, "256; devices not told", 0.30),
    Row("MiM", "mim", "pretrain", 8, "256; devices not told; two crops of 21 passes at once"),
    Row("SPAD tokenizer", "spad", "tokenizer", 8, "48 on 6 devices"),
    Row("SPAD predictor", "spad", "predict", 14, "84 on 6 devices"),
    Row("MG-3D Swin-B", "mg3d", "pretrain", 4, "16 on 4 devices; fitted word vectors in place of RadBERT"),
    Row("UNETR", "unetr_scratch", "finetune", 8, "our protocol on BTCV, 8 crops of 96^3", 0.20),
    Row("Swin-UNETR", "swin_unetr_scratch", "finetune", 8, "our protocol on BTCV, 8 crops of 96^3", 0.15),
)
NAMES = [row.name for row in ROWS]
CORPORA = {"ar": "ar-corpus", "mae3d": "mim-1k", "mim": "mim-1k", "spad": "spad-55", "mg3d": "ct-rate-47.1k"}


@dataclass(frozen=True)
class Ready:
    """A job to be run and the operations of one of its samples."""

    job: Job
    flops: int


def bf16_rate(device: torch.device) -> float:
    """Operations a second of a large product on random numbers: the median of ten after three."""
    source = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn(PEAK_SIDE, PEAK_SIDE, generator=source, device=device).bfloat16() for _ in range(2))
    times = []
    for _ in range(13):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        a @ b
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return 2 * PEAK_SIDE**3 / sorted(times[3:])[5]


def scans(folder: Path) -> list[Path]:
    """Synthetic CTs of the size that papers' volumes have, each with a mask of three organs."""
    paths = [folder / f"ct_{k}.nii" for k in range(SCANS)]
    affine = as_affine(np.diag([*SPACING, 1.0]))
    for k, path in enumerate(paths):
        voxels = synthetic_ct(k)
        write_nifti(path, voxels, affine=affine, dtype=np.int16)
        organs = np.zeros(voxels.shape, np.uint8)
        for label, (low, high) in {6: (70, 150), 2: (-120, -40), 8: (400, 800)}.items():
            organs[(voxels > low) & (voxels < high)] = label
        write_nifti(mask_of(path), organs, affine=affine, dtype=np.uint8)
    return paths


def mask_of(path: Path) -> Path:
    return path.with_name(path.name.replace("ct_", "mask_"))


def cases(folder: Path, paths: list[Path], recipe: CacheRecipe) -> CachedCases:
    """The scans under many names, prepared as a recipe says."""
    records = [
        Record(
            dataset="synthetic",
            adapter_version="1",
            case_id=f"case_{n:03d}",
            patient_id=f"case_{n:03d}",
            group=f"case_{n:03d}",
            scan_id=paths[n % len(paths)].stem,
            images=(ImageFile(path=paths[n % len(paths)].name, format="nifti"),),
            label=LabelFile(kind="mask", path=mask_of(paths[n % len(paths)]).name)
            if recipe.label_values
            else LabelFile(),
            text=REPORT.format(n=n),
        )
        for n in range(CASES)
    ]
    return prepare(folder, records, recipe, folder / "cache")


def pretraining(row: Row, folder: Path, paths: list[Path], preset: str, workers: int) -> Ready:
    """A phase of a method on the scans, in the intensities of its own corpus."""
    card = registry.method(row.method)
    intensity = registry.corpus(CORPORA[row.method]).intensity
    configs = {name: _shortened(config, row, workers) for name, config in phases(getattr(card, preset)).items()}
    sight = Sight(1, list(configs.values())[-1].crop, SPACING, Intensity("hu") if intensity.kind == "u8" else intensity)
    corpus = cases(folder, paths, CacheRecipe(intensity=sight.intensity))
    assert card.build is not None
    words = configs if len(configs) > 1 else next(iter(configs.values()))
    with torch.device("meta"):
        blank = card.build(words, sight)
        flops = cost_of_sample(blank, next(phase for phase in blank.phases if phase.name == row.phase)).flops
    method = card.build(words, sight)
    assert isinstance(method, Method)
    method.fit(corpus)
    phase = next(phase for phase in method.phases if phase.name == row.phase)
    job = Job(
        key=row.name,
        phase=phase,
        model=method,
        corpus=corpus,
        folder=folder / row.name,
        prepare=method.prepare,
        after_step=method.after_step,
        begin_turn=method.begin_turn,
    )
    return Ready(job, flops)


def finetuning(row: Row, folder: Path, paths: list[Path], preset: str, workers: int) -> Ready:
    """A network with its decoder on our protocol of BTCV: 14 classes, crops of 96^3, autocast in bf16."""
    card, task = registry.method(row.method), registry.task("btcv")
    protocol = task.protocols["bench"]
    recipe = replace(protocol.recipe_at(preset, task.kind, from_scratch=True), precision="bf16")
    recipe = _shortened(recipe, row, workers)
    config = getattr(card, preset)
    setup = make_setup(
        task, "", protocol, preset=preset, recipe=recipe, inference=Inference(), multiple=config.multiple()
    )
    known = cases(folder, paths, CacheRecipe.of(protocol, {label: label for label in range(14)}))
    net = segmentation.build_net(setup, card.encoder(config, setup.sight), card.decoder, 0)
    job = Job(
        key=row.name,
        phase=segmentation.training_phase(setup, net),
        model=net.train(),
        corpus=known,
        folder=folder / row.name,
        prepare=segmentation.prepare(setup),
    )
    with torch.device("meta"):
        blank = segmentation.build_net(setup, card.encoder(config, setup.sight), card.decoder, 0)
        volume = torch.empty(1, setup.sight.channels, *setup.sight.shape)
        weights = list(blank.parameters())
        flops = cost_of(lambda: torch.autograd.grad(blank(volume).sum(), weights, allow_unused=True)).flops
    return Ready(job, flops)


def _shortened(config: Any, row: Row, workers: int) -> Any:
    """A config whose updates see one device's share, without logs and checkpoints on the way."""
    share = min(row.share, config.batch_size)
    micro = min(config.micro_batch, share)
    fields = {"steps": MOST_STEPS, "batch_size": share, "micro_batch": micro, "workers": workers}
    return replace(config, **fields, log_every=0, checkpoint_every=0, **(row.changes or {}))


class Enough(Exception):
    """The row has been watched for long enough."""


class Watch:
    """Times of steps and the waits in them, from the loop's own loader; raises `Enough` after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.waits: list[float] = []
        self.ends: list[float] = []

    def batches(self, drawn: Callable[..., Iterator[Drawn]]) -> Callable[..., Iterator[Drawn]]:
        def watched(*args: Any, **kwargs: Any) -> Iterator[Drawn]:
            for each in drawn(*args, **kwargs):
                self.waits.append(each.wait_s)
                yield each

        return watched

    def start(self, name: str, total: int) -> None:
        pass

    def advance(self, n: int, **shown: float) -> None:
        if "loss" not in shown:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        watched = len(self.ends) - WARM
        if watched > 0 and self.ends[-1] - self.ends[WARM - 1] > (self.seconds if watched > 2 else 2 * self.seconds):
            raise Enough

    def finish(self) -> None:
        pass


def a_way(text: str) -> str:
    """One of WAYS, or several joined by `+`."""
    if strange := set(text.split("+")) - set(WAYS):
        raise argparse.ArgumentTypeError(f"no way {', '.join(sorted(strange))}; possible: {', '.join(WAYS)}")
    return text


def another_way(row: Row, way: str) -> Row:
    """The row with what its config says of a way."""
    parts = way.split("+")
    told = {"compile": "compiled" in parts} if {"compiled", "eager"} & {*parts} else {}
    return replace(row, changes={**(row.changes or {}), **told})


def lay_out(model: torch.nn.Module, way: str) -> None:
    """Turn the weights of 3-D convolutions to channels last for the way of that name; what they give follows them."""
    if "channels-last" in way.split("+"):
        for weight in model.parameters():
            if weight.dim() == 5:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)


def beside_shipped(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Volumes a second on the device by row and way, over those of the same row as it ships."""
    rates = {(row["row"], row["way"]): row["volumes_per_s_without_wait"] for row in rows if "failed" not in row}
    return {
        f"{name}, {way}": round(rate / rates[name, SHIPPED], 3)
        for (name, way), rate in rates.items()
        if way != SHIPPED and (name, SHIPPED) in rates
    }


def watched(row: Row, ready: Ready, seconds: float, peak: float | None) -> dict[str, Any]:
    """What a row's steps took; without a `peak` no share of it."""
    watch = Watch(seconds)
    gc.collect()  # of the row before
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with mock.patch.object(loop, "batches", watch.batches(loop.batches)), contextlib.suppress(Enough):
        loop.train(ready.job, progress=watch)
    steps = len(watch.ends) - WARM
    took, waited = watch.ends[-1] - watch.ends[WARM - 1], sum(watch.waits[WARM : len(watch.ends)])
    config: PhaseConfig = ready.job.phase.config
    samples = steps * config.batch_size
    on_device = samples / (took - waited)
    return {
        "share_of_batch": f"{config.batch_size} of {row.of}",
        "micro_batch": config.micro_batch or config.batch_size,
        "precision": config.precision,
        "steps": steps,
        "volumes_per_s": round(samples / took, 2),
        "data_wait_share": round(waited / took, 3),
        "volumes_per_s_without_wait": round(on_device, 2),
        "tflop_per_volume": round(ready.flops / 1e12, 4),
        "share_of_bf16_rate": round(ready.flops * on_device / peak, 4) if peak else None,
        "goal": row.goal,
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if torch.cuda.is_available() else None,
    }


def goals(rows: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
    """Which shares of the bf16 rate were reached, of the rows as they ship that have one."""
    shipped = [row for row in rows if row["way"] == SHIPPED]
    wanted = [row for row in shipped if row.get("goal") and row["share_of_bf16_rate"] is not None]
    return {
        f"{row['row']}: {row['goal']:.0%} of the bf16 rate": row["share_of_bf16_rate"] >= row["goal"] for row in wanted
    }


def main() -> None:
    """Measure row by row, print each, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--seconds", type=float, default=12.0, help="watched per row")
    parser.add_argument("--workers", type=int, default=12, help="loader processes")
    parser.add_argument("--rows", nargs="*", default=NAMES, choices=NAMES, metavar="ROW", help=", ".join(NAMES))
    parser.add_argument("--ways", nargs="+", type=a_way, default=[SHIPPED], metavar="WAY", help=", ".join(WAYS))
    parser.add_argument("--rehearse", action="store_true", help="preset tiny on any device")
    asked = parser.parse_args()
    if not (torch.cuda.is_available() or asked.rehearse):
        parser.error("no CUDA device here; --rehearse walks the rows at preset tiny")
    told: dict[str, Any] = {"machine": machine(["torch"])}
    measured = torch.cuda.is_available() and not asked.rehearse  # tiny networks say nothing of a rate
    peak = bf16_rate(torch.device("cuda")) if measured else None
    if torch.cuda.is_available():
        told["device"] = torch.cuda.get_device_name()
    told |= {
        "bf16_tflop_per_s": round(peak / 1e12, 1) if peak else None,
        "workers": asked.workers,
        "rows": [],
        "beside_shipped": {},
        "goals": {},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = scans(folder)
        chosen = [row for name in asked.rows for row in ROWS if row.name == name]
        for row, way in itertools.product(chosen, asked.ways):
            made = finetuning if row.phase == "finetune" else pretraining
            named = {"row": row.name, "way": way}
            torch.backends.cudnn.benchmark = "searched" in way.split("+")
            try:
                ready = made(another_way(row, way), folder, paths, "tiny" if asked.rehearse else "full", asked.workers)
                lay_out(ready.job.model, way)
                told["rows"].append(named | watched(row, ready, asked.seconds, peak))
            except (BenchError, RuntimeError) as error:  # the other rows are still worth their time on a lent device
                told["rows"].append(named | {"failed": (str(error) or type(error).__name__).splitlines()[0]})
                traceback.print_exc()
            print(json.dumps(told["rows"][-1]), flush=True)
            told |= {"beside_shipped": beside_shipped(told["rows"]), "goals": goals(told["rows"])}
            if asked.out:  # after every row: a lent device may be gone before the last
                write_json(asked.out, told)
    if measured:
        told["prefix_attention"] = [at(n, 5, torch.device("cuda"), torch.bfloat16) for n in TOKENS]
        print(json.dumps([row["ratios"] for row in told["prefix_attention"]]))
    print(json.dumps([told["beside_shipped"], told["goals"]], indent=1))
    if asked.out:
        write_json(asked.out, told)


if __name__ == "__main__":
    main()
