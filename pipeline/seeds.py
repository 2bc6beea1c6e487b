"""Random seeds, derived from names, never from counters, ranks or the state of another generator."""

import hashlib
import json

import numpy as np

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def derive(seed: int, *names: str | int) -> int:
    """Return a seed in [0, 2^63) for what ``names`` name under the root ``seed``.

    It is a hash of the names: equal names give equal seeds on every machine, and different names do not share a seed by
    accident. But torch's CPU generators use only the low 32 bits of a seed; images get their noise from all of them
    (see ``generation.noise``). NumPy's generators and torch's on CUDA use all bits.
    """
    digest = hashlib.sha256(_encode([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator for what ``names`` name under the root ``seed``."""
    return np.random.Generator(np.random.PCG64(derive(seed, *names)))
