"""The inventory: what a data set holds, and what of it is used."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline import atomic
from pipeline.errors import ArtifactError

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Bad:
    """A picture that cannot be used."""

    __pydantic_config__ = _STRICT

    row: int
    """In the split, from 0."""
    name: str
    """Its file, or where else a user finds it."""
    why: str


@dataclass(frozen=True)
class SplitInventory:
    """What one split of the data set holds."""

    __pydantic_config__ = _STRICT

    name: str
    array: str
    """Name of the array of its good pictures in the cache."""
    rows: int
    """Pictures, bad ones included."""
    bad: tuple[Bad, ...]
    skipped: tuple[tuple[str, str], ...]
    """Files that are not read as pictures, and why."""
    modes: dict[str, int]
    """Good pictures by the mode of their file, the most frequent first."""
    sizes: dict[str, int]
    """Good pictures by width and height, such as 640x480, the most frequent first."""
    animated: int
    """Good pictures with several frames, of which the first is used."""
    remarks: tuple[str, ...]
    """What was guessed, in sentences."""


@dataclass(frozen=True)
class Duplicates:
    """How many pictures are the same, pixel for pixel, as others at the size that is used."""

    __pydantic_config__ = _STRICT

    train: int
    """Training pictures that repeat an earlier one."""
    test: int
    """Test pictures that repeat an earlier one."""
    labels: int
    """Pictures of which another one is the same and has another label."""
    between: int
    """Test pictures that are also training pictures."""
    examples: tuple[tuple[str, str], ...]
    """Names of some pairs, those of the worst kind first."""


@dataclass(frozen=True)
class Inventory:
    """What the data set holds and what is used of it: the good pictures, at one size, with these labels."""

    __pydantic_config__ = _STRICT

    class_names: tuple[str, ...]
    """In order of label."""
    label_texts: tuple[str, ...]
    """What the data set calls each label."""
    train_counts: tuple[int, ...]
    """Pictures of each label that clients can get."""
    test_counts: tuple[int, ...]
    """Pictures of each label that models are tested on."""
    holdout: float | None
    """Share of the training split that the test pictures are, if there is no test split."""
    image_size: int
    """Pixels a side that are used."""
    background: str
    """The colour behind transparent pictures."""
    on_bad: str
    """``refuse`` or ``skip``."""
    splits: tuple[SplitInventory, ...]
    """The training split, and the test split if there is one."""
    duplicates: Duplicates

    @property
    def bad(self) -> int:
        """How many pictures cannot be used."""
        return sum(len(split.bad) for split in self.splits)

    @property
    def skipped(self) -> int:
        """How many files are not read as pictures."""
        return sum(len(split.skipped) for split in self.splits)

    def save(self, path: Path) -> None:
        atomic.write_text(path, json.dumps(asdict(self), indent=1) + "\n")


def load(path: Path) -> Inventory:
    """Read an inventory; raise ArtifactError if it is missing or damaged."""
    try:
        return TypeAdapter(Inventory).validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError("no such file", path, "run: dvc repro partition") from None
    except (ValidationError, OSError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise ArtifactError(f"damaged ({what})", path, "run: dvc repro -f partition") from None
