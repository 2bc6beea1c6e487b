"""Render what the pool lacks, batch by batch."""

import time
from collections.abc import Iterable, Sequence

from pipeline import progress
from pipeline.errors import GenerationError
from pipeline.generation import engines
from pipeline.generation.plan import Plan, Want
from pipeline.generation.pool import Finished, Pool
from pipeline.generation.recipe import ImageSpec
from pipeline.generation.source import Source

_RETRIES = 3


def fill(pool: Pool, plan: Plan, source: Source, devices: list[str], clients: Sequence[int] | None = None) -> int:
    """Put every image that the plan wants for these clients (default: all) into the pool; return how many were made."""
    with pool.writing():
        missing = list(pool.missing(plan.recipe, plan.distinct(clients)))
        _render(pool, missing, source, devices)
    return len(missing)


def again(pool: Pool, wants: Iterable[Want], source: Source, devices: list[str]) -> int:
    """Render images whether the pool holds them or not, and replace what it holds; return how many were made."""
    recipe = source.recipe
    specs = [recipe.spec(want.lane, want.class_name, i) for want in wants for i in range(want.count)]
    with pool.writing():
        _render(pool, specs, source, devices)
    return len(specs)


def _render(pool: Pool, specs: list[ImageSpec], source: Source, devices: list[str]) -> None:
    """Render specs and store each batch as it comes; draw unusable images again with other seeds."""
    if not specs:
        return
    size = source.recipe.batch_size
    workers = devices[: -(-len(specs) // size)]
    progress.say(f"loading {source.model} on {', '.join(workers)} in {source.recipe.dtype}")
    with engines.make(source, workers) as engine, progress.bar("generate", len(specs), "images") as advance:
        first, later = 0.0, 0  # the rate leaves the first batch out: it contains the loading of the model
        unusable: list[ImageSpec] = []
        for _ in range(1 + _RETRIES):
            unusable = []
            batches = (specs[i : i + size] for i in range(0, len(specs), size))
            for batch, images in engine.render(batches):
                good = [Finished(spec, image) for spec, image in zip(batch, images, strict=True) if image is not None]
                pool.put(source.recipe, good)
                unusable += [spec for spec, image in zip(batch, images, strict=True) if image is None]
                advance(len(good))
                first, later = first or time.monotonic(), later + len(good) if first else 0
            if later:
                pool.record_rate(source.recipe, later / (time.monotonic() - first))
            if not unusable:
                return
            specs = [source.recipe.spec(s.lane, s.class_name, s.index, s.retry + 1) for s in unusable]
    spec = unusable[0]
    what = f"{len(unusable)} images came out black or not finite {1 + _RETRIES} times"
    where = f"the first: prompt {spec.prompt!r}, seed {spec.seed}"
    raise GenerationError(what, where, "try generate.dtype: float32, another scheduler, or another prompt")
