"""Take images from shards: only under their own identity, and only if the manifest is right about all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest, marks, shard_reader, shards, spec
from pipeline.artifacts.encoded import Encoding
from pipeline.artifacts.gate import Score
from pipeline.artifacts.manifest import File, Manifest, Refused, Shard
from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import ArtifactError
from pipeline.generation import checks
from pipeline.generation.pool.store import StoredImage
from pipeline.generation.recipe import Recipe


class Receiver:
    """Reads the images of a manifest's shards and checks each one; a shard that is read to its end is right.

    With a gate, so are the files of what it refused; only it can say whether its scores are true.
    """

    def __init__(self, known: Manifest, recipe: Recipe) -> None:
        self._known, self._recipe = known, recipe
        self._encoding = Encoding(recipe.image_format, recipe.image_size)
        self._words = dict(enumerate(known.prompt_names or ()))
        """What prompts call the classes; if the manifest does not say it, what the first row of each class says."""
        self._shared: dict[ImageSpec, bytes] = {}
        """The digest of each image that several clients may have."""

    def images(
        self, shard: Shard, paths: list[Path] | None = None, refused: list[Path] | None = None
    ) -> Iterator[list[StoredImage]]:
        """Yield a shard's images, up to a thousand at a time, in order of domain, label and index; then those refused.

        ``paths`` and ``refused`` are its files, if they are not beside the manifest. Raises ArtifactError if a file is
        not a shard of these columns; if a row is not of the shard's client, or the numbers of rows by label are not the
        manifest's; if a label and the name of a class do not belong together; if an image is there twice, not of the
        recipe, or not of its format and size; or if the images that passed the gate are not the first ones that it did
        not refuse.
        """
        known, gaps = self._known, _Gaps()
        yield from self._read(shard, shard.files, paths or known.paths(shard), shard.counts, gaps.passed)
        line = shard.refused
        if line is None:
            return
        if line.files:
            yield from self._read(shard, line.files, refused or known.refused_paths(shard), line.counts, gaps.refused)
        if not gaps.right(shard.counts, line):
            what = "not the first images that the gate did not refuse, by the manifest"
            raise ArtifactError(what, (paths or known.paths(shard))[0], manifest.fix_of(shard))

    def _read(
        self,
        shard: Shard,
        files: tuple[File, ...],
        places: list[Path],
        expected: tuple[int, ...],
        found: dict[int, list[int]],
    ) -> Iterator[list[StoredImage]]:
        """Yield the images of some files and add their indices, by label, to ``found``."""
        fix, last = manifest.fix_of(shard), (-1, -1)
        columns_here = set(self._known.columns)
        passed = files is shard.files
        for file, path in zip(files, places, strict=True):
            try:
                for columns in shard_reader.read(path, self._known.class_names, self._encoding, fix, file.rows):
                    if columns.keys() != columns_here:
                        raise ValueError("other columns than those that the manifest's gate, domains and format give")
                    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
                    made = [self._image(row, shard.client, passed) for row in rows]
                    for row, one in zip(rows, made, strict=True):
                        place = (self._pair(row), one.spec.index)
                        if place <= last:
                            raise ValueError(f"{checks.named(one.spec)} is there twice or not in its place")
                        last = place
                        found.setdefault(place[0], []).append(one.spec.index)
                        self._check_shared(one)
                    checks.check_images(self._encoding, ((one.spec, one.image) for one in made))
                    yield made
            except ValueError as error:
                raise ArtifactError(f"not a shard ({error})", path, fix) from None
        if tuple(len(found.get(pair, ())) for pair in range(len(expected))) != expected:
            raise ArtifactError("not a shard with as many images of each class as the manifest says", places[0], fix)

    def _image(self, row: dict[str, Any], client: int, passed: bool) -> StoredImage:
        """Return a row as an image; raise ValueError unless it is one of this client, its class and the recipe."""
        found, label = shards.spec_of(row), row["label"]
        if row["client"] != client or found.lane != self._lane(row):
            raise ValueError(f"{checks.named(found)} is of client {row['client']}")
        if self._known.marked and row[marks.COLUMN] != marks.SOURCE_TYPE:
            raise ValueError(f"{checks.named(found)} is not marked as synthetic")
        if row["recipe"] != self._recipe.digest:
            raise ValueError(f"{checks.named(found)} is of recipe {row['recipe'][:100]}")
        if not 0 <= label < len(self._known.class_names) or not self._belong(label, found.class_name):
            raise ValueError(f"{checks.named(found)} has label {label}")
        checks.check_spec(self._recipe, found, row["flags"])
        return StoredImage(found, row["image"], row["flags"], self._score(row, found, passed))

    def _domain(self, row: dict[str, Any]) -> int | None:
        """Return the number of a row's domain, None without domains; raise ValueError for one that there is not."""
        domains = self._known.domains
        if domains and row["domain"] not in domains:
            raise ValueError(f"domain {row['domain'][:100]!r} is not in the manifest")
        return domains.index(row["domain"]) if domains else None

    def _pair(self, row: dict[str, Any]) -> int:
        return (self._domain(row) or 0) * len(self._known.class_names) + int(row["label"])

    def _lane(self, row: dict[str, Any]) -> str:
        domain = self._domain(row)
        words = None if domain is None else self._known.domain_words[domain]
        return spec.lane(row["client"] if self._known.sharing == "own" else None, words)

    def _score(self, row: dict[str, Any], found: ImageSpec, passed: bool) -> Score | None:
        """Return a row's score; raise ValueError unless the gate says of it what the file says."""
        gate = self._known.gate
        if gate is None:
            return None
        score = Score(row["label"], row["judged"], row["probability"])
        score.check(len(self._known.class_names))
        if gate.accepts(score) != passed:
            raise ValueError(f"{checks.named(found)} has a score with which the gate would not put it here")
        return score

    def _check_shared(self, one: StoredImage) -> None:
        """Raise ValueError if another client has another image under this identity."""
        if self._known.sharing == "common":
            digest = sha256(one.image).digest()
            if self._shared.setdefault(one.spec, digest) != digest:
                raise ValueError(f"{checks.named(one.spec)} is another one than in another client's shard")

    def _belong(self, label: int, word: str) -> bool:
        """Return whether prompts call the class of this label so."""
        if self._known.prompt_names is None and label not in self._words:
            names = self._known.class_names
            if word in self._words.values() or (word in names and names.index(word) != label):
                return False
            self._words[label] = word
        return self._words[label] == word


@dataclass(frozen=True)
class _Gaps:
    """The indices of one client's images by pair (see ``pairs``): of those that passed the gate, and of the others."""

    passed: dict[int, list[int]] = field(default_factory=dict)
    refused: dict[int, list[int]] = field(default_factory=dict)

    def right(self, counts: Sequence[int], line: Refused) -> bool:
        """Return whether what passed are the first images that were not refused, as far as the files tell."""
        for label, count in enumerate(counts):
            passed = self.passed.get(label, [])
            below = set(range(count)).difference(passed)
            if len(below) != line.counts[label] or (line.files and below != set(self.refused.get(label, ()))):
                return False
            if count and passed[-1] + 1 - count != line.drawn[label]:
                return False
        return True


def checked(known: Manifest, recipe: Recipe) -> Iterator[list[StoredImage]]:
    """Yield the images of all shards beside a manifest; raise ArtifactError where they are not as it says."""
    receiver = Receiver(known, recipe)
    for shard in known.shards:
        known.check(shard)
        yield from receiver.images(shard)
