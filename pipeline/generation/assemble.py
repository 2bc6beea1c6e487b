"""Write shards from the pool."""

from collections.abc import Iterator

from pipeline import paths
from pipeline.artifacts import shards
from pipeline.artifacts.manifest import Shard
from pipeline.artifacts.shards import SyntheticImage
from pipeline.generation.plan import Plan
from pipeline.generation.pool import Pool


def write(pool: Pool, plan: Plan, client: int) -> Shard:
    """Write one client's shard, rows in order of label and index; every wanted image must be in the pool."""
    digest = plan.digest(client)
    header = {"client": client, "recipe": plan.recipe.digest, "plan": digest}
    rows = shards.write(paths.shard(client), _rows(pool, plan, client), plan.class_names, header)
    return Shard.of(client, rows, digest)


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
                recipe=recipe,
            )
