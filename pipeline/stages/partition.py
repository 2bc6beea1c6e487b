"""Stage ``partition``: give every real training image to a client."""

import numpy as np

from pipeline import progress
from pipeline.artifacts.partition import Partition
from pipeline.clients.partition import partition
from pipeline.data import images
from pipeline.generation import words
from pipeline.params import Params
from pipeline.reporting import heatmap
from pipeline.workspace import Workspace


def run(workspace: Workspace, params: Params) -> None:
    """Read the training labels, write the partition and its picture."""
    source = images.load(params.data, params.data.train, workspace.root)
    spoken = words.for_classes(source.class_names, words.read(workspace, params.generate))
    rows, clients = partition(source.labels, len(source.class_names), params.partition, params.seed)
    order = np.lexsort((rows, clients))
    rows, clients = rows[order], clients[order]
    made = Partition(
        rows=rows,
        clients=clients.astype(np.int32),
        labels=source.labels[rows].astype(np.int32),
        class_names=source.class_names,
        client_count=params.partition.clients,
        image_size=source.image_size,
        fingerprint=source.fingerprint,
    )
    made.save(workspace.partition)
    heatmap.save(workspace.partition_picture, made.counts(), made.class_names, "real images")
    progress.say(f"partition: {len(rows)} images over {made.client_count} clients, {len(made.class_names)} classes")
    for line in words.lines(source.class_names, spoken):
        progress.say(f"partition: {line}")
