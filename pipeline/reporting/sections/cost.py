"""What it costs to reach the target accuracy: bytes of weights and of images."""

from collections.abc import Mapping

from pipeline.reporting import tables
from pipeline.reporting.charts import rows
from pipeline.reporting.charts.rows import Row
from pipeline.reporting.page import Charts, Folded, Section, Shown, Text
from pipeline.reporting.sections.results import keys
from pipeline.reporting.summary import Arm, Reference, Summary

_TITLE = "Bytes moved until the target accuracy"
_MEANING = (
    "A target is reached by two tests in a row at or above it; the first of them counts. Numbers are means over the "
    "seeds that reach it. Bars have what the server sends to the clients, what they send back, and, for a fill of "
    "generated images, these images once. One-shot: one model, trained in one place on the generated images of all "
    "clients, is sent to each client once; its one test decides."
)


def make(summary: Summary, places: Mapping[str, int], weight_bytes: str) -> Section:
    """Return the section; ``weight_bytes`` are those that one client receives in one round."""
    if not any(arm.target for arm in summary.arms):
        return Section(
            _TITLE, [Text("No target: no arm without a fill was trained, and report.target_accuracy is null.")]
        )
    images = {one.fill: one.image_megabytes for one in summary.fills}
    drawn = []
    for key in keys(summary):
        arms = [arm for arm in summary.arms if (arm.algorithm, arm.budget) == key]
        bars = [_bar(arm, images.get(arm.fill, 0.0), places[arm.fill]) for arm in arms if arm.target]
        targets = {arm.target.accuracy for arm in arms if arm.target}
        if bars:
            shots = enumerate(tables.one_shot(summary), len(places))
            bars += [_once(one, images[one.fill], max(targets), place) for place, one in shots]
            level = ", ".join(f"{100 * one:.1f} %" for one in sorted(targets))
            drawn.append((f"{key[0]}, equal {key[1]}: until {level}", bars))
    ticks = rows.ticks_of([bar for _, bars in drawn for bar in bars])
    charts = [rows.draw(bars, title, unit="MB, all clients, both ways", ticks=ticks) for title, bars in drawn]
    table = Folded("All numbers", [Shown(tables.costs(summary), 3)])
    told = f"{_MEANING} One client receives {weight_bytes} bytes in one round."
    return Section(_TITLE, [Charts(charts, wide=True), Text(told), table])


def _once(one: Reference, images: float, target: float, place: int) -> Row:
    """Return the bar of a one-shot training, in the colour of its central reference."""
    name, seeds = f"one-shot: {one.fill}", sum(accuracy >= target for accuracy in one.by_seed.values())
    reached = f"{seeds} of {len(one.by_seed)} seeds"
    if not seeds:
        return Row(name, None, f"not reached: {one.accuracy.percent()} %", place)
    whole = one.megabytes + images
    text = f"{whole:,.1f} MB" if seeds == len(one.by_seed) else f"{whole:,.1f} MB, {reached}"
    return Row(
        name,
        whole,
        text,
        place,
        tip=f"{one.megabytes:,.1f} MB of weights, once, and {images:,.1f} MB of images; no round; {reached}",
    )


def _bar(arm: Arm, images: float, place: int) -> Row:
    found = arm.target
    if found is None or found.megabytes is None:
        by = f" by round {found.censored_at}" if found and found.censored_at is not None else ""
        return Row(arm.fill, None, f"not reached{by}", place)
    seeds = f"{found.seeds} of {len(arm.by_seed)} seeds"
    whole = found.megabytes + images
    text = f"{whole:,.1f} MB" if found.seeds == len(arm.by_seed) else f"{whole:,.1f} MB, {seeds}"
    tip = f"{found.megabytes:,.1f} MB of weights and {images:,.1f} MB of images; round {found.rounds:.1f}; {seeds}"
    return Row(arm.fill, whole, text, place, tip=tip)
