"""What opening the hardware leaves behind in the process."""

from __future__ import annotations

import platform
import resource

import pytest
import torch

from bench.train.hardware import Hardware, opened

BLOCKS, FLOATS = 10, 5_000_000  # 200 MB, held at once as a step's maps are


def pages_cleared() -> int:
    """Page faults of taking and freeing the blocks once."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(FLOATS) for _ in range(BLOCKS)]
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_memory_that_a_step_frees_is_used_by_the_next_without_clearing_its_pages() -> None:
    opened(Hardware(device="cpu"), "fp32")
    pages_cleared()
    # measured: a tenth of the pages, one block; all of them where nothing is kept
    assert pages_cleared() < 0.25 * BLOCKS * FLOATS * 4 / resource.getpagesize()
