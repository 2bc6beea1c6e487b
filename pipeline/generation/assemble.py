"""Write shards from the pool."""

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pipeline import paths
from pipeline.artifacts import shards
from pipeline.artifacts.manifest import File, Shard
from pipeline.artifacts.shards import SyntheticImage
from pipeline.generation.plan import Plan
from pipeline.generation.pool import Pool


def write(pool: Pool, plan: Plan, client: int, megabytes: int) -> Shard:
    """Write one client's shard, rows in order of label and index, in files of at most about ``megabytes``.

    Every wanted image must be in the pool. Parts that an earlier, bigger shard of the client left are deleted. Raises
    PoolError for a lacking image, ArtifactError if a file cannot be written.
    """
    digest = plan.digest(client)
    header = {"client": client, "recipe": plan.recipe.digest, "plan": digest}
    place = partial(paths.shard, client)
    written = shards.write(place, _rows(pool, plan, client), plan.class_names, header, megabytes * 1_000_000)
    # Counted up, not listed: listing the folder for each client takes the square of their number. Deleted from the
    # last one down, so that a kill leaves no gap behind which the next run would not look.
    stale = itertools.takewhile(Path.exists, map(place, itertools.count(len(written))))
    for part in reversed(list(stale)):
        part.unlink()
    return Shard(
        client, digest, tuple(plan.missing[client].tolist()), tuple(File.of(path, rows) for path, rows in written)
    )


def _rows(pool: Pool, plan: Plan, client: int) -> Iterator[SyntheticImage]:
    recipe = plan.recipe.digest
    for want in plan.of(client):
        for finished in pool.fetch(plan.recipe, want):
            spec = finished.spec
            yield SyntheticImage(
                image=finished.image,
                label=want.label,
                class_name=spec.class_name,
                client=client,
                lane=spec.lane,
                index=spec.index,
                prompt=spec.prompt,
                negative_prompt=spec.negative_prompt,
                guidance=spec.guidance,
                seed=spec.seed,
                retry=spec.retry,
                flags=finished.flags,
                recipe=recipe,
            )
