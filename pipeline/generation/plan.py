"""The plan: which images the deficits ask for. A pure function of recipe and deficits."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.generation.recipe import COMMON, ImageSpec, Recipe


@dataclass(frozen=True)
class Want:
    """The first ``count`` images of one class in one lane."""

    lane: str
    class_name: str
    """The name that prompts call the class by."""
    label: int
    count: int


@dataclass(frozen=True)
class Plan:
    """The images of every client; a client's part hangs on its own deficits only."""

    recipe: Recipe
    missing: NDArray[np.int64]
    """Images to make for each client and label, (clients, classes)."""
    class_names: Sequence[str]
    """The data set's, in order of label."""
    prompt_names: Sequence[str]
    """What prompts call the classes; images are known by these names."""
    sharing: str
    """``own``: each client has its lane; ``common``: one lane serves all."""

    def lane(self, client: int) -> str:
        """Return the lane that a client's images come from."""
        return str(client) if self.sharing == "own" else COMMON

    def of(self, client: int) -> list[Want]:
        """Return what one client wants, in order of label; classes it lacks nothing of are left out."""
        counts, lane = self.missing[client], self.lane(client)
        return [Want(lane, self.prompt_names[i], i, int(counts[i])) for i in np.flatnonzero(counts).tolist()]

    def distinct(self, clients: Sequence[int] | None = None) -> Iterator[Want]:
        """Yield what must exist for these clients (default: all), each image once."""
        chosen = range(len(self.missing)) if clients is None else clients
        if self.sharing == "own":
            for client in chosen:
                yield from self.of(client)
        elif len(chosen):
            most = self.missing[list(chosen)].max(axis=0)
            for label in np.flatnonzero(most).tolist():
                yield Want(COMMON, self.prompt_names[label], label, int(most[label]))

    def digest(self, client: int) -> str:
        """Return the identity of one client's part, 16 hexadecimal digits."""
        wants = [[want.label, want.class_name, want.count] for want in self.of(client)]
        text = json.dumps([self.recipe.digest, client, self.lane(client), list(self.class_names), wants])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def batches(specs: Iterable[ImageSpec], size: int) -> Iterator[list[ImageSpec]]:
    """Yield the specs in lists of ``size``, mixing clients and classes but not guidance scales.

    Only the last batch of each scale may be smaller. Holds less than one batch of each scale.
    """
    groups: dict[float, list[ImageSpec]] = {}
    for spec in specs:
        group = groups.setdefault(spec.guidance, [])
        group.append(spec)
        if len(group) == size:
            yield groups.pop(spec.guidance)
    yield from groups.values()
