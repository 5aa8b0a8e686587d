"""Memory that is lent to another process: blocks are used again, and what lies in them is read where it was written."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest

from bench.train.lent_memory import LentMemory, cut, received_block, send_file
from bench.train.steps import ALIGNMENT_BYTES, Column

COLUMNS = [
    Column("volume", np.dtype(np.int16), (2, 1, 3, 3, 3)),
    Column("prefix", np.dtype(np.int64), (2,)),
    Column("nothing", np.dtype(np.float32), (2, 0)),
]


def taken(memory: LentMemory, n_bytes: int) -> int:
    """The number of a block; its file is closed, as after it was sent."""
    number, file = memory.taken(n_bytes)
    if file is not None:
        os.close(file)
    return number


def test_a_block_is_taken_again_once_it_is_free_and_large_enough() -> None:
    memory = LentMemory()
    assert [taken(memory, 100), taken(memory, 100)] == [0, 1]
    memory.free = [1]
    assert memory.taken(80) == (1, None) and memory.free == []


def test_a_free_block_that_is_too_small_makes_room_for_a_larger_one_under_its_number() -> None:
    memory = LentMemory()
    small = taken(memory, 100)
    memory.free = [small]
    number, file = memory.taken(200)
    assert number == small and file is not None and [len(block) for block in memory.blocks] == [200]
    os.close(file)


def test_arrays_lie_one_after_the_other_each_aligned_and_share_the_blocks_memory() -> None:
    block = np.zeros(sum(column.room_bytes for column in COLUMNS), np.uint8)
    arrays = cut(block, COLUMNS)
    assert {name: (array.dtype, array.shape) for name, array in arrays.items()} == {
        column.name: (column.dtype, column.shape) for column in COLUMNS
    }
    arrays["volume"][:], arrays["prefix"][:] = 7, 9
    assert block[:108].view(np.int16).tolist() == [7] * 54 and not block[108:128].any()
    assert block[128:144].view(np.int64).tolist() == [9, 9]
    assert all(column.room_bytes % ALIGNMENT_BYTES == 0 for column in COLUMNS)


def test_what_one_end_writes_the_other_reads() -> None:
    memory = LentMemory()
    number, file = memory.taken(64)
    assert file is not None
    here, there = multiprocessing.Pipe()
    with here, there:
        send_file(there, file)
        block = received_block(here, 64)
    memory.blocks[number][:3] = b"abc"
    assert block[:3] == b"abc"


def test_an_end_that_closes_before_it_sends_is_told_as_an_end() -> None:
    here, there = multiprocessing.Pipe()
    with here:
        there.close()
        with pytest.raises(EOFError):
            received_block(here, 64)
