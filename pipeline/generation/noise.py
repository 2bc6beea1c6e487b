"""Random streams for images, each from all 63 bits of its seed.

torch seeds its generator on CPUs with the low 32 bits only, so among a million images of one prompt about a hundred
pairs would share their noise. Its generator is the Mersenne Twister, whose state NumPy can derive from a seed of any
length.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_WORDS = slice(24, 24 + 624 * 8)
"""Where torch keeps the 624 words of the state, 64 bits for each."""


def generator(seed: int) -> torch.Generator:
    """Return a generator on the CPU whose stream is that of ``numpy.random.MT19937(SeedSequence(seed))``.

    Its first number is the first one after a twist of the initial state. Raises RuntimeError if this version of torch
    keeps the state elsewhere than expected.
    """
    made = torch.Generator()
    state = made.manual_seed(0).get_state()
    words = _words(state)
    if not np.array_equal(words, np.random.RandomState(0).get_state(legacy=False)["state"]["key"]):
        raise RuntimeError(f"torch {torch.__version__} keeps the state of its random generator in another layout")
    words[:] = np.random.MT19937(np.random.SeedSequence(seed)).state["state"]["key"]
    return made.set_state(state)


def _words(state: Tensor) -> NDArray[np.uint64]:
    """Return the words of a generator's state as a view."""
    words: NDArray[np.uint64] = state.numpy()[_WORDS].view(np.uint64)
    return words
