"""Random seeds, derived from names and never from counters, ranks or the state of another generator."""

import hashlib
import json

import numpy as np

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def derive(seed: int, *names: str | int) -> int:
    """Return the seed, in [0, 2^63), of the thing that ``names`` name under the root ``seed``.

    A hash of the names: equal names give equal seeds on every machine, and no two things share one by accident. But
    torch's generators on the CPU use a seed's low 32 bits only, so among 10,000 seeds two give them one stream with a
    chance of about one in a hundred; NumPy's below, and torch's on CUDA, use all bits.
    """
    digest = hashlib.sha256(_encode([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator for the thing that ``names`` name."""
    return np.random.Generator(np.random.PCG64(derive(seed, *names)))
