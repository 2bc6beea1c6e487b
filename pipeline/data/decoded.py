"""The data set as every stage uses it: each split decoded once, in its own order, at one size, and looked at whole.

Arrays are found by content, so another partition, seed, workspace or place of the data set decodes nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.inventory import Bad, Duplicates, Inventory, SplitInventory
from pipeline.data import decoding, images
from pipeline.data.arrays import Stored
from pipeline.data.decoding import Split
from pipeline.data.domains import Domains
from pipeline.data.images import Images
from pipeline.errors import DataError
from pipeline.params import DataParams
from pipeline.workspace import Workspace

Int64 = NDArray[np.int64]
_EXAMPLES = 20


@dataclass(frozen=True)
class Decoded:
    """The good pictures of both splits, and what the data set holds."""

    train: Stored
    """All good pictures of the training split."""
    train_rows: Int64
    """Its rows that clients can get: all but held-out ones."""
    split_rows: Int64
    """The same pictures as rows of the training split, which counts bad pictures too."""
    test: Stored
    """All good pictures of the split that models are tested on; the training split, if test pictures are held out."""
    test_rows: Int64 | None
    """Its rows on which models are tested; None: all."""
    source: Images
    """The training split."""
    inventory: Inventory
    where: str
    """The data set, as params.yaml names it."""
    domains: Domains | None = None
    """Of all rows of ``train``; None without ``data.group_column``."""
    test_domains: Domains | None = None
    """Of all rows of ``test``; those of the training split come first, also where ``test`` has none of them."""

    @property
    def train_labels(self) -> Int64:
        """The label of each row of ``train_rows``."""
        return self.train.labels[self.train_rows]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.source.class_names

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return self.source.image_size

    @property
    def fingerprint(self) -> str:
        """Identifies the training images and their labels by content."""
        return self.source.fingerprint

    def refuse_bad(self) -> None:
        """Raise DataError if a picture cannot be used and ``data.on_bad`` does not say to leave it out, or none can."""
        known = self.inventory
        if known.bad and known.on_bad == "refuse":
            split, first = next((split, split.bad[0]) for split in known.splits if split.bad)
            what = f"{known.bad} pictures cannot be used, the first: {first.name} ({first.why})"
            fix = (
                "repair or remove them, or set data.on_bad: skip; gen-fedsd partition lists them in data/inventory.json"
            )
            raise DataError(what, f"{self.where}, split {split.name!r}", fix)
        for name, counts in (("train", known.train_counts), ("test", known.test_counts)):
            if not sum(counts):
                raise DataError(f"no {name} picture can be used", self.where, "see data/inventory.json")


def open_data(workspace: Workspace, params: DataParams) -> Decoded:
    """Return the data set, from the cache or decoded.

    Raises DataError if it cannot be read, or holds bad pictures and the parameters do not say to leave them out.
    """
    found = look(workspace, params)
    found.refuse_bad()
    return found


def look(workspace: Workspace, params: DataParams) -> Decoded:
    """Return the data set as ``open_data`` does, but do not refuse bad pictures."""
    train = images.load(params, params.train, workspace.at(""))
    test = images.load(params, params.test, workspace.at(""))
    first = decoding.split(workspace.arrays, train.whole(), f"look at {params.train}")
    held_out = params.test is None
    second = first if held_out else decoding.split(workspace.arrays, test.whole(), f"look at {params.test}")
    train_rows, test_rows = (_rows(split, one) for split, one in ((first, train), (second, test)))
    return Decoded(
        train=first.stored,
        train_rows=train_rows,
        split_rows=first.found.kept[train_rows],
        test=second.stored,
        test_rows=test_rows if len(test_rows) < len(second.stored) else None,
        source=train,
        inventory=_inventory(params, (train, first, train_rows), (test, second, test_rows)),
        where=params.path,
        domains=_domains(train, first),
        test_domains=_domains(test, second),
    )


def _domains(images: Images, split: Split) -> Domains | None:
    """Return the domains of the good pictures of a split."""
    return None if images.domains is None else images.domains.at(split.found.kept)


def _rows(split: Split, chosen: Images) -> Int64:
    """Return the rows of a split's array that are chosen; bad pictures are not among them."""
    return np.flatnonzero(np.isin(split.found.kept, chosen.split_rows))


_Part = tuple[Images, Split, Int64]


def _inventory(params: DataParams, train: _Part, test: _Part) -> Inventory:
    splits = [_split(params.train, train)]
    if params.test is not None:
        splits.append(_split(params.test, test))
    names = train[0].class_names
    counts = [
        tuple(np.bincount(split.stored.labels[rows], minlength=len(names)).tolist()) for _, split, rows in (train, test)
    ]
    return Inventory(
        class_names=names,
        label_texts=train[0].label_texts,
        train_counts=counts[0],
        test_counts=counts[1],
        holdout=params.holdout,
        image_size=train[0].image_size,
        background=params.background,
        on_bad=params.on_bad,
        splits=tuple(splits),
        duplicates=_duplicates(train, test),
    )


def _split(name: str, part: _Part) -> SplitInventory:
    source, found = part[0].whole(), part[1].found
    return SplitInventory(
        name=name,
        array=part[1].stored.path.stem,
        rows=found.rows,
        bad=tuple(Bad(row, source.name(row), why) for row, why in found.bad),
        skipped=tuple((one.path, one.why) for one in source.skipped),
        modes=found.modes,
        sizes=found.sizes,
        animated=found.animated,
        remarks=source.remarks,
    )


def _duplicates(train: _Part, test: _Part) -> Duplicates:
    """Count pictures of equal pixels; the first of several counts as no duplicate."""
    digests = np.concatenate([split.digests[rows] for _, split, rows in (train, test)])
    labels = np.concatenate([split.stored.labels[rows] for _, split, rows in (train, test)])
    trained = len(train[2])
    if not len(digests):
        return Duplicates(0, 0, 0, 0, ())
    # Equal pictures get the number of their group; `first` is each group's first picture.
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    repeats = np.arange(len(group)) != first[group]
    tests = np.arange(len(group)) >= trained
    in_train = np.bincount(group[:trained], minlength=len(first)) > 0
    between = tests & in_train[group]
    _, first_test = np.unique(group[trained:], return_index=True)
    lowest, highest = np.full(len(first), labels.max() + 1), np.full(len(first), -1)
    np.minimum.at(lowest, group, labels)
    np.maximum.at(highest, group, labels)
    mixed = (lowest != highest)[group]

    def name(place: int) -> str:
        source, split, rows = train if place < trained else test
        return source.whole().name(int(split.found.kept[rows[place - (0 if place < trained else trained)]]))

    worst = np.flatnonzero(repeats)[np.argsort(-(2 * mixed + between)[repeats], kind="stable")]
    return Duplicates(
        train=int(repeats[:trained].sum()),
        test=int(tests.sum()) - len(first_test),
        labels=int(mixed.sum()),
        between=int(between.sum()),
        examples=tuple((name(int(first[group[place]])), name(int(place))) for place in worst[:_EXAMPLES]),
    )
