"""What brings synthetic images to the clients before the first round: the images, or the generator that draws them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.manifest import Manifest
from pipeline.fills.common.given import SYNTHETIC

Int64 = NDArray[np.int64]
IMAGES, GENERATOR = "images", "generator"


@dataclass(frozen=True)
class OneOff:
    """One way, for every client."""

    way: str
    """``images``: the server sends them; ``generator``: it sends the generator, and clients draw them."""
    down: Int64
    """Bytes to each client, (clients,)."""
    drawn: Int64
    """Images that each client draws itself, (clients,)."""

    @property
    def clients(self) -> NDArray[np.bool_]:
        """Which clients are sent anything, (clients,)."""
        return self.down > 0


def nothing(clients: int) -> OneOff:
    """Return what a fill without synthetic images sends."""
    return OneOff(IMAGES, np.zeros(clients, np.int64), np.zeros(clients, np.int64))


def images(held: Holdings, shards: Manifest) -> OneOff:
    """Return the shards of the clients that train on synthetic images; of a central run, those of no client.

    A fill that starts from weights which were trained on synthetic images sends none of them.
    """
    counts = _images(held, len(shards.shards))
    size = np.array([shard.bytes for shard in shards.shards], np.int64)
    return OneOff(IMAGES, np.where(counts > 0, size, 0), np.zeros_like(counts))


def generator(held: Holdings, clients: int, size: int) -> OneOff:
    """Return the generator, of ``size`` bytes, for each client that trains on synthetic images, which it then draws."""
    counts = _images(held, clients)
    return OneOff(GENERATOR, np.where(counts > 0, size, 0).astype(np.int64), counts)


def _images(held: Holdings, clients: int) -> Int64:
    """Return how many different synthetic images each client trains on, (clients,)."""
    counts = np.zeros(clients, np.int64)
    for name, rows in held.rows.items():
        if (name == SYNTHETIC or name.startswith(f"{SYNTHETIC}-")) and len(rows) == clients:
            counts += np.array([len(np.unique(own)) for own in rows], np.int64)
    return counts
