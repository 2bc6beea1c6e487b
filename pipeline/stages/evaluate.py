"""Stage ``evaluate``: say whether the synthetic images are good, class by class, beside what real images reach."""

import numpy as np

from pipeline import atomic, ledger, progress
from pipeline.artifacts import manifest, partition
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.partition import Partition
from pipeline.artifacts.quality import Report
from pipeline.data import arrays, decoded
from pipeline.errors import ArtifactError
from pipeline.evaluation import flags, sides
from pipeline.evaluation.evaluate import Subject, evaluate
from pipeline.evaluation.sides import Side
from pipeline.params import Params
from pipeline.reporting import copies
from pipeline.workspace import Workspace


@ledger.accounted("evaluate", lambda given: (given["device"],))
def run(workspace: Workspace, params: Params, device: str = "cpu") -> Report:
    """Write the quality of the synthetic images and the picture of copies; return what was written.

    With a gate, the images are those that passed it. ``device`` is used by pre-trained judges and extractors. No number
    depends on the test split. Raises ArtifactError if the shards are not of the partition.
    """
    split, made = partition.load(workspace.partition), manifest.load(workspace.manifest)
    _check(split, made, workspace)
    data = decoded.open_data(workspace, params.data)
    split.check_source(data.fingerprint, params.data.path)
    chosen, classes = params.evaluate, len(split.class_names)
    real = sides.reference(data, split, chosen.images_per_class, chosen.against)
    passed = arrays.synthetic if made.gate is None else arrays.gated
    images = passed(workspace.arrays, made, split.image_size)
    side = Side.of(images, np.arange(len(images)), classes, chosen.images_per_class)
    subject = Subject(side, flags.remarks(made), made.recipe, made.gate, np.array(made.refusals(), np.int64))
    report, likeness = evaluate(workspace, params, real, subject, made.prompt_names or made.class_names, device)
    sheet = copies.draw(side, real, likeness)
    with atomic.replacing(workspace.evaluation / "copies.png") as temporary:
        sheet.save(temporary, "PNG")
    report.save(workspace.quality)
    for line in report.left_out:
        progress.say(f"evaluate: {line}")
    progress.say(f"evaluate: {report.sentence}")
    return report


def _check(split: Partition, made: Manifest, workspace: Workspace) -> None:
    """Raise ArtifactError unless the shards are of the partition's classes and clients."""
    if (made.class_names, len(made.shards)) != (split.class_names, split.client_count):
        raise ArtifactError("the shards are of another partition", workspace.manifest, "run: dvc repro generate")
