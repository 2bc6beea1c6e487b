"""Take images from shards: only under their own identity, and only if the manifest is right about all of them."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest, shard_reader, shards
from pipeline.artifacts.encoded import Encoding
from pipeline.artifacts.manifest import Manifest, Shard
from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import ArtifactError
from pipeline.generation import checks
from pipeline.generation.pool.store import StoredImage
from pipeline.generation.recipe import COMMON, Recipe


class Receiver:
    """Reads the images of a manifest's shards and checks each one; a shard that is read to its end is right."""

    def __init__(self, known: Manifest, recipe: Recipe) -> None:
        self._known, self._recipe = known, recipe
        self._encoding = Encoding(recipe.image_format, recipe.image_size)
        self._words = dict(enumerate(known.prompt_names or ()))
        """What prompts call the classes; if the manifest does not say it, what the first row of each class says."""
        self._shared: dict[ImageSpec, bytes] = {}
        """The digest of each image that several clients may have."""

    def images(self, shard: Shard, paths: list[Path] | None = None) -> Iterator[list[StoredImage]]:
        """Yield the images of a shard, up to a thousand at a time, in order of label and index.

        ``paths`` are its files, if they are not beside the manifest. Raises ArtifactError if a file is not a shard of
        these columns; if a row is not of the shard's client, or the numbers of rows by label are not the manifest's; if
        a label and the name of a class do not belong together; or if an image is there twice, not of the recipe, or not
        of its format and size.
        """
        fix, places = manifest.fix_of(shard), paths or self._known.paths(shard)
        counts, last = [0] * len(self._known.class_names), (-1, -1)
        for file, path in zip(shard.files, places, strict=True):
            try:
                for columns in shard_reader.read(path, self._known.class_names, self._encoding, fix, file.rows):
                    if columns.keys() != set(shards.COLUMNS):
                        raise ValueError("no column of clients")
                    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
                    made = [self._image(row, shard.client) for row in rows]
                    for row, one in zip(rows, made, strict=True):
                        place = (row["label"], one.spec.index)
                        if place <= last:
                            raise ValueError(f"{checks.named(one.spec)} is there twice or not in its place")
                        last = place
                        counts[row["label"]] += 1
                        self._check_shared(one)
                    checks.check_images(self._encoding, ((one.spec, one.image) for one in made))
                    yield made
            except ValueError as error:
                raise ArtifactError(f"not a shard ({error})", path, fix) from None
        if tuple(counts) != shard.counts:
            raise ArtifactError("not a shard with as many images of each class as the manifest says", places[0], fix)

    def _image(self, row: dict[str, Any], client: int) -> StoredImage:
        """Return a row as an image; raise ValueError unless it is one of this client, its class and the recipe."""
        found, label = shards.spec_of(row), row["label"]
        if row["client"] != client or found.lane != (str(client) if self._known.sharing == "own" else COMMON):
            raise ValueError(f"{checks.named(found)} is of client {row['client']}")
        if row["recipe"] != self._recipe.digest:
            raise ValueError(f"{checks.named(found)} is of recipe {row['recipe'][:100]}")
        if not 0 <= label < len(self._known.class_names) or not self._belong(label, found.class_name):
            raise ValueError(f"{checks.named(found)} has label {label}")
        checks.check_spec(self._recipe, found, row["flags"])
        return StoredImage(found, row["image"], row["flags"])

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


def checked(known: Manifest, recipe: Recipe) -> Iterator[list[StoredImage]]:
    """Yield the images of all shards beside a manifest; raise ArtifactError where they are not as it says."""
    receiver = Receiver(known, recipe)
    for shard in known.shards:
        known.check(shard)
        yield from receiver.images(shard)
