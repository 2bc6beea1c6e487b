"""The pictures of shards: those of some files, and those that a client would have without its gate."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from pipeline.artifacts import shard_reader
from pipeline.artifacts.encoded import Encoding
from pipeline.errors import ArtifactError

Place = tuple[int, int]
"""Pair of label and domain (see ``pairs``; without domains the label), and index: the order of the rows of a shard."""


def pictures(
    paths: Iterable[Path], class_names: Sequence[str], encoding: Encoding, fix: str, most: int | None = None
) -> Iterator[tuple[int, Image.Image]]:
    """Yield label and picture (RGB) of the rows of some files of images; see ``Manifest.pictures``."""
    counts = [0] * len(class_names)
    for path in paths:
        for columns in shard_reader.read(path, class_names, encoding, fix):
            for label, image in zip(columns["label"], columns["image"], strict=True):
                _check_label(label, counts, path, fix)
                if most is not None and counts[label] >= most:
                    continue
                counts[label] += 1
                yield label, _decoded(encoding, image, path, fix)


def ungated(
    passed: Iterable[Path],
    refused: Iterable[Path],
    class_names: Sequence[str],
    encoding: Encoding,
    fix: str,
    counts: Sequence[int],
    domains: Sequence[str] = (),
) -> Iterator[tuple[int, Image.Image]]:
    """Yield label and picture of the images with an index below the count of their pair, in order of pair and index.

    ``passed`` and ``refused`` are the files of a client; those that passed have later indices too.
    """
    both = (_placed(paths, class_names, domains, encoding, fix) for paths in (passed, refused))
    for (pair, index), image, path in heapq.merge(*both, key=lambda row: row[0]):
        if index < counts[pair]:
            yield pair % len(class_names), _decoded(encoding, image, path, fix)


def _placed(
    paths: Iterable[Path], class_names: Sequence[str], domains: Sequence[str], encoding: Encoding, fix: str
) -> Iterator[tuple[Place, bytes, Path]]:
    numbers = {name: i for i, name in enumerate(domains)}
    for path in paths:
        for columns in shard_reader.read(path, class_names, encoding, fix):
            for row, label in enumerate(columns["label"]):
                _check_label(label, class_names, path, fix)
                domain = numbers.get(columns["domain"][row]) if domains and "domain" in columns else 0
                if domain is None:
                    raise ArtifactError("not a shard (a domain that the manifest does not name)", path, fix)
                yield (domain * len(class_names) + label, columns["index"][row]), columns["image"][row], path


def _check_label(label: int, counts: Sequence[object], path: Path, fix: str) -> None:
    if not 0 <= label < len(counts):
        raise ArtifactError(f"not a shard (label {label} of {len(counts)} classes)", path, fix)


def _decoded(encoding: Encoding, image: bytes, path: Path, fix: str) -> Image.Image:
    try:
        return encoding.decode(image)
    except ValueError as error:
        raise ArtifactError(f"not a shard (an image {error})", path, fix) from None
