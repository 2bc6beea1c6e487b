"""Check what came from elsewhere: each image is what its recipe and its name say, whoever wrote it."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter

from pipeline.artifacts import spec
from pipeline.artifacts.encoded import Encoding
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import ArtifactError
from pipeline.generation.pictures import FAINT
from pipeline.generation.recipe import Recipe

_values, _TYPES = attrgetter(*spec.NAMES), list(spec.TYPES.values())
_LONGEST_NAME = 10_000  # characters of the name of a class or lane
_MOST_RETRIES = 1_000
_PARALLEL = 128  # pixels a side from which decoding is worth a thread


def recipe_of(known: Manifest) -> Recipe:
    """Return the recipe that a manifest describes; raise ArtifactError unless it has the digest that is stated."""
    try:
        recipe = Recipe.from_dict(known.recipe_text)
        if recipe.digest == known.recipe:
            return recipe
    except ValueError:
        pass
    fix = "it was edited, or written by another version of gen-fedsd"
    raise ArtifactError(f"the manifest's recipe does not have the digest {known.recipe}", known.place, fix)


def check_types(found: ImageSpec, flags: str) -> None:
    """Raise ValueError unless values that a database returned have the types of a spec's fields: 0.0 equals 0."""
    if [type(value) for value in _values(found)] != _TYPES or type(flags) is not str:
        raise ValueError("the values of an image are not of the types of a spec")


def check_spec(recipe: Recipe, found: ImageSpec, flags: str) -> None:
    """Raise ValueError unless the recipe gives this spec for this name, and the remark on its quality is ours."""
    check_types(found, flags)
    if (
        not 0 <= found.index < 2**31
        or not 0 <= found.retry <= _MOST_RETRIES
        or len(found.class_name) > _LONGEST_NAME
        or len(found.lane) > _LONGEST_NAME
        or flags not in ("", FAINT)
        or recipe.spec(found.lane, found.class_name, found.index, found.retry) != found
    ):
        raise ValueError(f"{named(found)} is not of recipe {recipe.digest}")


def named(one: ImageSpec) -> str:
    """Return how messages call an image."""
    return f"image {one.index} of {one.class_name[:100]!r} in lane {one.lane[:100]}"


def check_images(encoding: Encoding, images: Iterable[tuple[ImageSpec, bytes]]) -> None:
    """Decode all images; raise ValueError naming the first, in order, that is not of this encoding."""
    for reason in _reasons(encoding, list(images)):
        if reason:
            raise ValueError(reason)


def _reasons(encoding: Encoding, images: list[tuple[ImageSpec, bytes]]) -> Iterator[str | None]:
    def reason(one: tuple[ImageSpec, bytes]) -> str | None:
        try:
            encoding.decode(one[1])
        except ValueError as error:
            return f"{named(one[0])} {error}"
        return None

    if encoding.size < _PARALLEL:
        yield from map(reason, images)
        return
    with ThreadPoolExecutor() as threads:  # the decoders let other threads run
        yield from threads.map(reason, images)
