"""Class folders: every picture at any depth below SPLIT/CLASS, and by name each file that is none."""

import os
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.data import digests, labels, pictures
from pipeline.data.columns import Column
from pipeline.data.source import Skipped
from pipeline.errors import DataError

IMAGE, LABEL, FILE = "image", "label", "file"
_HIDDEN = ("__MACOSX",)
_MOST_LINKS = 4
"""Links to folders that are followed in one path: more could make a few links a tree without end."""
COLUMNS = {IMAGE: Column(pa.binary(), "Image"), LABEL: Column(pa.string()), FILE: Column(pa.string())}


@dataclass(frozen=True)
class FolderRows:
    """The pictures of one split, class by class, each class in the order of its files' names."""

    folder: Path
    """Of the data set, from which files are named."""
    split: Path
    """Of the split: a folder in it, or itself."""
    files: tuple[str, ...]
    """Below ``split``, the class folder first."""
    skipped: tuple[Skipped, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def columns(self) -> Mapping[str, Column]:
        return COLUMNS

    def __len__(self) -> int:
        return len(self.files)

    def name(self, row: int) -> str:
        return shown(os.path.join(self.prefix, self.files[row]))

    @property
    def prefix(self) -> str:
        """The split's folder below the data set's, which names of files start with."""
        return "" if self.split == self.folder else self.split.name

    def content(self, column: str, row: int) -> bytes | NDArray[np.uint8]:
        assert column == IMAGE
        try:
            return (self.split / self.files[row]).read_bytes()
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})", self.name(row), "restore it or remove it") from None

    def values(self, column: str) -> pa.ChunkedArray:
        made = class_of if column == LABEL else shown
        return pa.chunked_array([pa.array([made(file) for file in self.files], pa.string())])

    def digests(self, column: str) -> list[str]:
        assert column == IMAGE
        contents = digests.of(self.split, [self.split / file for file in self.files])
        return [f"{shown(file)}={digest}" for file, digest in zip(self.files, contents, strict=True)]


def class_of(file: str) -> str:
    """Return the class of a file: its first folder, composed as Linux and macOS both would show it."""
    return unicodedata.normalize("NFC", file.split("/", 1)[0])


def shown(file: str) -> str:
    """Return a file's path as text that every encoding can hold."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")


def read(folder: Path, split: Path) -> FolderRows:
    """List a split of class folders; raise DataError if there is no picture, or a class has a name that is no text."""
    files: list[str] = []
    skipped: list[Skipped] = []
    seen = FolderRows(folder, split, ())
    for file, unusable in _walk(split):
        if why := unusable or _why_not(file):
            skipped.append(Skipped(shown(os.path.join(seen.prefix, file)), why))
        else:
            files.append(file)
    if not files:
        what = f"no picture in class folders, and {len(skipped)} other files"
        raise DataError(what, split, "expected SPLIT/CLASS NAME/*.png or other pictures; labels in CSV are not read")
    classes = {file.split("/", 1)[0] for file in files}
    for name in classes:
        try:
            name.encode()
        except UnicodeEncodeError:
            where = shown(os.path.join(seen.prefix, name))
            raise DataError("a class folder's name is not UTF-8", where, "rename it") from None
    folders = {entry.name for entry in split.iterdir() if entry.is_dir() and not _hidden(entry.name)}
    bare = [os.path.join(seen.prefix, name) for name in sorted(folders - classes, key=labels.natural)]
    remarks = [f"{shown(name)} has no picture that is read, and is no class" for name in bare]
    # An order that no file system, locale or way of composing accents decides.
    files.sort(key=lambda file: (unicodedata.normalize("NFC", file), file))
    files.sort(key=lambda file: labels.natural(class_of(file)))
    skipped.sort(key=lambda one: one.path)
    return replace(seen, files=tuple(files), skipped=tuple(skipped), remarks=tuple(remarks))


def _why_not(file: str) -> str | None:
    """Return why a file below a split's folder is no image of it; None if its name looks like one."""
    if "/" not in file:
        return "not in a class folder"
    suffix = os.path.splitext(file)[1]
    if suffix.lower() not in pictures.suffixes():
        return f"{suffix or 'no extension'} is not the extension of a picture that is read"
    return None


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in _HIDDEN


def _walk(split: Path) -> Iterator[tuple[str, str | None]]:
    """Yield every file below a folder, and why it is not read if it is not; links are followed but not in a circle."""
    waiting: list[tuple[str, tuple[tuple[int, int], ...], int, bool]] = [("", (), 0, False)]
    while waiting:
        below, above, links, hidden = waiting.pop()
        folder = os.path.join(split, below)
        try:
            status, names = os.stat(folder), os.listdir(folder)
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})", shown(folder), "check its rights") from None
        here = (*above, (status.st_dev, status.st_ino))
        for name in names:
            path, unseen = os.path.join(below, name), hidden or _hidden(name)
            kind, identity = _kind(os.path.join(folder, name))
            linked = links + (kind == "folder" and os.path.islink(os.path.join(folder, name)))
            if kind == "folder" and identity not in here and linked <= _MOST_LINKS:
                waiting.append((path, here, linked, unseen))
            elif kind == "folder":
                yield path, "a link to a folder above it" if identity in here else "a link in links"
            else:
                yield path, "hidden" if unseen else kind


def _kind(path: str) -> tuple[str | None, tuple[int, int]]:
    """Return "folder", None for a file, or what else a path is; and what tells folders apart."""
    try:
        status = os.stat(path)
    except OSError:  # a link to nothing, or to itself
        return "a link to nothing", (0, 0)
    identity = (status.st_dev, status.st_ino)
    if stat.S_ISDIR(status.st_mode):
        return "folder", identity
    return None if stat.S_ISREG(status.st_mode) else "not a file", identity
