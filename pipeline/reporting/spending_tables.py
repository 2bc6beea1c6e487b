"""What a workspace cost, as tables of text, for the terminal and for the ledger's page."""

from pipeline.reporting import spending
from pipeline.reporting.spending import Gain, Line, Price, Spending
from pipeline.reporting.tables import Table
from pipeline.reporting.units import duration, quantity

_WORDS = {
    "images_rendered": "images rendered",
    "images_reused": "from the pool",
    "runs_trained": "runs trained",
    "runs_reused": "from the store",
}
_BYTES = {"bytes_down": "down", "bytes_up": "up", "bytes_pushed": "pushed"}


def stages(found: Spending) -> Table:
    """Return a row for each stage and kind of device, and their sum."""
    head = ("stage", "on", "passed", "worked", "energy", "what")
    rows = [_line(one) for one in found.lines]
    if len(rows) > 1:
        rows.append((*_line(spending.total(found.lines))[:-1], ""))
    return Table("Time and energy", head, tuple(rows))


def _line(one: Line) -> tuple[str, ...]:
    times = (duration(one.seconds), duration(one.device_seconds), quantity(one.joules, "J"))
    return (one.stage, one.kind, *times, what(one))


def what(one: Line) -> str:
    """Return what a line's counts say."""
    numbers = [f"{one.counts[name]:,} {words}" for name, words in _WORDS.items() if name in one.counts]
    sizes = [f"{quantity(one.counts[name], 'B')} {words}" for name, words in _BYTES.items() if name in one.counts]
    return ", ".join([*numbers, *sizes])


def whole(found: Spending) -> str:
    """Return what all lines count together."""
    return f"in all: {what(spending.total(found.lines))}"


def methods(found: Spending) -> list[str]:
    """Return for each way in which energy was found out the stages that it counts for, and what it covers."""
    names = dict.fromkeys(name for one in found.lines for name in one.methods)
    return [f"energy by {name}: {_covers(name)}" for name in names]


def _covers(method: str) -> str:
    if "NVML" in method and "RAPL" in method:
        return "the GPUs' and the processors' own counters, whoever used them meanwhile"
    if "NVML" in method:
        return "the GPUs' own counters; the machine around them is left out"
    if "RAPL" in method:
        return "the processors' own counters, whoever used them meanwhile"
    return "assumed: no counter could be read (GEN_FEDSD_WATTS sets the watts)"


def stored(found: Spending) -> Table:
    """Return a row for each kind of files on disk."""
    rows = [
        (one.name, quantity(one.bytes, "B"), "all workspaces with this cache" if one.shared else "this workspace")
        for one in found.stored
    ]
    return Table("On disk now", ("files", "size", "of"), tuple(rows))


def price(found: Price | None) -> str:
    """Return what the images of the plan cost, in one sentence."""
    if found is None:
        return "No image of the plan was rendered here, so what its images cost is not known here."
    each = f"{found.device_seconds / max(found.images, 1):.3g} device-seconds"
    return (
        f"{found.rendered:,} images were rendered here, in {each} each. At that price all {found.images:,} images "
        f"that the plan needs cost {duration(found.device_seconds)} of a device and {quantity(found.joules, 'J')}."
    )


def points(found: Spending) -> Table:
    """Return what a percentage point of accuracy above no fill cost, by algorithm and budget."""
    head = ("algorithm", "budget", "gain in points", "device time of a point", "energy of a point")
    rows = tuple(_point(one, found.price) for one in found.gains) if found.price else ()
    return Table("What a point of accuracy cost, in images", head, rows)


def _point(one: Gain, cost: Price | None) -> tuple[str, ...]:
    names = (one.algorithm, f"equal {one.budget}", one.difference.percent())
    gain = 100 * one.difference.mean
    if cost is None or gain <= 0:
        return (*names, "no gain", "")
    low, high = one.difference.low, one.difference.high
    spread = ""
    if low is not None and high is not None:
        most = f"to {duration(cost.device_seconds / low / 100)}" if low > 0 else "or more"
        spread = f" ({duration(cost.device_seconds / high / 100)} {most})"
    return (*names, f"{duration(cost.device_seconds / gain)}{spread}", quantity(cost.joules / gain, "J"))
