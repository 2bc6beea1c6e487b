"""Who an image is: the digest of its stored pixels."""

import hashlib

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Identities = NDArray[np.bytes_]
"""(N,) SHA-256 in hexadecimal, 64 letters each: equal exactly where the images are."""


def identities(images: Pixels) -> Identities:
    """Return the identity of each image (N, H, W, 3), whatever array, data set or file it is in."""
    shape = "x".join(map(str, images.shape[1:])).encode()
    found = [hashlib.sha256(shape + np.ascontiguousarray(one).data).hexdigest() for one in images]
    return np.array(found, "S64")
