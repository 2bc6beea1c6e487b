"""Stage ``report``: one page for people, and the same numbers as DVC metrics and plots."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline import atomic, progress
from pipeline.artifacts import alone, holdings, manifest, partition
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.manifest import Manifest
from pipeline.evaluation.network.replay import networks
from pipeline.params import Params
from pipeline.reporting import arms, content, curves, kinds, ledger_page, page, remarks, skew, spending, summary
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.network import study
from pipeline.reporting.network.study import Study
from pipeline.reporting.summarise import summarise
from pipeline.reporting.summary import Summary
from pipeline.workspace import Workspace


def run(workspace: Workspace, params: Params) -> None:
    """Read what the other stages wrote; write the page, the metrics and the curves.

    Raises ArtifactError if an artifact is missing or damaged.
    """
    split, shards = partition.load(workspace.partition), manifest.load(workspace.manifest)
    names, held = split.class_names, {fill: holdings.load(workspace.fill(fill)) for fill in params.train.all_fills()}
    federated = _federated(workspace, params, names)
    central = [arm for fill in params.train.references for arm in arms.read(workspace.run(fill, "fedavg"), names)]
    shard_bytes = sum(shard.bytes for shard in shards.shards)
    numbers = summarise(
        federated,
        central,
        target=params.report.target_accuracy,
        fill=params.report.fill,
        fills=[kinds.describe(one, split, shard_bytes) for one in held.values()],
        clients=split.client_count,
        class_names=names,
        manifest=atomic.sha256(shards.place),
        alone=[model for fill in params.train.alone for model in alone.load(workspace.alone(fill))],
        skew=skew.of_fills(split.counts(), {fill: held[fill].counts for fill in params.train.fills}, params.seed),
    )
    gated = remarks.on_gate(shards.gate.name if shards.gate else None, params.train.fills)
    studied = _studied(workspace, params, federated, held, shards, numbers)
    numbers = studied.added_to(replace(numbers, remarks=(*numbers.remarks, *gated)))
    from pipeline import fills  # its files can load torchvision

    text = page.render(content.page(workspace, params, numbers, federated, studied, fills.describe))
    curves.save(workspace.report_curves, federated)
    summary.save(workspace.report_metrics, numbers)
    atomic.write_text(workspace.report_page, text)
    atomic.write_text(workspace.ledger_page, ledger_page.render(spending.of(workspace)))
    for told in (*numbers.remarks, workspace.report_page):
        progress.say(f"report: {told}")


def _federated(workspace: Workspace, params: Params, class_names: Sequence[str]) -> list[ArmRuns]:
    pairs = [(fill, algorithm) for algorithm in params.train.algorithms for fill in params.train.fills]
    return arms.ordered([arm for pair in pairs for arm in arms.read(workspace.run(*pair), class_names)])


def _studied(
    workspace: Workspace,
    params: Params,
    federated: Sequence[ArmRuns],
    held: Mapping[str, Holdings],
    shards: Manifest,
    numbers: Summary,
) -> Study:
    """Return what the runs do on the networks of the parameters."""
    return study.study(
        federated,
        held,
        shards,
        networks(params.network, params.training_seed, workspace.at("")),
        fill=params.report.fill,
        controls=[one.fill for one in numbers.fills if one.kind == "control"],
        target=params.report.target_accuracy,
    )
