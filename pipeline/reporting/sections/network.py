"""Time on networks: hours until the target, a form that replays the rounds on others, and whether the fill pays."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from pipeline.reporting.charts import rows, tiles
from pipeline.reporting.charts.markup import element
from pipeline.reporting.charts.rows import Row
from pipeline.reporting.charts.tiles import Tile
from pipeline.reporting.network import durations, embedded, tables
from pipeline.reporting.network.durations import HOUR
from pipeline.reporting.network.results import BreakEven, OnNetwork, Pays
from pipeline.reporting.network.study import Study
from pipeline.reporting.page import Charts, Folded, Live, Part, Section, Shown, Text
from pipeline.reporting.page import embedded as as_json
from pipeline.reporting.sections.results import keys
from pipeline.reporting.summary import Summary

_TITLE = "Time on a network, and when the fill pays"
_ABOUT = (
    "The recorded rounds are replayed on networks: each client's bandwidths and round-trip time are drawn from a "
    "profile, its speed from a spread; a round ends when the last client's weights have arrived. No training runs "
    "again for that. A bar is the median over pairs of a seed and one of {draws} draws, its whisker the middle 90 % of "
    "them: what one training on one network would see. A run that never reaches its target counts as longer than all "
    "others. Images that the server sends before round 1 are in every time."
)
_LATE = (
    "Updates come too late here, and the accuracies are those of the recorded runs, in which all of them count: what "
    "is lost shows in a training with these drop-outs (gen-fedsd network dropouts, train.dropouts)."
)
_WITHIN = (
    "Accuracy within a budget is that of the last test by then. Without network.budget_hours and budget_megabytes the "
    "budget is half of what all rounds take or move without a fill, with the same algorithm and budget."
)
_PAYS = (
    "Tiles: the fill's time until the target as a share of the control's, median over pairs, for weights of other "
    "sizes in the same rounds; below 1 (blue) the fill pays. Rounds are those of this model: one of another size may "
    "need others. The control is the one without synthetic images that reaches the target first. Sizes up to 10 GB "
    "are looked at; what sending takes of a client's energy is not counted."
)
_NO_FORM = "No form to choose another network: {}"


def make(summary: Summary, study: Study, places: Mapping[str, int]) -> Section:
    """Return the section; ``places`` decide the fills' colours."""
    if not summary.network:
        return Section(_TITLE, [Text("No network was replayed: no run was tested.")])
    options, profiles = study.networks[0].options, [one.profile.name for one in study.networks]
    found = [one for one in summary.network if one.profile == profiles[0]]
    data = embedded.live(study)
    shown: list[Part] = [
        Charts(_bars(summary, found, places), wide=True),
        Shown(tables.hours(found, profiles[0]), 2),
    ]
    if data is not None:
        charts: dict[tuple[str, str], list[int]] = {}
        for place, one in enumerate(found):
            charts.setdefault((one.algorithm, one.budget), []).append(place)
        data["charts"] = [charts[key] for key in keys(summary) if key in charts]
        shown = [Live(_form(profiles, data), shown, as_json(data))]
    else:
        why = "runs have recorded drop-outs" if study.drop_outs else "the numbers are too many for a page"
        shown.append(Text(_NO_FORM.format(f"{why}.")))
    parts: list[Part] = [Text(_ABOUT.format(draws=options.draws)), *shown]
    if any(one.late for one in summary.network):
        parts.append(Text(_LATE))
    parts += [Text(_WITHIN), *_pays(summary.break_even)]
    others = [Shown(tables.hours(summary.network, name), 2) for name in profiles[1:]]
    parts.append(Folded("All numbers", [*others, Shown(tables.within_bytes(summary.within_bytes), 3)]))
    return Section(_TITLE, parts)


def _bars(summary: Summary, found: Sequence[OnNetwork], places: Mapping[str, int]) -> list[Markup]:
    """Return a chart for each algorithm and budget, all on one axis."""
    known = [end for one in found if one.hours for end in (one.hours.median, one.hours.high) if end is not None]
    name, size = durations.unit(HOUR * max(known, default=1.0))
    drawn = []
    for algorithm, budget in keys(summary):
        here = [one for one in found if (one.algorithm, one.budget) == (algorithm, budget)]
        if here:
            drawn.append((f"{algorithm}, equal {budget}", [_bar(one, places[one.fill], HOUR / size) for one in here]))
    ticks = rows.ticks_of([bar for _, bars in drawn for bar in bars])
    return [rows.draw(bars, title, unit=unit(name), ticks=ticks) for title, bars in drawn]


def unit(name: str) -> str:
    """Return what bars show, in a unit of time; the page's script writes it likewise."""
    return f"{name} until the target; the whisker is the middle 90 %"


def _bar(one: OnNetwork, place: int, factor: float) -> Row:
    if one.hours is None:
        return Row(one.fill, None, "no target", place)
    text = tables.spread(one.hours, HOUR, one.censored_at)
    middle, low, high = (
        None if end is None else factor * end for end in (one.hours.median, one.hours.low, one.hours.high)
    )
    if middle is None:
        return Row(one.fill, None, f"not reached by round {one.censored_at}", place, tip=text)
    return Row(one.fill, middle, tables.end_text(one.hours.median, HOUR), place, low, high, tip=text)


def _form(profiles: Sequence[str], data: Mapping[str, object]) -> Markup:
    """Return the fields of the form that the page's script reads."""
    options = [element("option", name) for name in profiles]
    fields = [
        element("label", "network", element("select", *options, name="profile")),
        _field("deadline of a round, s", "deadline", data["deadline"], "none"),
        _field("clients that end a round, number or share", "first", data["first"], "all"),
        _field("weights, MB", "size", f"{data['model']:.4g}", ""),
        element("output", f"the first {data['draws']} draws"),
    ]
    return Markup("").join(fields)


def _field(label: str, name: str, value: object, hint: str) -> Markup:
    box = element("input", name=name, type="number", min=0, step="any", value=value, placeholder=hint or None)
    return element("label", label, box)


def _pays(found: Sequence[BreakEven]) -> list[Part]:
    """Return whether each way to bring images to the clients pays: in words, as tiles, and as a table."""
    if not found:
        return [Text("Whether the fill pays is not known: it sends no images, or nothing reaches a target beside it.")]
    parts: list[Part] = [Text(tables.sentence(one, way)) for one in found for way in one.ways]
    parts.append(Charts([_tiles(one, way) for one in found for way in one.ways], wide=True))
    return [*parts, Text(_PAYS), Folded("When the fill pays: all numbers", [Shown(tables.break_even(found), 4)])]


_TITLES = {"images": "the server sends the images", "generator": "clients draw with a generator of {:,.0f} MB"}


def _tiles(one: BreakEven, way: Pays) -> Markup:
    title = f"{one.fill}: {_TITLES[way.way].format(way.client_megabytes)}"
    sizes = list(next(iter(way.hours.values())))
    heads = [f"{size}*" if float(size) == one.model_megabytes else size for size in sizes]
    lines = [
        [_tile(by_size[size].median, tables.share(by_size[size])) for size in sizes] for by_size in way.hours.values()
    ]
    return tiles.draw(lines, list(way.hours), heads, title, unit="time of the fill over time of the control",
                      across="MB of weights; * this model")  # fmt: skip


def _tile(median: float | None, tip: str) -> Tile:
    if median is None:
        return Tile("never", -1.0, tip)
    return Tile(durations.digits(median), (1 - median) if median < 1 else max(-1.0, 1 - median), tip)
