"""Write shards from the pool."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.artifacts import shards
from pipeline.artifacts.encoded import Encoding
from pipeline.artifacts.gate import Score
from pipeline.artifacts.manifest import REFUSED, File, Refused, Shard, file_name
from pipeline.errors import PoolError
from pipeline.generation import checks
from pipeline.generation.plan import Plan, Wanted
from pipeline.generation.pool import Pool, StoredImage, scores


def write(pool: Pool, plan: Plan, client: int, folder: Path, megabytes: int, *, marked: bool = False) -> Shard:
    """Write one client's shard, rows in order of domain, label and index, in files of at most about ``megabytes``.

    Every wanted image must be in the pool. With a gate, the plan must be settled, and what was refused of the client's
    first images goes to files of its own. ``marked`` shards say that their images are synthetic; those of older
    versions do not. Parts that an earlier, bigger shard of the client left are deleted. Raises
    PoolError for a missing or damaged image, ArtifactError if a file cannot be written.
    """
    wanted, refused = plan.wanted_by(client), _refused(plan, client)
    files = _write(pool, plan, client, wanted, folder, megabytes, marked)
    beside = _write(pool, plan, client, refused, folder / REFUSED, megabytes, marked) if refused else ()
    _delete_stale(folder, client, len(files))
    _delete_stale(folder / REFUSED, client, len(beside))
    counts, line = tuple(plan.missing[client].tolist()), None
    if plan.gate is not None:
        classes = len(plan.class_names)
        drawn = {one.pair(classes): one.indices[-1] + 1 - len(one.indices) for one in wanted}
        below = {one.pair(classes): len(one.indices) for one in refused}
        drawn_counts, below_counts = (tuple(of.get(i, 0) for i in range(len(counts))) for of in (drawn, below))
        line = Refused(drawn_counts, below_counts, beside)
    return Shard(client, plan.digest(client), counts, files, line)


def _refused(plan: Plan, client: int) -> list[Wanted]:
    """Return what the gate refused of the images that the client would have without it."""
    found = []
    for one in plan.ungated(client):
        refused = plan.refused.get((one.lane, one.class_name), ())
        if indices := tuple(sorted(index for index in refused if index in one.indices)):
            found.append(replace(one, indices=indices))
    return found


def _write(
    pool: Pool, plan: Plan, client: int, wanted: Sequence[Wanted], folder: Path, megabytes: int, marked: bool
) -> tuple[File, ...]:
    columns = shards.columns(plan.gate is not None, bool(plan.domains), marked)
    header = {"client": client, "recipe": plan.recipe.digest, "plan": plan.digest(client)}
    rows, most = _rows(pool, plan, client, wanted, marked), megabytes * 1_000_000
    written = shards.write(lambda part: folder / file_name(client, part), rows, plan.class_names, header, most, columns)
    return tuple(File.of(path, count) for path, count in written)


def _delete_stale(folder: Path, client: int, parts: int) -> None:
    """Delete the parts of a client's files from this one on.

    Counted up, not listed: listing the folder for each client takes the square of their number. Deleted from the last
    one down, so that a kill leaves no gap that would hide the parts behind it from the next run.
    """
    places = (folder / file_name(client, part) for part in itertools.count(parts))
    for path in reversed(list(itertools.takewhile(Path.exists, places))):
        path.unlink()


def _rows(pool: Pool, plan: Plan, client: int, wanted: Sequence[Wanted], marked: bool) -> Iterator[shards.Row]:
    """Yield the client's rows; raise PoolError for what does not declare to be an image of the recipe.

    The pool is the user's own, and what came into it from elsewhere was checked then, so nothing is decoded here.
    """
    recipe = plan.recipe
    encoding = Encoding(recipe.image_format, recipe.image_size)
    for of_class in wanted:
        domain, label = None if of_class.domain is None else plan.domains[of_class.domain], of_class.label
        for one, score in _scored(pool, plan, of_class):
            try:
                checks.check_types(one.spec, one.flags)
                encoding.check(one.image)
            except ValueError as error:
                fix = f"delete it with: gen-fedsd pool gc --recipe {recipe.digest}   and run: dvc repro generate"
                raise PoolError(f"{checks.named(one.spec)} {error}", pool.path, fix) from None
            yield shards.row_of(
                one.image, label, client, one.flags, recipe.digest, one.spec, score, domain, marked=marked
            )


def _scored(pool: Pool, plan: Plan, wanted: Wanted) -> Iterator[tuple[StoredImage, Score | None]]:
    """Yield the wanted images with their scores, or with None if there is no gate."""
    recipe, gate = plan.recipe, plan.gate
    if gate is None:
        yield from ((one, None) for one in pool.fetch(recipe, wanted))
        return
    known = scores.known(pool, recipe, gate.judge, wanted)
    for one in pool.fetch(recipe, wanted):  # both in order of index, so neither is held in memory
        index, score = next((found for found in known if found[0] >= one.spec.index), (None, None))
        if index != one.spec.index:
            what = f"{checks.named(one.spec)} has no score of the judge {gate.name}"
            raise PoolError(what, pool.path, "run: dvc repro generate")
        yield one, score
