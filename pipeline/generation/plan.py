"""The plan: which images the deficits ask for. A pure function of recipe, deficits and refused images."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import spec as specs
from pipeline.artifacts.gate import Gate
from pipeline.artifacts.spec import ImageSpec
from pipeline.generation.recipe import Recipe


@dataclass(frozen=True)
class Wanted:
    """A set of images of one class in one lane, so of one domain, if there are any."""

    lane: str
    class_name: str
    """The name that prompts use for the class."""
    label: int
    indices: Sequence[int]
    """Increasing; a ``range`` from 0 unless some images are refused, so that a million images take no memory."""
    domain: int | None = None
    """The domain's number, None without any."""

    def pair(self, classes: int) -> int:
        """Return the pair of class and domain that the images are of, see ``artifacts.pairs``."""
        return (self.domain or 0) * classes + self.label


@dataclass(frozen=True)
class Plan:
    """The images of every client; a client's part depends on its own deficits only.

    In every lane and class a client has the first ones that are not refused. So of two clients that share a lane, the
    indices of one that wants fewer are the first indices of the other.
    """

    recipe: Recipe
    missing: NDArray[np.int64]
    """Images to make for each client and label, (clients, classes); with domains (clients, pairs of both)."""
    class_names: Sequence[str]
    """The data set's, in order of label."""
    prompt_names: Sequence[str]
    """What prompts call the classes; images are known by these names."""
    sharing: str
    """``own``: each client has its lane; ``common``: one lane serves all."""
    gate: Gate | None = None
    """Who refuses images, if anybody."""
    refused: Mapping[tuple[str, str], Collection[int]] = field(default_factory=dict)
    """Indices that no client gets, by lane and class name (the one in prompts); later ones replace them.

    They follow from the gate's scores, so they are known only as far as images are judged.
    """
    domains: Sequence[str] = ()
    """The data set's names of its domains; empty without any."""
    domain_words: Sequence[str] = ()
    """What prompts call them; lanes have these words."""

    def lane(self, client: int, domain: int | None = None) -> str:
        """Return the lane that a client's images of a domain come from."""
        return specs.lane(
            client if self.sharing == "own" else None, None if domain is None else self.domain_words[domain]
        )

    def wanted_by(self, client: int) -> list[Wanted]:
        """Return what one client wants, in order of domain and label; classes it lacks nothing of are left out."""
        counts = self.missing[client]
        return [self._wanted(client, pair, int(counts[pair])) for pair in np.flatnonzero(counts).tolist()]

    def drawn_for(self, client: int) -> list[Wanted]:
        """Return what one client wants and what was refused before it, as far as that is known."""
        return [replace(one, indices=range(one.indices[-1] + 1)) for one in self.wanted_by(client)]

    def ungated(self, client: int) -> list[Wanted]:
        """Return what one client would want if nothing was refused: the first images of each class."""
        return replace(self, refused={}).wanted_by(client)

    def wanted(self, clients: Sequence[int] | None = None) -> Iterator[Wanted]:
        """Yield what must exist for these clients (default: all), each image once."""
        chosen = range(len(self.missing)) if clients is None else clients
        if self.sharing == "own":
            for client in chosen:
                yield from self.wanted_by(client)
        elif len(chosen):
            most = self.missing[list(chosen)].max(axis=0)
            for pair in np.flatnonzero(most).tolist():
                yield self._wanted(chosen[0], pair, int(most[pair]))

    def digest(self, client: int) -> str:
        """Return the identity of one client's part, 16 hexadecimal digits.

        Parameters and deficits decide it: the gate is a part of it, and what the gate refuses is not.
        """
        wanted = [
            [*([one.lane] if self.domains else []), one.label, one.class_name, len(one.indices)]
            for one in self.ungated(client)
        ]
        gate = [] if self.gate is None else [self.gate.digest]
        text = json.dumps([self.recipe.digest, client, self.lane(client), list(self.class_names), wanted, *gate])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _wanted(self, client: int, pair: int, number: int) -> Wanted:
        """Return what is wanted of a pair of class and domain in the lane of a client."""
        place, label = divmod(pair, len(self.class_names))
        domain = place if self.domains else None
        lane, name, indices = self.lane(client, domain), self.prompt_names[label], range(number)
        refused = self.refused and set(self.refused.get((lane, name), ()))
        if refused and any(index in indices for index in refused):
            others = (index for index in count() if index not in refused)
            return Wanted(lane, name, label, tuple(islice(others, number)), domain)
        return Wanted(lane, name, label, indices, domain)


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
