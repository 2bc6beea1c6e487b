"""What fills are made from: the artifacts of the earlier stages, each read once, when a fill asks for it."""

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline import seeds
from pipeline.artifacts import deficits, holdings, manifest, pairs, partition
from pipeline.artifacts.deficits import Deficits
from pipeline.artifacts.holdings import Holdings, sizes
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.partition import Partition, Source
from pipeline.data import arrays, decoded
from pipeline.data.arrays import Stored
from pipeline.data.decoded import Decoded
from pipeline.errors import ArtifactError, ParameterError
from pipeline.fills.common import budgets
from pipeline.params import Params
from pipeline.workspace import Workspace

Int64 = NDArray[np.int64]
REAL, SYNTHETIC, GATED, UNUSED = holdings.REAL, "synthetic", "synthetic-gated", "unused"
_CENTRAL_ROUNDS = 4  # that the steps of a central run are cut into, with a test after each


class Given:
    """The artifacts of one workspace, and the holdings that fills make from them."""

    def __init__(self, workspace: Workspace, params: Params) -> None:
        self.workspace, self.params = workspace, params

    @cached_property
    def partition(self) -> Partition:
        return partition.load(self.workspace.partition)

    @cached_property
    def counts(self) -> Int64:
        """Real images of each client and label, (clients, classes)."""
        return self.partition.counts()

    @cached_property
    def pair_counts(self) -> Int64:
        """Real images of each client, label and domain, (clients, pairs): without domains the same."""
        return self.partition.pair_counts()

    def by_class(self, counts: Int64) -> Int64:
        """Return counts (clients, pairs) summed over domains, (clients, classes)."""
        return pairs.by_class(counts, len(self.partition.class_names))

    @cached_property
    def deficits(self) -> Deficits:
        """The deficits; raises ArtifactError if they are not the partition's."""
        found = deficits.load(self.workspace.deficits)
        if found.domains != self.partition.domain_names or not np.array_equal(found.have, self.pair_counts):
            fix = "run: dvc repro deficits"
            raise ArtifactError("the deficits are of another partition", self.workspace.deficits, fix)
        return found

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest; raises ArtifactError if its shards are not of the partition's clients."""
        found = manifest.load(self.workspace.manifest)
        if len(found.shards) != self.partition.client_count:
            what = f"{len(found.shards)} shards for {self.partition.client_count} clients"
            raise ArtifactError(what, self.workspace.manifest, "run: dvc repro generate")
        if found.domains != self.partition.domain_names:
            what = "the shards are of other domains than the partition"
            raise ArtifactError(what, self.workspace.manifest, "run: dvc repro generate")
        return found

    @cached_property
    def shard_counts(self) -> Int64:
        """Synthetic images of each client and label, (clients, classes)."""
        held = np.array([shard.counts for shard in self.manifest.shards], np.int64)
        return self.by_class(held.reshape(self.pair_counts.shape))

    @cached_property
    def decoded(self) -> Decoded:
        """The data set, from the cache or decoded; raises DataError if it is not the one that was partitioned."""
        found = decoded.open_data(self.workspace, self.params.data)
        self.partition.check_source(found.fingerprint, self.params.data.path)
        return found

    @cached_property
    def synthetic_images(self) -> Stored:
        """All clients' synthetic images in order of client, from the cache or decoded; no gate chooses among them."""
        return arrays.synthetic(self.workspace.arrays, self.manifest, self.partition.image_size)

    @cached_property
    def gated_images(self) -> Stored:
        """As many images that passed the gate, from the cache or decoded."""
        return arrays.gated(self.workspace.arrays, self.manifest, self.partition.image_size)

    def check_gate(self, fill: str) -> None:
        """Raise ParameterError if no gate chose among the shards' images."""
        if self.manifest.gate is None:
            fix = "set it, e.g. to {judge: {model: trained}}, and run: dvc repro generate; or leave the fill out"
            what = f"the fill {fill} needs a gate, and the shards were made without one"
            raise ParameterError(what, "params.yaml, generate.gate", fix)

    def source(self, name: str) -> Source:
        """Return how holdings name one of the sources that several fills share."""
        if name == REAL:
            return self.partition.source
        made, size = self.manifest, self.partition.image_size
        return Source(arrays.gated_name(made, size) if name == GATED else arrays.synthetic_name(made, size), made.rows)

    def rows(self, name: str) -> tuple[Int64, ...]:
        """Return the rows of such a source that belong to each client.

        Of those that passed the gate each client has as many as of any synthetic ones.
        """
        if name == REAL:
            return self.partition.by_client()
        return stretches(np.array([shard.rows for shard in self.manifest.shards], np.int64))

    @cached_property
    def kept(self) -> tuple[Int64, ...]:
        """The real images of each client that stay beside images for its gaps: all but the deficits' surplus.

        Which ones leave is drawn by the root seed; all fills that fill gaps leave out the same ones.
        """
        labels, surplus = self.partition.pairs, self.deficits.surplus
        ends = np.cumsum(self.counts.sum(axis=1))
        stays = np.split(np.ones(len(labels), np.bool_), ends[:-1])
        own_labels = np.split(labels, ends[:-1])
        for client, label in np.argwhere(surplus).tolist():
            rng = seeds.generator(self.params.seed, "fills", "surplus", client, label)
            places = rng.permutation(np.flatnonzero(own_labels[client] == label))
            stays[client][places[: surplus[client, label]]] = False
        return tuple(rows[left] for rows, left in zip(self.partition.by_client(), stays, strict=True))

    @property
    def kept_counts(self) -> Int64:
        """Images of ``kept`` by client and label, (clients, classes)."""
        return self.counts - self.by_class(self.deficits.surplus)

    def holdings(
        self, fill: str, sources: Mapping[str, Source], rows: Mapping[str, tuple[Int64, ...]], counts: Int64
    ) -> Holdings:
        """Return the holdings of clients that train on these rows, with the samples of both budgets.

        ``counts`` are the images of each client and class, (clients, classes).
        """
        samples = budgets.by_budget(sizes(rows), self.deficits.filled.sum(axis=1), self.params.train)
        return self._holdings(fill, sources, rows, counts, self.counts.sum(axis=1), samples)

    def central(self, fill: str, name: str) -> Holdings:
        """Return the holdings of one client that has all images of a source and takes ``central_steps`` in all."""
        sources = {REAL: self.source(REAL), name: self.source(name)}
        held, none = np.concatenate(self.rows(name)), np.empty(0, np.int64)
        counts = (self.counts if name == REAL else self.shard_counts).sum(axis=0, keepdims=True)
        rows = {source: (held if source == name else none,) for source in sources}
        each = -(-self.params.train.central_steps // _CENTRAL_ROUNDS) if len(held) else 0
        samples = {"steps": np.array([each * self.params.train.batch_size])}
        return self._holdings(fill, sources, rows, counts, np.array([self.counts.sum()]), samples, _CENTRAL_ROUNDS)

    def _holdings(
        self,
        fill: str,
        sources: Mapping[str, Source],
        rows: Mapping[str, tuple[Int64, ...]],
        counts: Int64,
        own: Int64,
        samples: Mapping[str, Int64],
        rounds: int | None = None,
    ) -> Holdings:
        split = self.partition
        return Holdings(
            fill=fill,
            sources=sources,
            rows=rows,
            samples=samples,
            own=own,
            mean=split.mean,
            std=split.std,
            rounds=rounds,
            class_names=split.class_names,
            image_size=split.image_size,
            counts=counts,
        )


def stretches(sizes: Int64) -> tuple[Int64, ...]:
    """Return the rows of each client in an array that holds one client after another."""
    ends = np.cumsum([0, *sizes.tolist()])
    return tuple(np.arange(start, stop) for start, stop in pairwise(ends))
