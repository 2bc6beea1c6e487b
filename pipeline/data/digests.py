"""Digests of files, remembered by path, size and times, so that gigabytes are not read again by every stage.

The memory is one small file for each folder in the cache, which whoever writes replaces as a whole: losing it, or what
another process wrote meanwhile, costs time.
"""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from pipeline import atomic, progress
from pipeline.errors import ArtifactError, DataError
from pipeline.workspace import default_cache

_SETTLED = 2.0
"""Seconds after its last change from which a file is remembered: another change may leave the same time of change."""
_LONG_BYTES, _LONG_FILES = 1 << 30, 20_000


def of(folder: Path, files: Sequence[Path]) -> list[str]:
    """Return the SHA-256 of each file; ``folder`` is what they belong to, and need not be above them.

    Raises DataError for a file that cannot be read.
    """
    place = default_cache() / "digests" / f"{hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:24]}.json"
    known, above = _known(place), os.path.join(folder, "")
    stamps: list[tuple[str, list[int]]] = []
    for file in files:
        try:
            found = os.stat(file)
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})", file, "restore it") from None
        key = os.fsencode(str(file).removeprefix(above)).decode("utf-8", "backslashreplace")
        stamps.append((key, [found.st_size, found.st_mtime_ns, found.st_ctime_ns]))
    new = {i for i, (key, stamp) in enumerate(stamps) if key not in known or known[key][:3] != stamp}
    if not new:
        return [str(known[key][3]) for key, _ in stamps]
    counted = sum(stamps[i][1][0] for i in new)
    long = counted > _LONG_BYTES or len(new) > _LONG_FILES
    digests = []
    with progress.bar("reading files once", len(new), "files") if long else nullcontext() as advance:
        for i, (file, (key, _)) in enumerate(zip(files, stamps, strict=True)):
            digests.append(_digest(file) if i in new else str(known[key][3]))
            if advance is not None and i in new:
                advance()
    _remember(place, {key: [*stamp, digest] for (key, stamp), digest in zip(stamps, digests, strict=True)}, known)
    return digests


def _digest(file: Path) -> str:
    try:
        return atomic.sha256(file)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file, "restore it") from None


def _known(place: Path) -> dict[str, list[int | str]]:
    """Return what is remembered; nothing if the file is absent or damaged."""
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    return {key: entry for key, entry in document.items() if _is_entry(entry)}


def _is_entry(entry: object) -> bool:
    match entry:
        case [int(), int(), int(), str() as digest]:
            return len(digest) == 64
    return False


def _remember(place: Path, made: dict[str, list[int | str]], known: dict[str, list[int | str]]) -> None:
    before = time.time_ns() - int(_SETTLED * 1e9)
    settled = {key: entry for key, entry in made.items() if max(int(entry[1]), int(entry[2])) < before}
    if not settled:
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(place, json.dumps({**known, **settled}))
    except (ArtifactError, OSError):
        progress.say(f"{place} cannot be written; the files are read again by the next stage")
