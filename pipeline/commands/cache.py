"""Look after the cache as a whole: what it holds, and what of it can go."""

import re
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import holdings, inventory, manifest, partition
from pipeline.data import arrays
from pipeline.errors import ArtifactError
from pipeline.workspace import Workspace

_DAY = 86_400
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")
"""Names of files that are not yet whole, see ``atomic.replacing``."""
_IMPORTS = ".import-"
"""What names of folders begin with that hold another pool's copy while it is imported."""


@dataclass(frozen=True)
class Part:
    """One kind of what the cache holds, or of what was deleted."""

    kind: str
    entries: int
    disk_bytes: int


@dataclass(frozen=True)
class Stats:
    """What the cache holds, by kind."""

    path: Path
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Collected:
    """What was deleted, or would be, by kind."""

    parts: tuple[Part, ...]
    in_use: int
    """Arrays that this workspace does not use, but a running process does: they stay."""


def stats(workspace: Workspace) -> Stats:
    """Return what the cache holds."""
    cache = workspace.cache
    kinds = {
        "arrays": [list(arrays.files(place)) for place in arrays.listed(workspace.arrays)],
        "finished runs": _each(workspace.runs.glob("[!.]*")),
        "checkpoints": _each(workspace.checkpoints.glob("[!.]*")),
        "files of embeddings": _each(workspace.embeddings.glob("[!.]*")),
        "files of the pool": _each(cache.glob(f"{workspace.pool.stem}.*")),
        "digests of files": _each([*cache.glob("digests*"), *cache.glob("digests/*")]),
        "left by killed processes": _each(_leftovers(cache, older_than=0)),
    }
    known = {path for entries in kinds.values() for files in entries for path in files}
    kinds["other files"] = _each(set(cache.rglob("*")) - known)
    return Stats(cache, tuple(_part(kind, entries) for kind, entries in kinds.items()))


def gc(workspace: Workspace, older_than: float | None, dry_run: bool) -> Collected:
    """Delete what can be made again at once; return what was deleted, or with ``dry_run`` what would be.

    This is: arrays that no artifact of the workspace names, checkpoints of runs that the store holds, and what killed
    processes left more than a day ago. With ``older_than``, a number of days, also runs and embeddings that were last
    used and images of the pool that were stored so long ago. What a running process uses stays.

    Raises ArtifactError if an artifact is damaged, since then nobody knows what the workspace uses, or if a file cannot
    be deleted.
    """
    used = _used_arrays(workspace)
    unused = [list(arrays.files(place)) for place in arrays.listed(workspace.arrays) if place.stem not in used]
    finished = [path for path in workspace.checkpoints.glob("[!.]*") if (workspace.runs / path.name).is_file()]
    leftovers = _leftovers(workspace.cache, older_than=1)
    try:
        sizes = {files[0]: _part("", [files]).disk_bytes for files in unused}
        gone = [place for place in sizes if arrays.delete(place, dry_run)]
        parts = [Part("arrays", len(gone), sum(sizes[place] for place in gone))]
        for kind, files in (("checkpoints", finished), ("left by killed processes", leftovers)):
            parts.append(_part(kind, _each(files)))
            for path in [] if dry_run else files:
                path.unlink(missing_ok=True)
                if path.parent.name.startswith(_IMPORTS):
                    with suppress(OSError):  # it holds another file, which may be new
                        path.parent.rmdir()
        if older_than is not None:
            parts += _old(workspace, older_than, dry_run)
    except OSError as error:
        where = error.filename or workspace.cache
        raise ArtifactError(f"cannot delete ({error.strerror})", where, "check the rights") from None
    return Collected(tuple(parts), len(sizes) - len(gone))


def _old(workspace: Workspace, days: float, dry_run: bool) -> list[Part]:
    """Delete runs and embeddings that were not used, and images of the pool that were stored, so many days ago."""
    from pipeline.commands import pool, runs

    old = runs.gc(workspace, [], days, dry_run)
    parts = [Part("finished runs", old.runs, old.disk_bytes)]
    before = time.time() - days * _DAY
    unused = [path for path in workspace.embeddings.glob("[!.]*.parquet") if path.stat().st_mtime <= before]
    parts.append(_part("files of embeddings", _each(unused)))
    for path in [] if dry_run else unused:
        path.unlink(missing_ok=True)
    if workspace.pool.is_file():
        images = pool.gc(workspace, [], days, dry_run)
        parts.append(Part("images of the pool", images.images, images.image_bytes))
    return parts


def _used_arrays(workspace: Workspace) -> set[str]:
    """Return the names of the arrays that the workspace's artifacts name."""
    used = set[str]()
    if workspace.inventory.is_file():
        used |= {split.array for split in inventory.load(workspace.inventory).splits}
    if workspace.partition.is_file():
        split = partition.load(workspace.partition)
        used.add(split.source.array)
        if workspace.manifest.is_file():
            made = manifest.load(workspace.manifest)
            used |= {arrays.synthetic_name(made, split.image_size), arrays.gated_name(made, split.image_size)}
    for path in workspace.fill("x").parent.glob("*.parquet"):
        used |= {source.array for source in holdings.load(path).sources.values()}
    return used


def _leftovers(cache: Path, older_than: float) -> list[Path]:
    """Return what processes left that were killed while they wrote, last changed so many days ago or more."""
    whole = {place.stem for place in arrays.listed(cache / "arrays")}
    beside = [path for path in (cache / "arrays").glob("[!.]*") if path.name.partition(".")[0] not in whole]
    unfinished = [path for path in cache.rglob(".*") if _TEMPORARY.fullmatch(path.name)]
    unfinished += cache.glob(f"{_IMPORTS}*/*")
    before = time.time() - older_than * _DAY
    return [path for path in (*beside, *unfinished) if path.is_file() and path.stat().st_mtime <= before]


def _each(paths: Iterable[Path]) -> list[list[Path]]:
    return [[path] for path in paths if path.is_file()]


def _part(kind: str, entries: Sequence[Sequence[Path]]) -> Part:
    """Count entries of one or several files each, and their bytes; a file that vanishes meanwhile has none."""
    size = 0
    for files in entries:
        for path in files:
            try:
                size += path.stat().st_size
            except FileNotFoundError:
                continue
    return Part(kind, len(entries), size)
