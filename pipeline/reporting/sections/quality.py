"""Are the images good: what ``evaluate`` measured of them, beside what real images reach."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from pipeline import printable
from pipeline.artifacts import quality
from pipeline.artifacts.quality import MOST_PAIRS, Distance, Quality, Report, Spread
from pipeline.errors import ArtifactError
from pipeline.reporting import pictures
from pipeline.reporting.charts import rows
from pipeline.reporting.charts.markup import element
from pipeline.reporting.charts.rows import Row
from pipeline.reporting.page import Charts, Folded, Items, Part, Picture, Section, Settings, Shown, Text
from pipeline.reporting.sections.images import GRADES
from pipeline.reporting.tables import Table

_TITLE = "Are the images good?"
_MOST_ROWS = 30
_MOST_BARS = 12
_LETTERS = 40
_MEANING = {
    "Usefulness decides": "accuracy on real images of the classifier that clients train, trained on synthetic images "
    "only, on equally many real ones, and on both, with equally many steps.",
    "Label agreement comes second": "the share of images to which the judge gives the class that was asked for; the "
    "judge's own accuracy on real images is in parentheses.",
    "Distances only diagnose": "each stands beside its floor, in parentheses: real images against other real ones, as "
    "many. They name what may be wrong, not whether the images help.",
    "Copies": "near repetitions among N synthetic images, beside those among N real ones, and images that equal, or "
    "nearly equal, a training image or come closer to one than all but 1 % of held-out real images of the class do.",
}


def load(path: Path) -> Report | None:
    """Read what was evaluated; None if nothing was. Raises ArtifactError if the file is damaged."""
    return quality.load(path) if path.exists() else None


def make(found: Report | None, copies: Path) -> Section:
    """Return the section; ``copies`` is the picture of flagged pairs, if there is one."""
    if found is None:
        return Section(_TITLE, [Text("Nothing was evaluated. To measure the images, run: dvc repro evaluate")])
    parts: list[Part] = [Text(found.sentence), Charts(_charts(found), wide=True)]
    order = sorted(found.classes, key=lambda one: GRADES.index(one.verdict))
    first, rest = [found.whole, *order[:_MOST_ROWS]], order[_MOST_ROWS:]
    parts.append(Shown(_table(first), 3))
    if rest:
        parts.append(Folded(f"{len(rest)} more classes", [Shown(_table(rest), 3)]))
    parts.append(Folded("Distances, copies and flags", [Shown(_diagnosis([found.whole, *order]))]))
    parts.append(Items(_MEANING))
    if found.left_out:
        parts.append(Text(" ".join(found.left_out)))
    if copies.exists():
        parts.append(
            Folded("Synthetic images and what they are most like", [Text(_pairs(found.whole)), _picture(copies)])
        )
    parts.append(Folded("How it was measured", [Settings(_settings(found))]))
    return Section(_TITLE, parts)


def _pairs(whole: Quality) -> str:
    """Return what the picture shows, and of how many."""
    copies = whole.copies
    return (
        f"Above: synthetic images beside the training image that each is nearest to, {MOST_PAIRS} at most. A copy is "
        f"equal, or nearly equal, to it ({copies.training:,} of {copies.images:,}); close means nearer than all but "
        "1 % of held-out real images of the class; nearest is neither. Below: synthetic images that equal an earlier "
        f"one, or are near it ({copies.near:,} of {copies.images:,}), {MOST_PAIRS} at most."
    )


def _charts(found: Report) -> list[Markup]:
    """Return usefulness of all images, and the label agreement of each class beside the judge's accuracy."""
    made = []
    useful = found.whole.usefulness
    bars = [
        _bar(name, value, place)
        for name, value, place in (
            ("synthetic only", useful.synthetic, 2),
            ("equally many real", useful.real, 4),
            ("both", useful.both, 1),
        )
    ]
    unit = "accuracy on real images, percent; the whisker is the standard deviation"
    made.append(rows.draw(bars, "Usefulness: the classifier trained on", unit=unit, ticks=(0, 25, 50, 75, 100)))
    judged = [one for one in found.classes if one.agreement is not None]
    lowest = sorted(judged, key=lambda one: one.agreement or 0.0)[:_MOST_BARS]
    if lowest:
        agreed = [
            Row(
                named(one),
                _percent(one.agreement),
                share(one.agreement),
                2,
                floor=_percent(one.judge_accuracy),
                tip=f"{share(one.agreement)}; the judge on real images: {share(one.judge_accuracy)}",
            )
            for one in lowest
        ]
        unit = "percent of the images; the tick is the judge's accuracy on real images"
        title = (
            "Label agreement" if len(lowest) == len(judged) else f"Label agreement, the {len(lowest)} lowest classes"
        )
        made.append(rows.draw(agreed, title, unit=unit, ticks=(0, 25, 50, 75, 100)))
    return made


def _bar(name: str, value: Spread | None, place: int) -> Row:
    if value is None:
        return Row(name, None, "too few images", place)
    mean, spread = 100 * value.mean, 100 * (value.std or 0.0)
    shown = f"{mean:.1f}" if value.std is None else f"{mean:.1f} ± {spread:.1f}"
    ends = (None, None) if value.std is None else (mean - spread, mean + spread)
    return Row(name, mean, shown, place, *ends)


def _table(found: Sequence[Quality]) -> Table:
    """Return the verdicts and what decides them."""
    head = ("class", "verdict", "why", "images", "synthetic only", "real", "both", "agreement (judge)")
    lines = []
    for one in found:
        useful = (one.usefulness.synthetic, one.usefulness.real, one.usefulness.both)
        reached = (share(value.mean if value else None) for value in useful)
        why = "; ".join([*one.failures, one.why])
        grade = element("span", one.verdict, class_=one.verdict)
        agreed = f"{share(one.agreement)} ({share(one.judge_accuracy)})"
        lines.append((named(one), grade, why, f"{one.images:,}", *reached, agreed))
    return Table("", head, tuple(lines))


def _diagnosis(found: Sequence[Quality]) -> Table:
    """Return the distances beside their floors, the copies and the flags."""
    names = list(dict.fromkeys(distance.name for one in found for distance in one.distances))
    counts = ("repeated, % (real), of N", "equal a training image", "close to one, %", "flagged")
    lines = []
    for one in found:
        distances = {distance.name: _distance(distance) for distance in one.distances}
        copies = one.copies
        repeated = f"{share(copies.near_synthetic)} ({share(copies.near_real)}), {copies.compared:,}"
        copied = (repeated, f"{copies.training:,} of {copies.images:,}", share(copies.close))
        lines.append((named(one), *(distances.get(name, "-") for name in names), *copied, _flags(one)))
    return Table("", ("class", *(f"{name} (floor)" for name in names), *counts), tuple(lines))


def _flags(one: Quality) -> str:
    """Return what is odd about images, with the numbers of them."""
    flags = one.flags
    counts = {
        "of one colour": flags.constant - flags.black,
        "black": flags.black,
        "faint": flags.faint,
        "redrawn": flags.redrawn,
        "refused": flags.refused or 0,
    }
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none"


def _distance(one: Distance) -> str:
    floor = "-" if one.floor is None else f"{one.floor:.3g}"
    spread = "" if one.std is None else f" ± {one.std:.2g}"
    return f"{one.value:.3g}{spread} ({floor})"


def named(one: Quality) -> str:
    """Return the class, cut if it is long."""
    return printable.short(one.class_name, _LETTERS) or "(no name)"


def _settings(found: Report) -> dict[str, str]:
    return {
        "judge": f"{found.judge.name} ({found.judge.digest[:24]})",
        "extractor": f"{found.extractor.name} ({found.extractor.digest[:24]})",
        "classifier": f"{found.classifier}, {found.seeds} trainings of {found.steps} steps",
        "real images": found.real,
        "recipe": found.recipe,
        "thresholds": ", ".join(f"{name} {value:g}" for name, value in found.thresholds.items()),
    }


def _picture(path: Path) -> Picture:
    try:
        with Image.open(path) as image:
            return Picture(pictures.source(image.convert("RGB")), image.width, "Synthetic images beside what they copy")
    except OSError as error:
        raise ArtifactError(f"damaged ({error})", path, "run: dvc repro -f evaluate") from None


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def share(value: float | None) -> str:
    """Return a share of 1 in percent, a dash for none."""
    return "-" if value is None else f"{100 * value:.1f}"
