"""What a data set is: its splits, columns, classes, domains, and the modes and sizes of a sample of its pictures."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import progress
from pipeline.data import columns, images, splits
from pipeline.data.columns import Column
from pipeline.data.images import Images
from pipeline.data.source import Source
from pipeline.errors import DataError
from pipeline.params import DataParams
from pipeline.workspace import Workspace

_TRAIN = ("train", "training")
_TEST = ("test", "testing", "validation", "valid", "val", "dev", "eval")
_DOMAINS = ("domain", "domains", "environment", "env", "style")
_MOST_DOMAINS = 20
_SAMPLE = 400
_PARQUET = re.compile(r"([^.].*?)(-\d.*)?\.parquet")
_SIZES = (224, 128, 96, 64)
"""Pixels a side that are proposed for pictures that are not all of one small size."""
_MOST_SIZE = 128


@dataclass(frozen=True)
class Asked:
    """Which data set, and what of it the user says."""

    path: str
    revision: str | None = None
    config: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None


@dataclass(frozen=True)
class Found:
    """A data set as it was found."""

    data: DataParams
    """The section ``data`` that reads it."""
    images: Images
    """The training images, without what is held out."""
    test: Images
    split_names: tuple[str, ...]
    columns: tuple[str, ...]
    """Beside the picture and the label."""
    sizes: tuple[tuple[str, int], ...]
    """Width and height of sampled pictures, the most frequent first, and how many there are."""
    modes: tuple[tuple[str, int], ...]
    bad: int
    """Sampled pictures that cannot be decoded."""
    sampled: int
    size: int
    """Pixels a side that are proposed."""
    natural: bool
    """Whether that is the size that they have."""
    remarks: tuple[str, ...]


def look(workspace: Workspace, asked: Asked) -> Found:
    """Read a data set's labels, and a sample of its pictures; raise DataError if that cannot be done."""
    progress.say(f"looking at {asked.path}")
    names = _split_names(workspace.at(asked.path), asked)
    train = next((name for name in _TRAIN if name in names), names[0] if len(names) == 1 else None)
    if train is None:
        fix = "name one of them train, or write params.yaml by hand: gen-fedsd preset use imagefolder"
        raise DataError(f"none of the splits {', '.join(names)} is called train", asked.path, fix)
    test = next((name for name in _TEST if name in names), None)
    given: dict[str, Any] = {
        "path": asked.path,
        "revision": asked.revision,
        "config": asked.config,
        "train": train,
        "test": test,
    }
    first = DataParams(**given, holdout=None if test else 0.2)
    source = splits.find(first, train, workspace.at(""))
    remarks: list[str] = []
    label = asked.label_column or _label(source.columns, remarks)
    image = asked.image_column or columns.choose_image(source.columns, None, f"split {train!r}")
    group = asked.group_column or _group(source, remarks)
    chosen = {"image_column": asked.image_column, "label_column": label, "group_column": group}
    size, natural, sizes, modes, bad, sampled = _sample(images.load(_read(first, chosen), train, workspace.at("")))
    data = _read(first, {**chosen, "image_size": None if natural else size})
    held = images.load(data, train, workspace.at(""))
    others = tuple(name for name in source.columns if name not in (image, label or _only_label(source.columns)))
    tested = images.load(data, test, workspace.at(""))
    return Found(data, held, tested, names, others, sizes, modes, bad, sampled, size, natural, tuple(remarks))


def _read(first: DataParams, changes: dict[str, object]) -> DataParams:
    return DataParams.model_validate({**first.model_dump(), **changes})


def _split_names(folder: Path, asked: Asked) -> tuple[str, ...]:
    """Return the names of the splits of a folder or a Hub id, ``.`` for a folder of class folders."""
    if folder.exists():
        return _local(folder)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", asked.path):
        raise DataError("no such folder, and no Hub id", asked.path, "check --data")
    from datasets import get_dataset_split_names

    try:
        return tuple(get_dataset_split_names(asked.path, asked.config, revision=asked.revision))
    except Exception as error:  # datasets raises many types; each means the same to the user
        fix = "check --data and --revision, and the connection; a data set with several configurations needs --config"
        raise DataError(f"cannot be read from the Hub ({error})", asked.path, fix) from error


def _local(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError("not a folder", folder, "name the folder that holds the data set in --data")
    if (saved := folder / "dataset_dict.json").is_file():
        return tuple(json.loads(saved.read_text(encoding="utf-8"))["splits"])
    if (folder / "state.json").is_file():
        return (splits.HERE,)
    inner = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
    for place in (folder, *inner):
        found = [_PARQUET.fullmatch(entry.name) for entry in sorted(place.iterdir()) if entry.is_file()]
        if names := tuple(dict.fromkeys(match[1] for match in found if match)):
            return names
    if any(entry.name in _TRAIN for entry in inner):
        return tuple(entry.name for entry in inner)
    return (splits.HERE,)


def _label(known: Mapping[str, Column], remarks: list[str]) -> str | None:
    """Return the class-label column with most classes where there are several; None leaves the choice to the reader."""
    found = {name: len(column.names) for name, column in known.items() if column.feature == "ClassLabel"}
    if len(found) < 2:
        return None
    best = max(found, key=lambda name: found[name])
    counts = ", ".join(f"{name} ({count})" for name, count in found.items())
    remarks.append(f"several columns have classes: {counts}; {best} is taken, --label-column names another")
    return best


def _only_label(known: Mapping[str, Column]) -> str:
    return next((name for name, column in known.items() if column.feature == "ClassLabel"), "label")


def _group(source: Source, remarks: list[str]) -> str | None:
    """Return a column of few texts that is called like domains."""
    for name, column in source.columns.items():
        if name.lower() not in _DOMAINS or not (columns.is_text(column.type) or column.feature == "ClassLabel"):
            continue
        distinct = len(set(source.values(name).to_pylist()))
        if 1 < distinct <= _MOST_DOMAINS:
            remarks.append(f"column {name} has {distinct} values, which are taken as domains (data.group_column)")
            return name
    return None


_Kinds = tuple[tuple[str, int], ...]


def _sample(train: Images) -> tuple[int, bool, _Kinds, _Kinds, int, int]:
    """Return the proposed size, whether it is the pictures' own, and sizes, modes and bad ones of a sample."""
    rows = np.unique(np.linspace(0, len(train) - 1, min(_SAMPLE, len(train))).round().astype(int)).tolist()
    sizes, modes, sides, bad = Counter[str](), Counter[str](), list[int](), 0
    for row in rows:
        try:
            picture = train.read(row)
        except DataError:
            bad += 1
            continue
        sizes["{}x{}".format(*picture.size)] += 1
        modes[picture.mode] += 1
        sides.append(min(picture.size))
    if not sides:
        raise DataError("no picture of a sample can be decoded", train.name(0), "check --data")
    middle = sorted(sides)[len(sides) // 2]
    size, natural = _proposed(middle, sides)
    return size, natural, tuple(sizes.most_common()), tuple(modes.most_common()), bad, len(rows)


def _proposed(middle: int, sides: Sequence[int]) -> tuple[int, bool]:
    """Return the pixels a side, from the shorter sides of pictures, and whether all have that size anyway."""
    if len(set(sides)) == 1 and middle <= _SIZES[-1]:
        return middle, True
    fitting = [size for size in _SIZES if size <= min(middle, _MOST_SIZE)]
    return (fitting[0], False) if fitting else (middle, False)
