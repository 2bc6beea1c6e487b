"""A few images of every class, rendered through the pool for no client: to look at a recipe before it is used."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.encoded import Encoding
from pipeline.artifacts.partition import Partition
from pipeline.data import arrays, resize
from pipeline.data.arrays import Stored
from pipeline.errors import PoolError
from pipeline.generation import lengths, model, words
from pipeline.generation.devices import resolve_dtype
from pipeline.generation.plan import Plan
from pipeline.generation.pool import Pool, StoredImage
from pipeline.generation.recipe import Recipe
from pipeline.generation.render import render_missing
from pipeline.generation.request import Request
from pipeline.params import Params
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Samples:
    """Images of every class, as many of each, class by class."""

    images: Stored
    flags: tuple[str, ...]
    """(N,) remarks of the rendering."""
    retries: NDArray[np.int64]
    """(N,) how often each was drawn again."""
    recipe: str
    """Its digest."""
    words: tuple[str, ...]
    """What prompts call the classes."""


def render(workspace: Workspace, params: Params, split: Partition, devices: list[str], count: int) -> Samples:
    """Return the first ``count`` images of each class, at the partition's size; only what the pool lacks is rendered.

    In a data set with domains they are spread evenly over the domains, the first of which get one more of a rest. They
    are those of the common lane, or of client 0, so that a later run finds them in the pool. Raises the errors of
    ``generate`` for a model, prompts or class names that cannot be used.
    """
    chosen, overrides = params.generate, words.read(workspace, params.generate)
    class_names, size = split.class_names, split.image_size
    spoken = words.for_classes(class_names, overrides)
    words.check_named(class_names, overrides, [True] * len(class_names))
    dtype = resolve_dtype(chosen.dtype, devices)
    resolved = model.resolve(workspace, chosen, params.seed, size, dtype, domains=bool(split.domain_names))
    missing = np.repeat(_shares(count, len(split.domain_names)), len(class_names))[None]
    plan = Plan(
        resolved.recipe,
        missing,
        class_names,
        spoken,
        chosen.sharing,
        domains=split.domain_names,
        domain_words=split.domain_words,
    )
    asked = Request(plan, resolved)
    lengths.check(workspace, chosen, asked)
    with Pool(workspace.pool) as pool, pool.writing():
        render_missing(pool, asked, devices)
        wanted = sorted(asked.plan.wanted_by(0), key=lambda one: one.label)
        found = [one for of_class in wanted for one in pool.fetch(resolved.recipe, of_class)]
    labels = np.repeat(np.arange(len(class_names)), count)
    told = [split.domain_words] if split.domain_words else []
    name = arrays.name_of("samples", [resolved.recipe.digest, chosen.sharing, spoken, count, size, *told])
    return Samples(
        images=arrays.store(workspace.arrays, name, labels, size, lambda: _pixels(found, resolved.recipe, size, pool)),
        flags=tuple(one.flags for one in found),
        retries=np.array([one.spec.retry for one in found], np.int64),
        recipe=resolved.recipe.digest,
        words=spoken,
    )


def _shares(count: int, domains: int) -> NDArray[np.int64]:
    """Return how many of so many images each domain gets; all of them if there are no domains."""
    each, left = divmod(count, max(domains, 1))
    return each + (np.arange(max(domains, 1)) < left)


def _pixels(found: Iterable[StoredImage], recipe: Recipe, size: int, pool: Pool) -> Iterable[NDArray[np.uint8]]:
    encoding = Encoding(recipe.image_format, recipe.image_size)
    for one in found:
        try:
            yield np.asarray(resize.fit(encoding.decode(one.image), size))[None]
        except ValueError as error:
            fix = f"delete it with: gen-fedsd pool gc --recipe {recipe.digest}"
            raise PoolError(f"an image {error}", pool.path, fix) from None
