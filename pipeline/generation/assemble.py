"""Write shards from the pool."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from pipeline.artifacts import shards
from pipeline.artifacts.manifest import File, Shard, file_name
from pipeline.generation.plan import Plan
from pipeline.generation.pool import Pool


def write(pool: Pool, plan: Plan, client: int, folder: Path, megabytes: int) -> Shard:
    """Write one client's shard, rows in order of label and index, in files of at most about ``megabytes``.

    Every wanted image must be in the pool. Parts that an earlier, bigger shard of the client left are deleted. Raises
    PoolError for a missing image, ArtifactError if a file cannot be written.
    """
    digest = plan.digest(client)
    header = {"client": client, "recipe": plan.recipe.digest, "plan": digest}

    def place(part: int) -> Path:
        return folder / file_name(client, part)

    written = shards.write(place, _rows(pool, plan, client), plan.class_names, header, megabytes * 1_000_000)
    # Counted up, not listed: listing the folder for each client takes the square of their number. Deleted from the last
    # one down, so that a kill leaves no gap that would hide the parts behind it from the next run.
    stale = itertools.takewhile(Path.exists, map(place, itertools.count(len(written))))
    for part in reversed(list(stale)):
        part.unlink()
    return Shard(
        client, digest, tuple(plan.missing[client].tolist()), tuple(File.of(path, rows) for path, rows in written)
    )


def _rows(pool: Pool, plan: Plan, client: int) -> Iterator[shards.Row]:
    recipe = plan.recipe.digest
    for wanted in plan.wanted_by(client):
        for stored in pool.fetch(plan.recipe, wanted):
            yield shards.row_of(stored.image, wanted.label, client, stored.flags, recipe, stored.spec)
