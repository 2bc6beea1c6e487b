"""A few images of every class, rendered through the pool for no client: to look at a recipe before it is used."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.encoded import Encoding
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


def render(
    workspace: Workspace, params: Params, class_names: Sequence[str], size: int, devices: list[str], count: int
) -> Samples:
    """Return the first ``count`` images of each class, ``size`` pixels a side; only what the pool lacks is rendered.

    They are those of the common lane, or of client 0, so that a later run finds them in the pool. Raises the errors of
    ``generate`` for a model, prompts or class names that cannot be used.
    """
    chosen, overrides = params.generate, words.read(workspace, params.generate)
    spoken = words.for_classes(class_names, overrides)
    words.check_named(class_names, overrides, [True] * len(class_names))
    resolved = model.resolve(workspace, chosen, params.seed, size, resolve_dtype(chosen.dtype, devices))
    missing = np.full((1, len(class_names)), count, np.int64)
    asked = Request(Plan(resolved.recipe, missing, class_names, spoken, chosen.sharing), resolved)
    lengths.check(workspace, chosen, asked)
    with Pool(workspace.pool) as pool, pool.writing():
        render_missing(pool, asked, devices)
        found = [one for wanted in asked.plan.wanted_by(0) for one in pool.fetch(resolved.recipe, wanted)]
    labels = np.repeat(np.arange(len(class_names)), count)
    name = arrays.name_of("samples", [resolved.recipe.digest, chosen.sharing, spoken, count, size])
    return Samples(
        images=arrays.store(workspace.arrays, name, labels, size, lambda: _pixels(found, resolved.recipe, size, pool)),
        flags=tuple(one.flags for one in found),
        retries=np.array([one.spec.retry for one in found], np.int64),
        recipe=resolved.recipe.digest,
        words=spoken,
    )


def _pixels(found: Iterable[StoredImage], recipe: Recipe, size: int, pool: Pool) -> Iterable[NDArray[np.uint8]]:
    encoding = Encoding(recipe.image_format, recipe.image_size)
    for one in found:
        try:
            yield np.asarray(resize.fit(encoding.decode(one.image), size))[None]
        except ValueError as error:
            fix = f"delete it with: gen-fedsd pool gc --recipe {recipe.digest}"
            raise PoolError(f"an image {error}", pool.path, fix) from None
