"""Where a split is: Parquet files, a folder of class folders, a folder of ``save_to_disk``, or a Hub id."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.data import class_folders, labels
from pipeline.data.class_folders import shown
from pipeline.data.source import Skipped, Source
from pipeline.data.tables import ArrowRows, ParquetRows
from pipeline.errors import DataError
from pipeline.params import DataParams

HERE = "."
"""The split name that stands for the data set's folder itself."""
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)
_OTHER_FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".zip", ".tar", ".tar.gz", ".tgz", ".npz", ".npy", ".h5", ".arrow")
_NUMBERED = re.compile(r"-(\d+)-of-(\d+)(\D.*)?\.parquet$")


def find(params: DataParams, split: str, root: Path) -> Source:
    """Return one split; raise DataError if it is not there, or if two places could be it."""
    folder = root / params.path
    try:
        if folder.exists():
            return _local(folder, split, params)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", folder, "check its rights, and data.path") from None
    if not _HUB_ID.fullmatch(params.path):
        raise DataError("no such folder, and no Hub id", folder, "check data.path in params.yaml")
    from pipeline.data import hub_rows

    return hub_rows.find(params, split)


def _local(folder: Path, split: str, params: DataParams) -> Source:
    if not folder.is_dir():
        raise DataError("not a folder", folder, "name the folder that holds the data set in data.path")
    if split != HERE and (split in ("", "..") or Path(split).name != split or "\0" in split):
        raise DataError(f"{split!r} is no split's name", folder, "name a folder or Parquet file in it, or write '.'")
    if (saved := _saved(folder, split)) is not None:
        return saved
    places = [folder, folder / split] if split != HERE else []
    found = {place: files for place in places if (files := _parquet(place, split if place == folder else None))}
    below = folder / split
    if not found and not below.is_dir():
        inner = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
        found = {place: files for place in inner if (files := _parquet(place, split))}
    classes = below.is_dir() and (below not in found or any(inner.is_dir() for inner in below.glob("[!.]*")))
    if len(found) + classes > 1:
        names = ", ".join(
            [f"{shown(place.relative_to(folder).as_posix())}/*.parquet" for place in found]
            + ["class folders"] * classes
        )
        fix = "name one of them in data.path, or remove the others"
        raise DataError(f"split {split!r} is in several places ({names})", folder, fix)
    if found:
        [(place, files)] = found.items()
        return ParquetRows(folder, _whole(files, split), _unread(folder, place, files, params))
    if classes:
        if split == HERE and params.test is not None:
            what = f"data.train {HERE!r} reads every folder as a class, also {params.test!r}"
            raise DataError(what, folder, "set data.test to null and data.holdout to 0.1, say")
        return class_folders.read(folder, below)
    raise _absent(folder, split)


def _saved(folder: Path, split: str) -> Source | None:
    """Return a split that ``save_to_disk`` wrote, or None if the folder is of another kind."""
    place = folder / split if (folder / "dataset_dict.json").is_file() else folder
    state = place / "state.json"
    if not state.is_file():
        if place != folder:
            known = ", ".join(sorted(entry.parent.name for entry in folder.glob("*/state.json")))
            raise DataError(f"no split {split!r}", folder, f"its splits are {known}")
        return None
    try:
        document = json.loads(state.read_text(encoding="utf-8"))
        names, name = [entry["filename"] for entry in document["_data_files"]], document.get("_split")
        if document.get("_indices_data_files"):
            raise DataError("rows chosen by an index", state, "save it again after flatten_indices()")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError("damaged", state, "save the data set again with save_to_disk") from None
    if place == folder and split not in (HERE, name):
        known = f"is {name!r}: name it, or write" if name else "has no name: write"
        raise DataError(f"no split {split!r}", folder, f"its only split {known} {HERE!r} in data.train")
    if not names or not all(isinstance(one, str) and Path(one).name == one for one in names):
        raise DataError("names files elsewhere, or none", state, "save the data set again with save_to_disk")
    return ArrowRows(folder, [place / one for one in names])


def _parquet(folder: Path, split: str | None) -> list[Path]:
    """Return a folder's Parquet files of a split, or all of them, in order."""
    if not folder.is_dir():
        return []
    pattern = re.compile(
        rf"{re.escape(split)}(-\d.*)?\.parquet" if split is not None else r"[^.].*\.parquet", re.DOTALL
    )
    found = [entry for entry in folder.iterdir() if pattern.fullmatch(entry.name) and entry.is_file()]
    return sorted(found, key=lambda file: labels.natural(file.name))


def _whole(files: list[Path], split: str) -> list[Path]:
    """Return the files; raise DataError if they are numbered "1 of 3" and not all of one set are there."""
    numbers = [_NUMBERED.search(file.name) for file in files]
    if not any(numbers):
        return files
    counts = {match[2] if match else None for match in numbers}
    given = sorted(int(match[1]) for match in numbers if match)
    if len(counts) == 1 and given == list(range(len(files))) and int(next(iter(counts)) or 0) == len(files):
        return files
    names = ", ".join(file.name for file in files[:5])
    what = f"the files of split {split!r} are not one whole set ({names})"
    raise DataError(what, files[0].parent, "add the missing files, or remove those of another set")


def _unread(folder: Path, place: Path, files: Sequence[Path], params: DataParams) -> list[Skipped]:
    """Return the Parquet files beside a split's that belong to no split of the parameters."""
    others = [name for name in (params.train, params.test) if name is not None]
    known = {*files, *(file for name in others for file in _parquet(place, name))}
    found = [entry for entry in place.iterdir() if entry.name.lower().endswith(".parquet") and entry not in known]
    why = f"Parquet of no split that is used ({', '.join(others)})"
    return [
        Skipped(shown(file.relative_to(folder).as_posix()), "hidden" if file.name.startswith(".") else why)
        for file in sorted(found)
    ]


def _absent(folder: Path, split: str) -> DataError:
    entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    for entry in entries:
        if any(entry.name.lower() == f"{split}{suffix}".lower() for suffix in _OTHER_FORMATS):
            fix = f"write {split}.parquet, or unpack it to {split}/CLASS NAME/*.png"
            return DataError(f"split {split!r} is of a format that is not read ({entry.name})", folder, fix)
    names = {re.sub(r"(-\d.*)?\.parquet$", "", entry.name) for entry in entries if entry.name.endswith(".parquet")}
    names |= {entry.name for entry in entries if entry.is_dir()}
    there = f"; there is {', '.join(sorted(names)[:20])}" if names else ""
    fix = (
        f"expected {split}.parquet, {split}-*.parquet or {split}/CLASS NAME/*.png{there}: set data.train and data.test"
    )
    return DataError(f"no split {split!r}", folder, fix)
