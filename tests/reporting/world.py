"""A small experiment that was run already, written without running it: every artifact that a report reads."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.artifacts import history, shards
from pipeline.artifacts.deficits import Deficits
from pipeline.artifacts.gate import Gate, Score
from pipeline.artifacts.history import RunHistory
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.inventory import Bad, Duplicates, Inventory, SplitInventory
from pipeline.artifacts.manifest import REFUSED, File, Manifest, Refused, Shard, file_name
from pipeline.artifacts.partition import Partition, Source
from pipeline.artifacts.spec import ImageSpec
from pipeline.data import images
from pipeline.params import Params
from pipeline.workspace import Workspace

RECIPE: dict[str, Any] = {
    "model": "0123456789abcdef0123456789abcdef",
    "steps": 2,
    "guidance": [2.0],
    "dtype": "float32",
    "image_format": "png",
    "image_size": 16,
    "prompts": {"templates": ["one {class}"]},
}
FILLED = ((), (0, 0, 2), (1, 2), (0,))
"""The labels of each client's synthetic images."""


def partition(params: Params) -> Partition:
    """Return the 60 training images over 4 clients, 15 each in order: 20 of each label are 15 + 5, 10 + 10, 5 + 15."""
    real = images.load(params.data, params.data.train)
    count = len(real.labels)
    return Partition(
        rows=np.arange(count),
        clients=np.repeat(np.arange(4, dtype=np.int32), count // 4),
        labels=real.labels.astype(np.int32),
        class_names=real.class_names,
        client_count=4,
        image_size=real.image_size,
        fingerprint=real.fingerprint,
        source=Source("real", count),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )


def inventory() -> Inventory:
    """Return what the data set holds: 60 and 12 good pictures, two bad ones, three other files."""
    bad = (Bad(3, "a.png", "damaged"), Bad(9, "b.png", "damaged"))
    skipped = (("notes.txt", "no picture"),) * 3
    train = SplitInventory("train", "real", 62, bad, skipped, {"RGB": 60}, {"16x16": 60}, 0, ())
    twins = Duplicates(0, 0, 0, 0, ())
    return Inventory((), (), (20,) * 3, (4,) * 3, None, 16, "white", "skip", (train,), twins)


def png(shade: int) -> bytes:
    """Return a grey picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def manifest(
    place: Path, class_names: Sequence[str], recipe: dict[str, Any] = RECIPE, gate: Gate | None = None
) -> Manifest:
    """Write the clients' shards beside ``place``; image ``i`` of client ``c`` has the shade 40 c + 10 i.

    A gate refuses the first image of each client, which has the shade 250 + c; all others come one index later.
    """
    lines = []
    for client, labels in enumerate(FILLED):
        columns, score = (shards.COLUMNS, None) if gate is None else (shards.GATED, Score(0, 0, 0.5))
        indices = [labels[:i].count(label) for i, label in enumerate(labels)]
        if gate is not None:
            indices = [index + (label == labels[0]) for index, label in zip(indices, labels, strict=True)]

        def row(shade: int, label: int, index: int, client: int = client, score: Score | None = score) -> shards.Row:
            return shards.row_of(png(shade), label, client, "", "r", spec(client, index), score)

        def write(
            rows: list[shards.Row], folder: Path, client: int = client, columns: Any = columns
        ) -> tuple[File, ...]:
            header, path = {"client": client, "recipe": "r" * 16, "plan": "p"}, folder / file_name(client)
            return tuple(File.of(*it) for it in shards.write(lambda _: path, rows, class_names, header, 10**9, columns))

        rows = [row(40 * client + 10 * i, *it) for i, it in enumerate(zip(labels, indices, strict=True))]
        counts = tuple(np.bincount(labels, minlength=len(class_names)).tolist()) if labels else (0,) * len(class_names)
        folder, line = place.with_name("shards"), None
        if gate is not None:
            first = tuple(int(bool(labels) and label == labels[0]) for label in range(len(class_names)))
            refused = write([row(250 + client, labels[0], 0)], folder / REFUSED) if labels else ()
            line = Refused(first, first, refused)
        lines.append(Shard(client, "p", counts, write(rows, folder), line))
    made = Manifest("r" * 16, recipe, "own", tuple(class_names), tuple(lines), place, None, gate)
    made.save()
    return made


def spec(client: int, index: int) -> ImageSpec:
    return ImageSpec(str(client), "", index, 0, index, 1.0, "", "")


def deficits(split: Partition) -> Deficits:
    """Return the deficits that the synthetic images fill: 0, 3, 2 and 1 images."""
    have = split.counts()
    missing = np.array([np.bincount(labels, minlength=have.shape[1]) for labels in map(list, FILLED)]).astype(np.int64)
    return Deficits(have, have + missing, missing, np.zeros_like(have), split.class_names)


def hold(split: Partition, fill: str) -> Holdings:
    """Return holdings of the real images; with another fill than ``none`` each client holds its first one once more."""
    once, more = split.by_client(), 0 if fill == "none" else 1
    rows = tuple(np.concatenate([own, own[:more]]) for own in once)
    labels = dict(zip(split.rows.tolist(), split.labels.tolist(), strict=True))
    counts = np.array([np.bincount([labels[row] for row in own.tolist()], minlength=3) for own in rows])
    own, normal = split.counts().sum(axis=1), (split.mean, split.std)
    samples, sources = {"epochs": counts.sum(axis=1)}, {"real": split.source}
    return Holdings(fill, sources, {"real": rows}, samples, own, *normal, None, split.class_names, 16, counts)


def write(workspace: Workspace, params: Params, runs: Sequence[RunHistory], fills: Sequence[str] = ()) -> None:
    """Write partition, holdings, deficits, shards, manifest, and the histories by fill and algorithm."""
    split = partition(params)
    split.save(workspace.partition)
    have = split.counts()
    for fill in {*fills, *(run.fill for run in runs)}:
        hold(split, fill).save(workspace.fill(fill))
    deficits(split).save(workspace.deficits)
    manifest(workspace.manifest, split.class_names)
    for fill, algorithm in dict.fromkeys((run.fill, run.algorithm) for run in runs):
        mine = [run for run in runs if (run.fill, run.algorithm) == (fill, algorithm)]
        history.save(workspace.run(fill, algorithm), mine, split.class_names, have)
