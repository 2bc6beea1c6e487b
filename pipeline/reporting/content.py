"""What the report's page says: the sections, made of the numbers and of the artifacts that they come from."""

from collections.abc import Callable, Sequence

from pipeline.artifacts import deficits, holdings, manifest, partition
from pipeline.artifacts.partition import Partition
from pipeline.data import decoded
from pipeline.data.decoded import Decoded
from pipeline.params import Params
from pipeline.reporting import sections, settings
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.page import Page, Section, Settings, Sheets, Text, Verdict
from pipeline.reporting.sections import clients, cost, images, results, skew
from pipeline.reporting.summary import Summary
from pipeline.workspace import Workspace


def page(
    workspace: Workspace, params: Params, summary: Summary, arms: Sequence[ArmRuns], describe: Callable[[str], str]
) -> Page:
    """Return the page's content; ``describe`` says in one sentence what a fill is.

    Raises ArtifactError if an artifact is missing or damaged, DataError if the real images are not those that were
    partitioned.
    """
    split, shards = partition.load(workspace.partition), manifest.load(workspace.manifest)
    lacks = deficits.load(workspace.deficits)
    real = decoded.open_data(workspace, params.data)
    split.check_source(real.fingerprint, params.data.path)
    places = {fill: place for place, fill in enumerate(dict.fromkeys(arm.fill for arm in summary.arms))}
    names = list(places)
    fills = {fill: describe(fill) for fill in names}
    return Page(
        title="gen-fedsd report",
        heading=f"Does filling the missing classes help? {split.client_count} clients, {len(split.class_names)} classes, "
        f"{settings.scheme(params.partition)}",
        verdict=Verdict(headline(summary)),
        remarks=summary.remarks,
        sections=[
            results.make(summary, places, fills, settings.local_work(params.train)),
            results.curves(summary, arms, places),
            clients.make(summary, arms, places, split.class_names),
            cost.make(summary, places, weight_bytes(arms), f"{sum(shard.bytes for shard in shards.shards) / 1e6:.1f}"),
            skew.make(summary, [holdings.load(workspace.fill(name)) for name in names], split, lacks, places),
            Section("The images", [Sheets(images.sheets({"real": images.of_real(params.report.images_per_class, split, real.train), "synthetic": images.of_synthetic(params.report.images_per_class, split, shards)}, split.class_names[:30]))]),
            Section("What was run", [Settings(settings.table(params, split, shards, real.inventory, lacks))]),
            Section("Wall time", [Settings(settings.times(workspace.timings)), Text("Time of the last run of each stage on this machine; a stage that found its images or runs in the cache was short.")]),
        ],
    )


def headline(summary: Summary) -> str:
    """Return the first algorithm's differences from its first control, and the smallest difference from any control."""
    if not summary.comparisons:
        return ""
    first = summary.comparisons[0]
    mine = [one for one in summary.comparisons if one.algorithm == first.algorithm]
    beside = [one for one in mine if one.control == first.control]
    parts = [f"{one.difference.percent(signed=True)} points at equal {one.budget}" for one in beside]
    text = f"The fill {first.fill} changes the accuracy of {first.algorithm} by {' and '.join(parts)}"
    text = f"{text}, compared with the fill {first.control}."
    least = min(mine, key=lambda one: one.difference.mean)
    if least.control != first.control:
        gain = least.difference.percent(signed=True)
        text += f" Its smallest difference from any fill is {gain} points ({least.control}, equal {least.budget})."
    return text


def weight_bytes(arms: Sequence[ArmRuns]) -> str:
    """Return how many bytes one client receives in one round, or from how many to how many if arms differ."""
    sent = sorted(set().union(*(arm.sent() for arm in arms)))
    if not sent:
        return "0"
    return f"{sent[0]:,}" if len(sent) == 1 else f"{sent[0]:,} to {sent[-1]:,}"
