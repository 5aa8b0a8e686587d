"""Every random number of a training comes from named parts: it can be drawn again without the numbers before it.

A seed is a hash of words such as (key, step, slot). Nothing therefore depends on the order in which workers answer, on
how often a run was killed, or on what else drew numbers in the same process.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np


def derive(*parts: object) -> int:
    """A seed in [0, 2**63) from named parts: the leading 63 bits of the SHA-256 of the parts' texts joined by ``|``.

    Example: ``derive("a", 1) == int.from_bytes(sha256(b"a|1").digest()[:8], "big") >> 1``.
    """
    digest = hashlib.sha256("|".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*parts: object) -> np.random.Generator:
    """A NumPy generator (Philox, keyed by `derive`) that depends on the parts alone."""
    return np.random.Generator(np.random.Philox(key=derive(*parts)))


def reseed_torch(*parts: object) -> None:
    """Seed torch's default generators, on the CPU and on every CUDA device in use, from named parts."""
    import torch

    seed = derive(*parts)
    torch.default_generator.manual_seed(seed)
    # torch.manual_seed would format a stack trace per call as long as CUDA is not initialised; only live devices have
    # a generator to seed, and in a forked worker none may be touched
    if not torch.cuda._is_in_bad_fork():
        for device in torch.cuda.default_generators:
            device.manual_seed(seed)


def reseed_all(*parts: object) -> None:
    """`reseed_torch`, and the global generators of `random` and NumPy, from which third-party code may draw."""
    seed = derive(*parts)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    reseed_torch(*parts)
