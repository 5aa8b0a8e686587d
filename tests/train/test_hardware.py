"""What opening the hardware leaves behind in the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from bench.train.hardware import Hardware, opened

PAGES = """
import resource, torch
from bench.train.hardware import Hardware, opened

def cleared():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(5_000_000) for _ in range(10)]  # 200 MB, held at once as a step's maps are
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

opened(Hardware(device="cpu"), "fp32")
for _ in range(4):  # at first the heap grows, by how much is chance
    cleared()
print(cleared() * resource.getpagesize() / 200e6)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_memory_that_a_step_frees_is_used_by_the_next_without_clearing_its_pages() -> None:
    # in a process of its own: how the memory of this one is cut up depends on the tests before
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    assert (
        float(done.stdout) < 0.25
    )  # measured: none, or a tenth of the pages, one block; all of them where nothing is kept


def test_how_many_threads_compute_is_told_on_a_cpu_for_else_mkl_chooses_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    opened(Hardware("cpu"), "fp32")
    assert told == [torch.get_num_threads()]


def test_opening_imports_neither_transformers_nor_the_metrics_that_bring_them_and_hides_none_of_them_after() -> None:
    words = (
        "import sys; from bench.train.hardware import Hardware, opened; opened(Hardware('cpu'), 'bf16'); "
        "print('transformers' in sys.modules, 'torchmetrics' in sys.modules); "
        "from torchmetrics.functional.text import bleu_score; print(bleu_score.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "bleu_score"]
