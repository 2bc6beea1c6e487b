"""Stage ``partition``: look at every picture of the data set, and give every real training image to a client."""

import numpy as np

from pipeline import progress
from pipeline.artifacts.partition import Partition, Source
from pipeline.clients.partition import partition
from pipeline.data import decoded, histograms
from pipeline.params import Params
from pipeline.reporting import heatmap, inventory
from pipeline.workspace import Workspace


def run(workspace: Workspace, params: Params) -> None:
    """Write what the data set holds, then the partition and its picture.

    Raises DataError, before anything is partitioned, if the data set cannot be read or holds bad pictures, of which
    all are listed then.
    """
    data = decoded.look(workspace, params.data)
    data.inventory.save(workspace.inventory)
    for line in inventory.lines(data.inventory, workspace.inventory):
        progress.say(line)
    data.refuse_bad()
    chosen, clients = partition(data.train_labels, len(data.class_names), params.partition, params.seed)
    order = np.lexsort((chosen, clients))
    rows, clients = data.train_rows[chosen[order]], clients[order]
    mean, std = histograms.moments(histograms.of_rows(data.train.pixels, rows))
    made = Partition(
        rows=rows,
        clients=clients.astype(np.int32),
        labels=data.train.labels[rows].astype(np.int32),
        class_names=data.class_names,
        client_count=params.partition.clients,
        image_size=data.image_size,
        fingerprint=data.fingerprint,
        source=Source(data.train.path.stem, len(data.train)),
        mean=mean,
        std=std,
    )
    heatmap.save(workspace.partition_picture, made.counts(), made.class_names, "real images")
    made.save(workspace.partition)
    progress.say(f"partition: {len(rows)} images over {made.client_count} clients, {len(made.class_names)} classes")
