"""What the report's page says: the sections, made of the numbers and of the artifacts that they come from."""

from collections.abc import Callable, Sequence

from pipeline.artifacts import deficits, holdings, manifest, partition
from pipeline.data import decoded
from pipeline.params import Params
from pipeline.reporting import settings
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.network.study import Study
from pipeline.reporting.page import Page, Section, Settings, Verdict
from pipeline.reporting.sections import clients, cost, images, ledger, network, quality, results, skew
from pipeline.reporting.summary import Summary
from pipeline.reporting.verdict import chosen, headline, replicates
from pipeline.workspace import Workspace

_NOTHING = "No verdict: the compared fill was not trained beside a control."


def page(
    workspace: Workspace,
    params: Params,
    summary: Summary,
    arms: Sequence[ArmRuns],
    studied: Study,
    describe: Callable[[str], str],
) -> Page:
    """Return the page's content; ``studied`` are the runs on networks, ``describe`` says in a sentence what a fill is.

    Raises ArtifactError if an artifact is missing or damaged, DataError if the real images are not the partition's.
    """
    split, shards = partition.load(workspace.partition), manifest.load(workspace.manifest)
    lacks = deficits.load(workspace.deficits)
    real, judged = decoded.open_data(workspace, params.data), quality.load(workspace.quality)
    split.check_source(real.fingerprint, params.data.path)
    places = {fill: place for place, fill in enumerate(dict.fromkeys(arm.fill for arm in summary.arms))}
    held = [holdings.load(workspace.fill(name)) for name in places]
    fills = {fill: describe(fill) for fill in (*places, *(one.fill for one in summary.references))}
    which = f"{split.client_count} clients, {len(split.class_names)} classes, {settings.scheme(params.partition)}"
    run = settings.table(params, split, shards, real.inventory, lacks)
    tested = f"{sum(real.inventory.test_counts):,}"
    return Page(
        title="gen-fedsd report",
        heading=f"Does filling the missing classes help? {which}",
        verdict=verdict(summary),
        remarks=summary.remarks,
        sections=[
            results.make(summary, places, fills, settings.local_work(params.train), params.train.central_steps),
            results.curves(summary, arms, places),
            quality.make(judged, workspace.evaluation / "copies.png"),
            images.make(params.report.images_per_class, split, shards, real.train, judged),
            clients.make(summary, arms, places, split.class_names),
            cost.make(summary, places, weight_bytes(arms)),
            network.make(summary, studied, places),
            skew.make(summary, held, split, lacks, places),
            ledger.make(summary, arms, shards),
            Section("What was run", [Settings({**run, "test images": tested, "manifest": summary.manifest})]),
        ],
    )


def verdict(summary: Summary) -> Verdict:
    """Return the difference from the best control, and how sure it is."""
    found = chosen(summary.verdicts)
    if found is None:
        return Verdict(_NOTHING)
    difference = found.best.difference
    facts = [
        (f"{100 * difference.mean:+.1f}", "points against the best control"),
        (f"{100 * found.weakest.difference.mean:+.1f}", "points against the weakest control"),
        (replicates(difference.partitions, difference.replicates), ""),
    ]
    return Verdict(headline(summary), difference.clear, (), facts)


def weight_bytes(arms: Sequence[ArmRuns]) -> str:
    """Return how many bytes one client receives in one round, or from how many to how many if arms differ."""
    sent = sorted(set().union(*(arm.sent() for arm in arms)))
    if not sent:
        return "0"
    return f"{sent[0]:,}" if len(sent) == 1 else f"{sent[0]:,} to {sent[-1]:,}"
