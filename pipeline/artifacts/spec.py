"""The image spec: what one synthetic image is, listed once; the columns of shards and pools derive from it."""

from dataclasses import dataclass, fields
from typing import Annotated, NamedTuple, get_args, get_type_hints


class Column(NamedTuple):
    """How a shard stores a value."""

    place: int
    """Position among the columns of a shard, from 0."""
    kind: str
    """The name of its type in Arrow, or ``image`` or ``label`` for the features of ``datasets``."""
    anonymous: bool = False
    """Whether anonymous publications have it: it must not show which client lacks the image."""


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """One synthetic image before it exists. Lane, class name and index identify it within a recipe.

    The order of the fields is that of the pool's columns.
    """

    lane: Annotated[str, Column(4, "string")]
    """Whose image it is: a client's number, or ``common``; in a data set with domains with the words for one of them
    behind a slash, as in ``3/sketch``."""
    class_name: Annotated[str, Column(2, "string", anonymous=True)]
    """The name that prompts use for the class."""
    index: Annotated[int, Column(5, "int32")]
    """Counts a lane's images of one class, from 0."""
    retry: Annotated[int, Column(10, "int32")]
    """How often the image was drawn before and found unusable."""
    seed: Annotated[int, Column(9, "int64")]
    """Seeds the image's initial noise; differs between retries."""
    guidance: Annotated[float, Column(8, "float64", anonymous=True)]
    prompt: Annotated[str, Column(6, "string", anonymous=True)]
    negative_prompt: Annotated[str, Column(7, "string", anonymous=True)]


COMMON = "common"
"""The lane of images that clients share."""


def lane(client: int | None, domain: str | None = None) -> str:
    """Return the lane of a client, or with None the common one; ``domain`` are the words for a domain, if any."""
    owner = COMMON if client is None else str(client)
    return owner if domain is None else f"{owner}/{domain}"


def domain_of(name: str) -> str | None:
    """Return the words for a lane's domain, None for a lane without one."""
    _, slash, domain = name.partition("/")
    return domain if slash else None


NAMES = tuple(field.name for field in fields(ImageSpec))
"""The fields, in order; ``ImageSpec(*values)`` takes their values in this order."""

TYPES = get_type_hints(ImageSpec)
"""The type of each field by name."""


def columns(kind: type) -> dict[str, Column]:
    """Return the columns that the fields of a class are annotated with, by name."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: found for name, hint in hints.items() for found in get_args(hint) if isinstance(found, Column)}
