"""Random 96^3 patches of large CTs: our cache beside nibabel and MONAI's CacheDataset, all measured in one run.

    python -m tests.benchmarks.data [--out FILE.json] [--rounds 5]

Two synthetic CTs of 512 x 512 x 150 int16 voxels with 15 HU noise in the body (so that compression is not flattered) are
written to a temporary folder. Every contender gives float32 patches windowed from -175..250 HU to 0..1 with one torch
thread, files in the page cache. Contenders are timed in turn, round by round, and the medians compared, because single
figures on a shared machine are off by a factor of two. Goals are ours. Nothing fails here; the JSON
says which goal was met, and how busy the machine was: on one whose processors others use, two workers get a share of
them, so that there processor milliseconds a patch (`own`: the training process, `helpers`: its workers) tell more.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import psutil
import torch
from monai.data import CacheDataset
from monai.transforms import (
    Compose,
    EnsureChannelFirst,
    LoadImage,
    RandSpatialCropSamples,
    ScaleIntensityRange,
)

from bench.contracts.configs import Intensity, PhaseConfig
from bench.contracts.method import Phase
from bench.contracts.record import ImageFile, Record
from bench.data.axes import as_affine
from bench.data.cache import CachedCases, prepare
from bench.data.cache_recipe import CacheRecipe
from bench.data.entry import write_entry
from bench.data.patches import uniform_start
from bench.data.preparation import prepared
from bench.data.volumes import write_nifti
from bench.train.loader import batches
from methods.parts.draws import epochs
from methods.parts.views import OneCrop

SHAPE = (512, 512, 150)
PATCH = (96, 96, 96)
LOW, HIGH = -175.0, 250.0
NOISE_HU = 15.0
CROPS_PER_LOAD = 4
PATCHES_A_STEP = (8, 1)


def synthetic_ct(seed: int) -> np.ndarray:
    """A body filling 70 % of the field of view, air around it, two organs and a spine in it, noise in the body only."""
    rng = np.random.default_rng(seed)
    x, y, z = np.ogrid[-1:1:512j, -1:1:512j, -1:1:150j]
    around = np.full(SHAPE, -1000.0, np.float32)
    body = np.broadcast_to((np.abs(x / 0.95) ** 3 + np.abs(y / 0.8) ** 3) < 1, SHAPE)
    tissue = np.full(SHAPE, 40.0, np.float32)
    tissue[((x + 0.4) / 0.35) ** 2 + (y / 0.4) ** 2 + (z / 0.8) ** 2 < 1] = 110.0
    tissue[((x - 0.4) / 0.2) ** 2 + (y / 0.3) ** 2 + (z / 0.5) ** 2 < 1] = -80.0
    tissue[np.broadcast_to((x / 0.12) ** 2 + ((y + 0.5) / 0.12) ** 2 < 1, SHAPE)] = 600.0
    tissue += rng.normal(0.0, NOISE_HU, SHAPE).astype(np.float32)
    return np.rint(np.where(body, tissue, around)).astype(np.int16)


def windowed(patch: np.ndarray) -> torch.Tensor:
    """int16 HU to float32 in 0..1, as a network takes it."""
    return torch.from_numpy(patch).to(torch.float32).clamp_(LOW, HIGH).sub_(LOW).div_(HIGH - LOW)


def nibabel_patches(paths: Sequence[Path], rng: np.random.Generator, count: int) -> int:
    """The naive way: load the whole NIfTI.gz for one patch."""
    for k in range(count):
        volume = np.asarray(nib.load(paths[k % len(paths)]).dataobj)
        d, h, w = uniform_start(SHAPE, PATCH, rng)
        patch = windowed(np.ascontiguousarray(volume[d : d + 96, h : h + 96, w : w + 96]))
        assert patch.shape == PATCH
    return count


def cache_dataset(paths: Sequence[Path]) -> CacheDataset:
    """MONAI's fastest: windowed volumes in memory, four crops from each access. Windowing is not in its timed part."""
    steps = [
        LoadImage(image_only=True),
        EnsureChannelFirst(),
        ScaleIntensityRange(LOW, HIGH, 0.0, 1.0, clip=True),
        RandSpatialCropSamples(PATCH, num_samples=CROPS_PER_LOAD, random_size=False),
    ]
    return CacheDataset([str(path) for path in paths], Compose(steps), num_workers=0, progress=False)


def monai_patches(dataset: CacheDataset, count: int) -> int:
    given = 0
    while given < count:
        crops = dataset[given // CROPS_PER_LOAD % len(dataset)]
        assert all(crop.shape == (1, *PATCH) for crop in crops)
        given += len(crops)
    return given


def our_patches(cases: CachedCases, rng: np.random.Generator, count: int) -> int:
    for k in range(count):
        patch = windowed(cases.read(cases.cases[k % len(cases)], uniform_start(SHAPE, PATCH, rng), PATCH))
        assert patch.shape == (1, *PATCH)
    return count


def loaded_patches(cases: CachedCases, workers: int, per_step: int, count: int) -> dict[str, float]:
    """`count` patches through the training room's loader as a method gets them: rate, and processor time by process.

    Every step is copied into memory that stays, as the training loop copies it to its device. Start-up is not in the
    rate, but in the processor milliseconds a patch, which tell what a busy machine hides.
    """
    phase = Phase("measure", PhaseConfig(batch_size=per_step), epochs, OneCrop(PATCH), ())
    warm = 2 * max(1, workers)
    stop = warm + count // per_step
    device = torch.empty((per_step, 1, *PATCH), dtype=torch.int16)
    begin, before = 0.0, processor_seconds()
    for drawn in batches(phase, cases, key="data", start=0, stop=stop, workers=workers):
        if drawn.step == warm:  # the patches of this step are not counted
            begin = time.perf_counter()
        device.copy_(drawn.batch["volume"])
    patches_per_s = (stop - warm - 1) * per_step / (time.perf_counter() - begin)
    own, helpers = (1000 * (b - a) / (stop * per_step) for a, b in zip(before, processor_seconds(), strict=True))
    name = f"loader_{workers}_workers_{per_step}_a_step"
    return {name: patches_per_s, f"{name}_own_ms": own, f"{name}_helpers_ms": helpers}


def processor_seconds() -> tuple[float, float]:
    """User and system time of this process, and of the processes it has seen end."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own, helpers = (usage.ru_utime + usage.ru_stime for usage in used)
    return own, helpers


def rate(patches: Callable[[], int]) -> float:
    """Patches a second of one call."""
    gc.collect()
    begin = time.perf_counter()
    count = patches()
    return count / (time.perf_counter() - begin)


def seconds(deed: Callable[[], Any]) -> float:
    """Seconds of one call."""
    gc.collect()
    begin = time.perf_counter()
    deed()
    return time.perf_counter() - begin


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """All figures: medians over rounds, each round timing every contender once."""
    paths = [folder / f"ct_{k}.nii.gz" for k in range(2)]
    for k, path in enumerate(paths):
        write_nifti(path, synthetic_ct(k), affine=as_affine(np.diag([0.8, 0.8, 2.5, 1.0])), dtype=np.int16)
    records = [
        Record(
            dataset="synthetic",
            adapter_version="1",
            case_id=path.name.removesuffix(".nii.gz"),
            patient_id=path.name,
            group=path.name,
            images=(ImageFile(path=path.name, format="nifti"),),
        )
        for path in paths
    ]
    recipe = CacheRecipe(intensity=Intensity("hu", (LOW, HIGH)))
    cases = prepare(folder, records, recipe, folder / "cache")
    dataset = cache_dataset(paths)
    case = prepared(folder, records[0], recipe)
    rng = np.random.default_rng(0)

    def write() -> None:
        write_entry(folder / "again.case", case.image, None, {}, case.meta)

    def read_nifti() -> None:
        np.asarray(nib.load(paths[0]).dataobj)

    times: dict[str, list[float]] = {}

    def keep(name: str, value: float) -> None:
        times.setdefault(name, []).append(value)

    for round_ in range(rounds + 1):
        names = {
            "read_nifti_s": lambda: seconds(read_nifti),
            "write_entry_s": lambda: seconds(write),
            "prepare_s": lambda k=round_: seconds(lambda: prepare(folder, records[:1], recipe, folder / f"fresh_{k}")),
            "naive": lambda: rate(lambda: nibabel_patches(paths, rng, 3)),
            "cache_dataset": lambda: rate(lambda: monai_patches(dataset, 40)),
            "ours": lambda: rate(lambda: our_patches(cases, rng, 200)),
        }
        found = {name: measured() for name, measured in names.items()}
        for per_step in PATCHES_A_STEP:
            for workers in (0, 2):
                found |= loaded_patches(cases, workers, per_step, 400)
        for name, value in found.items():
            if round_:  # the first round warms page cache and allocator
                keep(name, value)
    median = {name: statistics.median(values) for name, values in times.items()}
    nifti_mib = sum(path.stat().st_size for path in paths) / 2**20
    cache_mib = sum(path.stat().st_size for path in (folder / "cache").iterdir()) / 2**20
    return {
        "patches_per_s": {k: round(median[k], 2) for k in median if not k.endswith(("_s", "_ms"))},
        "processor_ms_per_patch": {k: round(median[k], 2) for k in median if k.endswith("_ms")},
        "seconds_per_volume": {k: round(median[k], 3) for k in median if k.endswith("_s")},
        "mib": {"nifti_gz": round(nifti_mib, 1), "cache": round(cache_mib, 1), "cache_dataset_memory": 2 * 150.0},
        "ratios": {
            "ours_to_naive": round(median["ours"] / median["naive"], 1),
            "ours_to_cache_dataset": round(median["ours"] / median["cache_dataset"], 2),
            "cache_to_nifti_disk": round(cache_mib / nifti_mib, 3),
            "write_to_read_time": round(median["write_entry_s"] / median["read_nifti_s"], 2),
            "prepare_to_read_time": round(median["prepare_s"] / median["read_nifti_s"], 2),
            **{
                f"two_workers_to_none_{n}_a_step": round(
                    median[f"loader_2_workers_{n}_a_step"] / median[f"loader_0_workers_{n}_a_step"], 2
                )
                for n in PATCHES_A_STEP
            },
        },
        "spread": {name: [round(min(values), 3), round(max(values), 3)] for name, values in times.items()},
    }


def goals(ratios: dict[str, float]) -> dict[str, bool]:
    """Which goals this run met."""
    return {
        "at least 50x naive": ratios["ours_to_naive"] >= 50,
        "at least 3x CacheDataset": ratios["ours_to_cache_dataset"] >= 3,
        "no more disk than NIfTI.gz": ratios["cache_to_nifti_disk"] <= 1,
        "written in at most 2x the time of reading": ratios["write_to_read_time"] <= 2,
        "2 workers faster than 0": all(ratios[f"two_workers_to_none_{n}_a_step"] > 1 for n in PATCHES_A_STEP),
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on and with."""
    packages = ("numpy", "nibabel", "blosc2", "monai", "torch")
    return {
        "processor": processor(),
        "cores": psutil.cpu_count(),
        "load_average": [round(load, 1) for load in psutil.getloadavg()],
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def processor() -> str:
    """The processor's own name where the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    """Measure, print the ratios, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds; one more warms up")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), asked.rounds)
    result = {"machine": machine(), **found, "goals": goals(found["ratios"])}
    print(json.dumps(result, indent=1))
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
