"""What a workspace cost by its ledger, and what a point of accuracy cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import ledger
from pipeline.artifacts import deficits, manifest
from pipeline.errors import ArtifactError
from pipeline.ledger import COUNTS, Entry
from pipeline.reporting import summary
from pipeline.reporting.skew import BEFORE
from pipeline.reporting.statistics import Difference
from pipeline.workspace import Workspace

_RENDERING = ("generate", "regenerate", "probe")


@dataclass(frozen=True)
class Line:
    """What was spent for one stage on one kind of device."""

    stage: str
    kind: str
    """``cpu`` or ``cuda``."""
    seconds: float
    """That passed, over all commands."""
    device_seconds: float
    joules: float
    methods: tuple[str, ...]
    """How the energy was found out."""
    counts: dict[str, int]
    """Of ``ledger.COUNTS``, those above 0."""


@dataclass(frozen=True)
class Stored:
    """What is on disk now."""

    name: str
    bytes: int
    shared: bool
    """Whether other workspaces with the same cache use it, too."""


@dataclass(frozen=True)
class Price:
    """What all images of the plan cost, each as much as those that were rendered here."""

    rendered: int
    """Here, by the ledger."""
    images: int
    """Of the plan: each once, with those that the gate refused."""
    device_seconds: float
    joules: float


@dataclass(frozen=True)
class Gain:
    """How much accuracy the images of a fill brought."""

    algorithm: str
    budget: str
    fill: str
    difference: Difference
    """From the same algorithm and budget without a fill; shares of 1."""


@dataclass(frozen=True)
class Spending:
    """All that the ledger, the disk and the last report say together."""

    lines: tuple[Line, ...]
    damaged: int
    """Lines of the ledger that cannot be read."""
    stored: tuple[Stored, ...]
    price: Price | None
    """None if no image was rendered here, or if there is no plan."""
    gains: tuple[Gain, ...]
    """None without a report that compares with no fill."""


def of(workspace: Workspace) -> Spending:
    """Return what was spent in a workspace so far; raise ArtifactError for a damaged artifact."""
    known = ledger.read(workspace.ledger)
    lines = tuple(_lines(known.entries))
    return Spending(lines, known.damaged, tuple(_stored(workspace)), _price(workspace, lines), _gains(workspace))


def total(lines: Sequence[Line]) -> Line:
    """Return the sum of lines."""
    kinds = dict.fromkeys(one.kind for one in lines)
    return _sum("all", ", ".join(kinds), lines)


def _lines(entries: Sequence[Entry]) -> Iterator[Line]:
    keys = dict.fromkeys((one.stage, one.kind) for one in entries)
    for stage, kind in keys:
        yield _sum(stage, kind, [one for one in entries if (one.stage, one.kind) == (stage, kind)])


def _sum(stage: str, kind: str, parts: Sequence[Entry | Line]) -> Line:
    counts = {name: sum(one.counts.get(name, 0) for one in parts) for name in COUNTS}
    methods = [name for one in parts for name in ((one.method,) if isinstance(one, Entry) else one.methods)]
    return Line(
        stage=stage,
        kind=kind,
        seconds=sum(one.seconds for one in parts),
        device_seconds=sum(one.device_seconds for one in parts),
        joules=sum(one.joules for one in parts),
        methods=tuple(dict.fromkeys(methods)),
        counts={name: count for name, count in counts.items() if count},
    )


def _stored(workspace: Workspace) -> Iterator[Stored]:
    pool = workspace.pool
    places = (
        ("pool of images", [pool, pool.with_name(f"{pool.name}-wal")], True),
        ("stored runs", [workspace.runs], True),
        ("shards", [workspace.shards], False),
        ("other files of the stages", [path for path in workspace.data.glob("*") if path != workspace.shards], False),
    )
    for name, paths, shared in places:
        yield Stored(name, sum(map(_bytes, paths)), shared)


def _bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder; links count as what they lead to."""
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    return sum(one.stat().st_size for one in files if one.exists())


def _price(workspace: Workspace, lines: Sequence[Line]) -> Price | None:
    drawn = [one for one in lines if one.stage in _RENDERING]
    rendered = sum(one.counts.get("images_rendered", 0) for one in drawn)
    if not rendered or not workspace.manifest.is_file() or not workspace.deficits.is_file():
        return None
    made, lacking = manifest.load(workspace.manifest), deficits.load(workspace.deficits).missing
    wanted = int(lacking.sum() if made.sharing == "own" else lacking.max(axis=0).sum())
    images = wanted + sum(made.refusals())
    spent = total(drawn)
    return Price(rendered, images, spent.device_seconds * images / rendered, spent.joules * images / rendered)


def _gains(workspace: Workspace) -> tuple[Gain, ...]:
    try:
        numbers = summary.load(workspace.report_metrics)
    except ArtifactError:
        return ()
    return tuple(
        Gain(one.algorithm, one.budget, one.fill, one.difference)
        for one in numbers.comparisons
        if (one.fill, one.control) == (numbers.fill, BEFORE)
    )
