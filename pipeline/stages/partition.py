"""Stage ``partition``: look at every picture of the data set, and give every real training image to a client."""

import numpy as np

from pipeline import ledger, progress
from pipeline.artifacts.partition import Partition, Source
from pipeline.clients import owners
from pipeline.clients.partition import partition
from pipeline.data import decoded, histograms
from pipeline.data.decoded import Decoded
from pipeline.generation import words
from pipeline.params import Params
from pipeline.reporting import heatmap, inventory, skew
from pipeline.reporting.deficits import holders
from pipeline.workspace import Workspace


@ledger.accounted("partition")
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
    spoken = words.for_classes(data.class_names, words.read(workspace, params.generate))
    owned = owners.given(params.partition, _split(data), workspace.at(""))
    chosen, clients = partition(data.train_labels, len(data.class_names), params.partition, params.seed, owned)
    order = np.lexsort((chosen, clients))
    rows, clients = data.train_rows[chosen[order]], clients[order]
    mean, std = histograms.moments(histograms.of_rows(data.train.pixels, rows))
    made = Partition(
        rows=rows,
        clients=clients.astype(np.int32),
        labels=data.train.labels[rows].astype(np.int32),
        class_names=data.class_names,
        client_count=owned.count if owned else params.partition.drawn_clients,
        image_size=data.image_size,
        fingerprint=data.fingerprint,
        source=Source(data.train.path.stem, len(data.train)),
        mean=mean,
        std=std,
        client_names=owned.names if owned else None,
    )
    heatmap.save(workspace.partition_picture, made.counts(), made.class_names, "real images", made.client_names)
    made.save(workspace.partition)
    for remark in (*(owned.remarks if owned else ()), *holders(made)):
        progress.say(f"partition: {remark}")
    progress.say(f"partition: {len(rows)} images over {made.client_count} clients, {len(made.class_names)} classes")
    progress.say(f"partition: {skew.line(skew.measure('none', made.counts(), params.seed))}")
    for line in words.lines(data.class_names, spoken):
        progress.say(f"partition: {line}")


def _split(data: Decoded) -> owners.Split:
    """Return the training split as schemes see it that do not draw who holds which image."""
    whole = data.source.whole()

    def files() -> list[str] | None:
        return [str(file) for file in whole.column("file")] if "file" in whole.columns else None

    return owners.Split(data.split_rows, len(whole), whole.column, files)
