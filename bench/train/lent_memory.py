"""Memory that one process fills and another reads tensors from, lent and given back by number.

Filled anew rather than made anew: the pages of fresh memory cost half as much time again as reading what goes into them.
"""

from __future__ import annotations

import mmap
import os
import socket
import tempfile
from itertools import accumulate
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from bench.contracts.method import Arrays
from bench.train.steps import Column


class LentMemory:
    """A worker's numbered blocks of memory; the training process holds no tensor of those in `free`.

    A block is a file without a name: killed processes leave nothing behind, and small `/dev/shm` of containers do.
    """

    def __init__(self) -> None:
        self.blocks: list[mmap.mmap] = []
        self.free: list[int] = []

    def taken(self, n_bytes: int) -> tuple[int, int | None]:
        """The number of a block that is large enough, and its file if it had to be made; close that once it is sent."""
        for number in self.free:
            if len(self.blocks[number]) >= n_bytes:
                self.free.remove(number)
                return number, None
        file = _nameless_file()
        os.ftruncate(file, n_bytes)
        block = mmap.mmap(file, n_bytes)
        if not self.free:
            self.blocks.append(block)
            return len(self.blocks) - 1, file
        number = self.free.pop()
        self.blocks[number] = block  # in place of one that was too small
        return number, file


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("batches")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def cut(block: NDArray[np.uint8], columns: list[Column]) -> Arrays:
    """The arrays that lie one after the other in a block."""
    ends = list(accumulate((column.room_bytes for column in columns), initial=0))
    return {
        column.name: block[begin : begin + column.n_bytes].view(column.dtype).reshape(column.shape)
        for begin, column in zip(ends[:-1], columns, strict=True)
    }


def send_file(channel: Connection, file: int) -> None:
    """Hand an open file over to the other end and close it here."""
    with socket.socket(fileno=os.dup(channel.fileno())) as line:
        socket.send_fds(line, [b"f"], [file])
    os.close(file)


def received_block(channel: Connection, n_bytes: int) -> mmap.mmap:
    """The memory in the file that the other end hands over."""
    with socket.socket(fileno=os.dup(channel.fileno())) as line:
        _, files, _, _ = socket.recv_fds(line, 1, 1)
    if not files:
        raise EOFError
    try:
        return mmap.mmap(files[0], n_bytes)
    finally:
        os.close(files[0])
