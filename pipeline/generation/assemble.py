"""Write shards from the pool."""

from collections.abc import Iterator
from functools import partial

from pipeline import paths
from pipeline.artifacts import shards
from pipeline.artifacts.manifest import File, Shard
from pipeline.artifacts.shards import SyntheticImage
from pipeline.generation.plan import Plan
from pipeline.generation.pool import Pool


def write(pool: Pool, plan: Plan, client: int, megabytes: int) -> Shard:
    """Write one client's shard, rows in order of label and index, in files of at most about ``megabytes``.

    Every wanted image must be in the pool. Parts that an earlier, bigger shard of the client left are deleted.
    """
    digest = plan.digest(client)
    header = {"client": client, "recipe": plan.recipe.digest, "plan": digest}
    place = partial(paths.shard, client)
    written = shards.write(place, _rows(pool, plan, client), plan.class_names, header, megabytes * 1_000_000)
    for part in paths.SHARDS.glob(f"{place().stem}.part-*"):
        if part not in (path for path, _ in written):
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
