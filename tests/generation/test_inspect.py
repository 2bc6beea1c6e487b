from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import params, paths
from pipeline.artifacts import manifest
from pipeline.artifacts.deficits import Deficits
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.partition import Partition
from pipeline.errors import ArtifactError
from pipeline.generation import assemble, context, inspect, verify
from pipeline.generation.fill import fill
from pipeline.generation.plan import Plan, Want
from pipeline.generation.pool import Finished, Pool
from pipeline.params import Params

CPU = ["cpu"]
NAMES = ("ankle boot", "bag", "coat")


def lacking(*missing: list[int]) -> None:
    """Write deficits, and a partition of 16-pixel images."""
    counts = np.array(missing)
    Deficits(counts * 0, counts, counts, NAMES).save()
    none = np.array([], np.int64)
    Partition(none, none.astype(np.int32), none.astype(np.int32), NAMES, len(counts), 16, "abc").save()


def current(**changes: object) -> tuple[Params, Plan]:
    """Return the parameters on disk with changes to ``generate``, and their plan."""
    read = params.load()
    read = read.model_copy(update={"generate": read.generate.model_copy(update=changes)})
    return read, context.current(read, CPU)[0]


def stock(pool: Pool, plan: Plan, *wants: Want) -> None:
    """Put something into the pool for every image of a plan, or for those that are wanted."""
    missing = pool.missing(plan.recipe, wants or plan.distinct())
    pool.put(plan.recipe, [Finished(spec, bytes(1_000)) for spec in missing])


def test_status_tells_what_each_client_has_and_lacks(project: Path) -> None:
    """Nine images of clients' own; client 0 has three of five, client 2 all four."""
    lacking([2, 3, 0], [0, 0, 0], [0, 0, 4])
    read, plan = current()
    with Pool(paths.pool()) as pool:
        stock(pool, plan, Want("0", "ankle boot", 0, 2), Want("0", "bag", 1, 1), Want("2", "coat", 2, 6))
    table = inspect.status(read, CPU).splitlines()
    assert [line.split() for line in table[:4]] == [
        ["client", "planned", "in", "pool", "missing"],
        ["0", "5", "3", "2"],
        ["1", "0", "0", "0"],
        ["2", "4", "4", "0"],
    ]
    assert f"recipe {plan.recipe.digest}, float32: 9 images planned for 3 clients, 9 distinct" in table[4]
    assert table[4].endswith("(each client has its own), 7 in the pool")
    assert table[5] == "2 to render in about 1 batches of 4: rate not yet known, about 0.0 MB in the pool"


def test_clients_that_share_images_are_told_so(project: Path) -> None:
    """The most of each class: 2, 3 and 4 make nine distinct images of eleven planned ones."""
    lacking([2, 3, 0], [1, 1, 4])
    read, plan = current(sharing="common")
    with Pool(paths.pool()) as pool:
        stock(pool, plan, Want("common", "coat", 2, 3))
        pool.record_rate(plan.recipe, 0.1)
    lines = inspect.status(read, CPU).splitlines()
    assert [line.split() for line in lines[1:3]] == [["0", "5", "0", "5"], ["1", "6", "3", "3"]]
    assert "11 images planned for 2 clients, 9 distinct (clients share them), 3 in the pool" in lines[3]
    assert lines[4] == "6 to render in about 2 batches of 4: about 0:01:00 at the last rate, about 0.0 MB in the pool"
    assert inspect.cost(read, CPU) == "\n".join(lines[3:])


def test_with_nothing_to_render_no_cost_is_told(project: Path) -> None:
    lacking([2, 0, 0])
    read, plan = current()
    with Pool(paths.pool()) as pool:
        assert "rate not yet known, size not yet known" in inspect.cost(read, CPU)
        stock(pool, plan)
    assert inspect.cost(read, CPU).endswith("2 in the pool\n0 to render")


def written(pool: Pool, plan: Plan, megabytes: int) -> Manifest:
    clients = range(len(plan.missing))
    lines = tuple(assemble.write(pool, plan, client, megabytes) for client in clients)
    made = Manifest(plan.recipe.digest, plan.recipe.as_dict(), plan.sharing, tuple(plan.class_names), lines)
    made.save()
    return made


def test_a_shard_of_several_files_is_written_again(project: Path) -> None:
    """One image to a part."""
    lacking([2, 3, 0], [0, 0, 1])
    read, plan = current(shard_megabytes=0)
    with Pool(paths.pool()) as pool:
        stock(pool, plan)
        made = written(pool, plan, 0)
    files = made.shards[0].paths
    assert len(files) == 5
    files[1].unlink()
    files[2].write_bytes(b"damaged")
    said = inspect.regenerate(read, CPU, 0, fresh=False)
    assert said == (
        f"client 0: 0 images rendered, 5 in {', '.join(map(str, files))}, "
        "byte for byte the shard that the manifest names"
    )
    verify.shards()
    assert manifest.load() == made


def test_a_shard_of_other_files_is_adopted_by_the_manifest(project: Path) -> None:
    """Five files become one of the same images; other clients' lines stay."""
    lacking([2, 3, 0], [0, 0, 3])
    read, plan = current(shard_megabytes=1)
    with Pool(paths.pool()) as pool:
        stock(pool, plan)
        made = written(pool, plan, 0)
    said = inspect.regenerate(read, CPU, 0, fresh=False)
    assert "not the bytes that the manifest named; the manifest now names these.\nTrain again to use them." in said
    assert [file.rows for file in manifest.load().shards[0].files] == [5]
    assert manifest.load().shards[1] == made.shards[1]
    assert verify.shards() == "2 shards, 8 images: all as the manifest says"


def test_other_parameters_or_deficits_are_refused_before_anything_is_written(project: Path) -> None:
    lacking([1, 0, 0], [0, 2, 0])
    read, plan = current()
    with Pool(paths.pool()) as pool:
        stock(pool, plan)
        written(pool, plan, 1)
    before = [path.read_bytes() for path in sorted(paths.SHARDS.iterdir())]
    for changes, named in (
        ({"steps": 3, "image_format": "jpeg"}, "steps, image_format, quality"),
        ({"guidance": (1.0, 2.0)}, "guidance"),
        ({"compile": True}, "compile"),
    ):
        with pytest.raises(ArtifactError, match=rf"made by another recipe \(differs in {named}\)"):
            inspect.regenerate(current(**changes)[0], CPU, 0, fresh=False)
    with pytest.raises(ArtifactError, match="no client 2"):
        inspect.regenerate(read, CPU, 2, fresh=False)
    lacking([1, 0, 0], [0, 3, 0])
    with pytest.raises(ArtifactError, match="client 1's deficits changed since its shard was made"):
        inspect.regenerate(read, CPU, 1, fresh=False)
    assert [path.read_bytes() for path in sorted(paths.SHARDS.iterdir())] == before
    assert "byte for byte" in inspect.regenerate(read, CPU, 0, fresh=False)


@pytest.mark.parametrize("now", [1, 3])
def test_another_number_of_clients_is_refused_before_anything_is_written(project: Path, now: int) -> None:
    """Client 1 is in the manifest; the plan of one client has none, and that of three has it unchanged."""
    lacking([1, 0, 0], [0, 2, 0])
    read, plan = current()
    with Pool(paths.pool()) as pool:
        stock(pool, plan)
        made = written(pool, plan, 1)
    lacking(*[[1, 0, 0], [0, 2, 0], [0, 0, 1]][:now])
    with pytest.raises(ArtifactError, match=rf"deficits are of {now} clients, the shards of 2: .*: run: dvc repro gen"):
        inspect.regenerate(read, CPU, 1, fresh=False)
    assert manifest.load() == made


def test_verify_renders_images_of_all_files_again(project: Path) -> None:
    """Seven images, each in a part of its own; the one in the last part was replaced by another's picture."""
    lacking([2, 1, 0], [0, 0, 4])
    read, _ = current()
    plan, source = context.current(read, CPU)
    with Pool(paths.pool()) as pool:
        assert fill(pool, plan, source, CPU) == 7
        made = written(pool, plan, 0)
        assert [file.rows for shard in made.shards for file in shard.files] == [1] * 7
        assert verify.rerender(read, CPU, 7, 0) == "7 random images rendered again: byte for byte the same"
        for seed in range(4):
            assert verify.rerender(read, CPU, 1, seed) == "1 random images rendered again: byte for byte the same"
        first, *_, last = pool.fetch(plan.recipe, Want("1", "coat", 2, 4))
        pool.put(plan.recipe, [Finished(last.spec, first.image)])
        written(pool, plan, 0)
    assert len(pq.read_table(paths.shard(1, 3))) == 1
    with pytest.raises(ArtifactError, match="1 of 7 images came out otherwise"):
        verify.rerender(read, CPU, 100, 0)
