"""Write shards from the pool."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from pipeline.artifacts import shards
from pipeline.artifacts.encoded import Encoding
from pipeline.artifacts.manifest import File, Shard, file_name
from pipeline.errors import PoolError
from pipeline.generation import checks
from pipeline.generation.plan import Plan
from pipeline.generation.pool import Pool


def write(pool: Pool, plan: Plan, client: int, folder: Path, megabytes: int) -> Shard:
    """Write one client's shard, rows in order of label and index, in files of at most about ``megabytes``.

    Every wanted image must be in the pool. Parts that an earlier, bigger shard of the client left are deleted. Raises
    PoolError for a missing or damaged image, ArtifactError if a file cannot be written.
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
    """Yield the client's rows; raise PoolError for what does not declare to be an image of the recipe.

    The pool is the user's own, and what came into it from elsewhere was checked then, so nothing is decoded here.
    """
    recipe = plan.recipe
    encoding = Encoding(recipe.image_format, recipe.image_size)
    for wanted in plan.wanted_by(client):
        for one in pool.fetch(recipe, wanted):
            try:
                checks.check_types(one.spec, one.flags)
                encoding.check(one.image)
            except ValueError as error:
                fix = f"delete it with: gen-fedsd pool gc --recipe {recipe.digest}   and run: dvc repro generate"
                raise PoolError(f"{checks.named(one.spec)} {error}", pool.path, fix) from None
            yield shards.row_of(one.image, wanted.label, client, one.flags, recipe.digest, one.spec)
