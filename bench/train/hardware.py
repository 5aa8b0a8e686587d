"""What a training runs on: device, number of processes, arithmetic, memory."""

from __future__ import annotations

import ctypes
import importlib
import platform
import resource
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from bench.contracts.counts import how_many
from bench.contracts.errors import SpecError, nearest

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Hardware:
    """Where to train. `device` auto takes CUDA when there is one, else the CPU; `cuda:1` names one GPU.

    `devices` counts processes of one device each; `strategy` auto is one process or, for several, Fabric's `ddp`.
    """

    device: str = "auto"
    devices: int = 1
    strategy: str = "auto"


@dataclass(frozen=True)
class Machine:
    """An opened piece of hardware: Fabric, and the scaler that keeps fp16 gradients in range (None elsewhere)."""

    fabric: Fabric
    scaler: torch.amp.GradScaler | None

    @property
    def device(self) -> torch.device:
        device: torch.device = self.fabric.device
        return device

    @property
    def rank(self) -> int:
        return int(self.fabric.global_rank)

    @property
    def world(self) -> int:
        return int(self.fabric.world_size)


def opened(hardware: Hardware, precision: str) -> Machine:
    """Fabric, launched. With several devices this starts the same command once per further device and joins them.

    Raises SpecError for a device, strategy or precision that is not to be had.
    """
    kind, number = _device(hardware.device)
    demand_hardware(hardware, precision)
    _import_fabric()
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision, Precision

    scaler = torch.amp.GradScaler("cuda") if precision == "fp16" else None
    names = {"bf16": "bf16-mixed", "fp16": "16-mixed"}
    plugin = Precision() if precision == "fp32" else MixedPrecision(names[precision], kind, scaler)
    devices = _devices(hardware, kind, number)
    fabric = Fabric(accelerator=kind, devices=devices, strategy=_strategy(hardware), plugins=plugin)
    fabric.launch()
    if kind == "cpu":
        _keep_freed_memory()
        torch.set_num_threads(torch.get_num_threads())  # until it is told, MKL takes as many as it likes at the moment
    return Machine(fabric, scaler)


def demand_hardware(hardware: Hardware, precision: str) -> None:
    """Raises SpecError for a device, strategy or precision that is not to be had."""
    kind, number = _device(hardware.device)
    demand_precision(precision)
    if precision == "fp16" and kind != "cuda":
        raise SpecError(
            f"precision fp16 needs CUDA, found device '{kind}'.", remedy="Choose bfloat16 with `--set precision=bf16`."
        )
    _devices(hardware, kind, number)
    _strategy(hardware)


def _import_fabric() -> None:
    """Import Fabric, only where something is trained, for it takes more than a second: without torchmetrics, whose version it
    compares for a tool that is not used here, and which would bring transformers and SciPy's signals with it: two more."""
    hidden = "torchmetrics" not in sys.modules
    if hidden:
        sys.modules["torchmetrics"] = None  # type: ignore[assignment]  # importing it fails, for which Fabric is prepared
    try:
        importlib.import_module("lightning_fabric")
    finally:
        if hidden:
            del sys.modules["torchmetrics"]


def demand_precision(name: str) -> None:
    """Raises SpecError for a name that is none of PRECISIONS."""
    if name not in PRECISIONS:
        raise SpecError(
            f"No precision '{name}'. {nearest(name, PRECISIONS)}Possible: {', '.join(PRECISIONS)}.",
            remedy="Choose with `--set precision=bf16`.",
        )


def torch_device(hardware: Hardware) -> torch.device:
    """The device that one process on this hardware computes on. Raises SpecError for one that is not to be had."""
    kind, number = _device(hardware.device)
    return torch.device(kind, number) if number is not None else torch.device(kind)


def _device(asked: str) -> tuple[str, int | None]:
    has_cuda = torch.cuda.is_available()
    kind, _, number = asked.partition(":")
    if kind == "auto":
        kind = "cuda" if has_cuda else "cpu"
    if kind not in ("cpu", "cuda") or (number and not (kind == "cuda" and number.isdecimal())):
        raise SpecError(
            f"No device '{asked}'. Possible: auto, cpu, cuda, cuda:N.", remedy="Choose with `--device auto`."
        )
    found = torch.cuda.device_count() if has_cuda else 0
    if kind == "cuda" and int(number or 0) >= found:
        raise SpecError(
            f"device '{asked}' asked for, found {found} CUDA devices.", remedy="Choose another with `--device auto`."
        )
    return kind, int(number) if number else None


def _devices(hardware: Hardware, kind: str, number: int | None) -> int | list[int]:
    if hardware.devices < 1 or (number is not None and hardware.devices > 1):
        raise SpecError(
            f"{how_many(hardware.devices, 'device')} asked for on '{hardware.device}'.",
            remedy="Ask for one device by number, or for N >= 1 of `--device cuda`.",
        )
    if kind == "cuda" and hardware.devices > torch.cuda.device_count():
        raise SpecError(
            f"{hardware.devices} CUDA devices asked for, found {torch.cuda.device_count()}.",
            remedy=f"Ask for at most {torch.cuda.device_count()}.",
        )
    return hardware.devices if number is None else [number]


def _strategy(hardware: Hardware) -> str:
    """`ddp` for several processes. `spawn` kinds are out: they would need a picklable job."""
    if hardware.strategy not in ("auto", "ddp"):
        raise SpecError(
            f"No strategy '{hardware.strategy}'. Possible: auto, ddp.", remedy="Choose with `--strategy auto`."
        )
    return "ddp" if hardware.devices > 1 or hardware.strategy == "ddp" else "auto"


def described(device: torch.device) -> str:
    """A device in words for the record, such as ``cuda:0 NVIDIA H200`` or ``cpu x86_64``."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return f"{device} {name}".strip()


def forget_peak(device: torch.device) -> None:
    """Start CUDA's memory measurement anew; the CPU's high-water mark belongs to the process and stays."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """The most memory used: by tensors on a CUDA device since `forget_peak`, else by this whole process (resident)."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    high = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return high if sys.platform == "darwin" else high * 1024


def _keep_freed_memory() -> None:
    """Let the C library keep what a step frees for the next step, which asks for the same sizes again.

    By default glibc hands large blocks back to the system, which must clear every page anew: measured on one core, 14 to 23 % of
    the seconds of a step of the small U-Net, MAE3D and MiM. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        biggest_mapped, trim = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
        library = ctypes.CDLL(None)
        library.mallopt(biggest_mapped, 32 * 2**20)  # glibc takes no more
        library.mallopt(trim, 2**31 - 1)
