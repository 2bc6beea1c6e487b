"""Stage ``report``: one page for people, and the same numbers as DVC metrics and plots."""

from pipeline import atomic, progress
from pipeline.artifacts import holdings, manifest, partition
from pipeline.artifacts.partition import Partition
from pipeline.params import Params
from pipeline.reporting import arms, content, curves, page, skew, summary
from pipeline.reporting.skew import FillSkew
from pipeline.reporting.summarise import summarise
from pipeline.workspace import Workspace


def run(workspace: Workspace, params: Params) -> None:
    """Read what the other stages wrote; write the page, the metrics and the curves.

    Raises ArtifactError if an artifact is missing or damaged.
    """
    split = partition.load(workspace.partition)
    names = split.class_names
    federated = arms.ordered(
        [
            arm
            for algorithm in params.train.algorithms
            for fill in params.train.fills
            for arm in arms.read(workspace.run(fill, algorithm), names)
        ]
    )
    central = [arm for fill in params.train.references for arm in arms.read(workspace.run(fill, "fedavg"), names)]
    numbers = summarise(
        federated,
        central,
        target=params.report.target_accuracy,
        fill=params.report.fill,
        class_names=names,
        manifest=atomic.sha256(manifest.load(workspace.manifest).place),
        skew=_skew(workspace, params, split),
    )
    from pipeline import fills  # its files can load torchvision

    text = page.render(content.page(workspace, params, numbers, federated, fills.describe))
    curves.save(workspace.report_curves, federated)
    summary.save(workspace.report_metrics, numbers)
    atomic.write_text(workspace.report_page, text)
    for remark in numbers.remarks:
        progress.say(f"report: {remark}")
    progress.say(f"report: {workspace.report_page}")


def _skew(workspace: Workspace, params: Params, split: Partition) -> tuple[FillSkew, ...]:
    """Return the skew of the real images, and of what clients hold with each fill that is trained."""
    filled = {fill: holdings.load(workspace.fill(fill)).counts for fill in params.train.fills}
    return skew.of_fills(split.counts(), filled, params.seed)
